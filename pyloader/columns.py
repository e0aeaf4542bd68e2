"""Columns: the form of samples between a file and a batch.

A dict, name -> list, NumPy array or `Ragged`, all of the same length; row i of every column is sample i.  Columns that
are arrays stay arrays all the way; those of rows of unequal length stay `Ragged`.  Strings stay lists of str (as NumPy
strings they cost 9 to 17 times their text).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pyloader.ragged import Ragged

__all__ = [
    "Column",
    "ColumnSpec",
    "Columns",
    "column_specs",
    "columns_bytes",
    "concatenate_columns",
    "content_bytes",
    "difference",
    "problem_with_columns",
    "row_count",
    "samples_of",
    "slice_columns",
    "take_rows",
    "with_tuples_as_lists",
]

Column: TypeAlias = "list[Any] | np.ndarray[Any, Any] | Ragged"
Columns: TypeAlias = "dict[str, Column]"

_KINDS = {str: "str", bytes: "bytes", bool: "bool", int: "int", float: "float", list: "list", dict: "dict"}

# What CPython allocates in addition to __sizeof__.
_COLLECTED_BYTES = 16  # before each object that the garbage collector follows
_ALIGNMENT = 16
_ARRAY_BYTES = 112  # an array without its numbers

_SAMPLE_ITEMS = 16  # of a list within a row


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """What a column is, apart from its values."""

    name: str  # its key
    # "array" for a NumPy array; "ragged" for a `Ragged`; for a list the type of its values, apart from None: "str",
    # "bytes", "bool", "int", "float", "list", "dict", or "object" for any other, and for several; "" for a list without
    # a value
    kind: str
    # an array's dtype, or that of a ragged column's values, as NumPy spells it, byte order included ("<f4"); "|S0" for
    # ragged rows of bytes; "" for a list
    dtype: str = ""
    item_shape: tuple[int, ...] = ()  # the shape of one row of an array; () for a list

    def __str__(self) -> str:
        if self.kind == "ragged":
            return f"{self.name}: ragged {np.dtype(self.dtype).name}"
        if self.kind != "array":
            return f"{self.name}: {self.kind or 'empty'}"
        shape = f" [{', '.join(map(str, self.item_shape))}]" if self.item_shape else ""
        return f"{self.name}: {np.dtype(self.dtype).name}{shape}"


def row_count(columns: Columns) -> int:
    """Return how many rows `columns` have; 0 when there is no column."""
    return len(next(iter(columns.values()), ()))


def samples_of(columns: Columns) -> Iterator[dict[str, Any]]:
    """Yield each row as a dict."""
    return ({name: values[row] for name, values in columns.items()} for row in range(row_count(columns)))


def with_tuples_as_lists(answer: Any) -> Any:
    """Return what a user's method answered: of a mapping a dict with lists for tuples, of anything else itself."""
    if not isinstance(answer, Mapping):
        return answer
    return {name: list(values) if isinstance(values, tuple) else values for name, values in answer.items()}


def problem_with_columns(columns: object) -> str:
    """Return what `columns` are instead of a set of columns, to be read after "returned"; "" when they are one.

    Lists, NumPy arrays of at least one dimension and `Ragged` are columns, all of the same length.
    """
    if not isinstance(columns, dict):
        return f"{_article(type(columns).__name__)}, not a dict of columns"
    if not columns:
        return "a dict without columns"
    first_name: str | None = None
    for name, values in columns.items():
        if not isinstance(name, str):
            return f"the key {name!r}, which is not a str"
        if not isinstance(values, list | np.ndarray | Ragged):
            return f"{name!r} as {_article(type(values).__name__)}; a column is a list, a NumPy array or a Ragged"
        if isinstance(values, np.ndarray) and values.ndim == 0:
            return f"{name!r} as a 0-dimensional array; a column has one row per sample"
        if first_name is None:
            first_name = name
        elif len(values) != len(columns[first_name]):
            return f"{first_name!r} with {len(columns[first_name]):,} rows and {name!r} with {len(values):,}"
    return ""


def column_specs(columns: Columns) -> tuple[ColumnSpec, ...]:
    """Return what each column is, sorted by name."""
    return tuple(_spec(name, columns[name]) for name in sorted(columns))


