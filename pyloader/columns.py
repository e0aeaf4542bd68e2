"""Columns: what samples are between a file and a batch.

A dict, name -> list or NumPy array, all of the same length; row i of every column is sample i.  Columns that are arrays
stay arrays all the way.  Strings stay lists of str (as NumPy strings they cost 9 to 17 times their text).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "Column",
    "ColumnSpec",
    "Columns",
    "column_specs",
    "columns_bytes",
    "concatenate_columns",
    "difference",
    "problem_with_columns",
    "row_count",
    "slice_columns",
]

Column: TypeAlias = "list[Any] | np.ndarray[Any, Any]"
Columns: TypeAlias = "dict[str, Column]"

_KINDS = {str: "str", bytes: "bytes", bool: "bool", int: "int", float: "float", list: "list", dict: "dict"}


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """What a column is, apart from its values.

    Attributes:
      name: Its key.
      kind: "array" for a NumPy array; for a list the type of its first value: "str", "bytes", "bool", "int", "float",
        "list", "dict", or "object" for anything else; "" for a list with no value to tell by.
      dtype: An array's dtype as NumPy spells it, byte order included ("<f4"); "" for a list.
      item_shape: The shape of one row of an array; () for a list.
    """

    name: str
    kind: str
    dtype: str = ""
    item_shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.kind != "array":
            return f"{self.name}: {self.kind or 'empty'}"
        shape = f" [{', '.join(map(str, self.item_shape))}]" if self.item_shape else ""
        return f"{self.name}: {np.dtype(self.dtype).name}{shape}"


def row_count(columns: Columns) -> int:
    """Return how many rows `columns` have; 0 when there is no column."""
    return len(next(iter(columns.values()), ()))


def problem_with_columns(columns: object) -> str:
    """Return what keeps `columns` from being a set of columns, in words; "" when nothing does.

    Lists and NumPy arrays of at least one dimension are columns, all of the same length.
    """
    if not isinstance(columns, dict):
        return f"is {_article(type(columns).__name__)}, not a dict of columns"
    if not columns:
        return "has no columns"
    first_name: str | None = None
    for name, values in columns.items():
        if not isinstance(name, str):
            return f"has the key {name!r}, which is not a str"
        if not isinstance(values, list | np.ndarray):
            return f"has {name!r} as {_article(type(values).__name__)}; a column is a list or a NumPy array"
        if isinstance(values, np.ndarray) and values.ndim == 0:
            return f"has {name!r} as a 0-dimensional array; a column has one row per sample"
        if first_name is None:
            first_name = name
        elif len(values) != len(columns[first_name]):
            return f"has {first_name!r} with {len(columns[first_name]):,} rows and {name!r} with {len(values):,}"
    return ""


def column_specs(columns: Columns) -> tuple[ColumnSpec, ...]:
    """Return what each column is, sorted by name."""
    return tuple(_spec(name, columns[name]) for name in sorted(columns))


def difference(specs: Sequence[ColumnSpec], others: Sequence[ColumnSpec]) -> str:
    """Return how two sets of columns differ, in words; "" when they agree.

    A list without a value to tell its kind by agrees with any list.
    """
    mine, theirs = {spec.name: spec for spec in specs}, {spec.name: spec for spec in others}
    if mine.keys() != theirs.keys():
        return f"has columns {sorted(mine)}, not {sorted(theirs)}"
    for name, spec in mine.items():
        other = theirs[name]
        if spec != other and not ("" in (spec.kind, other.kind) and "array" not in (spec.kind, other.kind)):
            return f"has {_in_words(spec)}, not {_in_words(other)}"
    return ""


def slice_columns(columns: Columns, start: int, stop: int) -> Columns:
    """Return rows [start, stop): views of arrays, copies of lists."""
    return {name: values[start:stop] for name, values in columns.items()}


def concatenate_columns(parts: Sequence[Columns]) -> Columns:
    """Return the rows of all `parts`, which have the same columns, one after another."""
    if len(parts) == 1:
        return parts[0]
    joined: Columns = {}
    for name, first in parts[0].items():
        if isinstance(first, np.ndarray):
            joined[name] = np.concatenate([part[name] for part in parts])
        else:
            joined[name] = [value for part in parts for value in part[name]]
    return joined


def columns_bytes(columns: Columns, *, sample_rows: int = 64) -> int:
    """Return about how many bytes of memory `columns` take.

    Arrays are counted exactly.  A list is measured on `sample_rows` of its rows, evenly spread, and scaled.
    """
    total = 0
    for values in columns.values():
        if isinstance(values, np.ndarray):
            total += values.nbytes
        elif values:
            some = values[:: max(1, len(values) // sample_rows)]
            total += 8 * len(values) + round(sum(map(_value_bytes, some)) / len(some) * len(values))
    return total


def _spec(name: str, values: Column) -> ColumnSpec:
    if isinstance(values, np.ndarray):
        return ColumnSpec(name, "array", values.dtype.str, values.shape[1:])
    first = next((value for value in values if value is not None), None)
    return ColumnSpec(name, "" if first is None else _KINDS.get(type(first), "object"))


def _in_words(spec: ColumnSpec) -> str:
    if spec.kind == "array":
        return f"{spec.name!r} as {np.dtype(spec.dtype).name} rows of shape {list(spec.item_shape)}"
    return f"{spec.name!r} as a list of {spec.kind or 'nothing'}"


def _value_bytes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return 112 + value.nbytes
    if isinstance(value, list | tuple):
        return 56 + sum(8 + _value_bytes(item) for item in value)
    if isinstance(value, dict):
        return 64 + sum(100 + _value_bytes(item) for item in value.values())
    return int(value.__sizeof__())


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
