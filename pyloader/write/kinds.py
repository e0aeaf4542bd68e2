"""What the values of a column are over a whole dataset, learnt block by block.

A column whose numbers are whole in one chunk and fractions in another is a float64 column in both: what the manifest
says holds for every chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Annotated, Any, Union

import msgspec
import numpy as np

from pyloader.columns import ColumnSpec, difference

__all__ = ["INT64", "KindsOfColumns", "array_kind", "joined_specs", "kind_of", "specs_of_kinds", "type_of_kinds"]

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
_KINDS = {
    type(None): "null", bool: "bool", int: "int", float: "float", str: "str", bytes: "bytes", list: "list",
    dict: "dict",
}  # fmt: skip

KindsOfColumns = dict[str, set[str]]


def kind_of(kind: type) -> str:
    """Return the kind of values of a type, "" when it is of none that a record can hold."""
    return _KINDS.get(kind, "")


def array_kind(values: np.ndarray) -> str:
    """Return the kind of an array's rows, its dtype and shape; "" when Python's numbers say as much."""
    dtype = values.dtype.newbyteorder("=").str
    if values.ndim == 1 and dtype in ("|b1", "<i8", "<f8"):
        return ""
    return " ".join(["array", dtype, *map(str, values.shape[1:])])


def type_of_kinds(kinds: Iterable[str]) -> Any:
    """Return the type that accepts values of these kinds and no others, as msgspec takes it."""
    return Union[tuple(_TYPES[kind] for kind in sorted(kinds))]  # noqa: UP007 (the members are not known here)


def specs_of_kinds(columns: Mapping[str, Iterable[str]]) -> tuple[ColumnSpec, ...]:
    """Return what each column is for its reader, in the same order.

    Whole numbers become an int64 array, numbers with any fraction a float64 array, truth values a bool array; text and
    bytes stay lists, and so does everything mixed or missing.  Numbers with gaps are of kind "float" where one of them
    has a fraction.
    """
    return tuple(_spec(name, set(kinds)) for name, kinds in columns.items())


def _spec(name: str, kinds: set[str]) -> ColumnSpec:
    kinds = kinds - {"nan", "wide"}  # they are of kind "float" and "int" too
    for dtype, members in (("|b1", {"bool"}), ("<i8", {"int"}), ("<f8", {"int", "float"})):
        if kinds and kinds <= members:
            return ColumnSpec(name, "array", dtype)
    found = sorted(kinds - {"null"})
    if found == ["float", "int"]:
        return ColumnSpec(name, "float")
    if len(found) == 1 and found[0].startswith("array "):
        _, dtype, *shape = found[0].split(" ")
        return ColumnSpec(name, "array", dtype, tuple(map(int, shape)))
    return ColumnSpec(name, "" if not found else found[0] if len(found) == 1 else "object")


def joined_specs(before: Sequence[ColumnSpec], now: Sequence[ColumnSpec]) -> tuple[ColumnSpec, ...]:
    """Return what the columns are over two sets of chunks, sorted by name.

    Raises:
      ValueError: they do not fit together; the text says how.
    """
    before, now = (sorted(specs, key=attrgetter("name")) for specs in (before, now))
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