def difference(specs: Sequence[ColumnSpec], others: Sequence[ColumnSpec]) -> str:
    """Return how two sets of columns differ, in words; "" when they agree.

    A list without a value to tell its kind by, and one of values of several kinds, agree with any list.
    """
    mine, theirs = {spec.name: spec for spec in specs}, {spec.name: spec for spec in others}
    if mine.keys() != theirs.keys():
        return f"has columns {sorted(mine)}, not {sorted(theirs)}"
    for name, spec in mine.items():
        other = theirs[name]
        kinds = {spec.kind, other.kind}
        if spec != other and (kinds & {"array", "ragged"} or kinds.isdisjoint({"", "object"})):
            return f"has {_describe_spec(spec)}, not {_describe_spec(other)}"
    return ""


def slice_columns(columns: Columns, start: int, stop: int) -> Columns:
    """Return rows [start, stop): views of arrays and `Ragged`, copies of lists."""
    return {name: values[start:stop] for name, values in columns.items()}


def take_rows(columns: Columns, rows: np.ndarray) -> Columns:
    """Return copies of some rows, in the order of `rows` (int64).

    >>> take_rows({"x": np.arange(4) / 2, "word": ["to", "be", "or", "not"]}, np.array([3, 0, 0]))
    {'x': array([1.5, 0. , 0. ]), 'word': ['not', 'to', 'to']}
    """
    return {
        name: [values[row] for row in rows.tolist()] if isinstance(values, list) else values[rows]
        for name, values in columns.items()
    }


def concatenate_columns(parts: Sequence[Columns]) -> Columns:
    """Return the rows of all `parts`, which have the same columns, one after another."""
    if len(parts) == 1:
        return parts[0]
    joined: Columns = {}
    for name, first in parts[0].items():
        columns: list[Any] = [part[name] for part in parts]
        if isinstance(first, np.ndarray):
            joined[name] = np.concatenate(columns)
        elif isinstance(first, Ragged):
            joined[name] = Ragged.concatenate(columns)
        else:
            joined[name] = [value for values in columns for value in values]
    return joined


def columns_bytes(columns: Columns, *, sample_rows: int = 64) -> int:
    """Return about how many bytes of memory `columns` take.

    Arrays and `Ragged` are counted exactly.  A list is measured on about `sample_rows` of its rows, evenly spread, and
    scaled.
    """
    total = 0
    for values in columns.values():
        total += _list_bytes(values, sample_rows) if isinstance(values, list) else values.nbytes
    return total


def content_bytes(content: Any) -> int:
    """Return about how many bytes of memory a batch takes, whatever it is made of.

    Arrays and tensors are counted by their `nbytes`, lists and tuples are measured on about 16 of their values.
    """
    return sum(map(content_bytes, content.values())) if isinstance(content, dict) else _value_bytes(content)


def _spec(name: str, values: Column) -> ColumnSpec:
    if isinstance(values, np.ndarray):
        return ColumnSpec(name, "array", values.dtype.str, values.shape[1:])
    if isinstance(values, Ragged):
        return ColumnSpec(name, "ragged", np.dtype(bytes).str if values.is_bytes else values.dtype.str)
    kinds = {_KINDS.get(kind, "object") for kind in set(map(type, values)) - {type(None)}}
    return ColumnSpec(name, "object" if len(kinds) > 1 else "".join(kinds))


def _describe_spec(spec: ColumnSpec) -> str:
    if spec.kind == "ragged":
        return f"{spec.name!r} as ragged rows of {np.dtype(spec.dtype).name}"
    if spec.kind == "array":
        shape = f" rows of shape {list(spec.item_shape)}" if spec.item_shape else ""
        return f"{spec.name!r} as {np.dtype(spec.dtype).name}{shape}"
    kind = {"": "nothing", "object": "values of several kinds"}.get(spec.kind, spec.kind)
    return f"{spec.name!r} as a list of {kind}"


def _list_bytes(values: Sequence[Any], sample_items: int) -> int:
    own = values.__sizeof__() + _COLLECTED_BYTES
    some = values[:: max(1, len(values) // sample_items)]
    return own if not some else own + round(sum(map(_value_bytes, some)) / len(some) * len(values))


def _value_bytes(value: Any) -> int:
    if value is None or (isinstance(value, int) and -5 <= value <= 256):
        return 0  # these exist once in an interpreter, however many lists hold them; so do True and False
    if isinstance(num_bytes := getattr(value, "nbytes", None), int):  # an array, or a tensor of any framework
        return _ARRAY_BYTES + num_bytes
    if isinstance(value, list | tuple):
        return _list_bytes(value, _SAMPLE_ITEMS)
    if isinstance(value, dict):
        return value.__sizeof__() + _COLLECTED_BYTES + sum(map(_value_bytes, value.values()))
    return -(-int(value.__sizeof__()) // _ALIGNMENT) * _ALIGNMENT


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
