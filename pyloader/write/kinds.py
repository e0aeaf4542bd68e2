"""What the values of a column are over a whole dataset, learnt block by block.

A column whose numbers are whole in one chunk and fractions in another is a float64 column in both: what the manifest
says holds for every chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Union

import msgspec

from pyloader.columns import ColumnSpec, difference

__all__ = ["INT64", "KindsOfColumns", "joined_specs", "kind_of", "specs_of_kinds", "type_of_kinds"]

INT64 = range(-(2**63), 2**63)

# What a JSON decoder is told to accept, by kind.
_TYPES: dict[str, Any] = {
    "null": None,
    "bool": bool,
    "int": Annotated[int, msgspec.Meta(ge=INT64.start, le=INT64.stop - 1)],
    "float": float,
    "str": str,
    "bytes": bytes,
    "list": list,
    "dict": dict,
}
_KINDS = {type(None): "null", bool: "bool", float: "float", str: "str", bytes: "bytes", list: "list", dict: "dict"}

KindsOfColumns = dict[str, set[str]]


def kind_of(value: Any) -> str:
    """Return a value's kind, "" when it is of none that a record can hold; a whole number beyond int64 is of none."""
    if type(value) is int:
        return "int" if value in INT64 else ""
    return _KINDS.get(type(value), "")


def type_of_kinds(kinds: Iterable[str]) -> Any:
    """Return the type that accepts values of these kinds and no others, as msgspec takes it."""
    return Union[tuple(_TYPES[kind] for kind in sorted(kinds))]  # noqa: UP007 (the members are not known here)


def specs_of_kinds(columns: Mapping[str, Iterable[str]]) -> tuple[ColumnSpec, ...]:
    """Return what each column is for its reader, sorted by name.

    Whole numbers become an int64 array, numbers with any fraction a float64 array, truth values a bool array; text and
    bytes stay lists, and so does everything mixed or missing.
    """
    return tuple(_spec(name, set(columns[name])) for name in sorted(columns))


def _spec(name: str, kinds: set[str]) -> ColumnSpec:
    for dtype, members in (("|b1", {"bool"}), ("<i8", {"int"}), ("<f8", {"int", "float"})):
        if kinds and kinds <= members:
            return ColumnSpec(name, "array", dtype)
    found = sorted(kinds - {"null"})
    return ColumnSpec(name, "" if not found else found[0] if len(found) == 1 else "object")


def joined_specs(before: Sequence[ColumnSpec], now: Sequence[ColumnSpec]) -> tuple[ColumnSpec, ...]:
    """Return what the columns are over two sets of chunks, both sorted by name.

    Raises:
      ValueError: they do not fit together; the text says how.
    """
    if [spec.name for spec in before] != [spec.name for spec in now]:
        raise ValueError(difference(now, before))
    joined = []
    for old, new in zip(before, now, strict=True):
        if {old, new} == {ColumnSpec(new.name, "array", dtype) for dtype in ("<i8", "<f8")}:
            joined.append(ColumnSpec(new.name, "array", "<f8"))
        elif problem := difference([new], [old]):
            raise ValueError(problem)
        else:
            joined.append(new if new.kind else old)
    return tuple(joined)
