"""Nulls: what stands for a missing value, so that a column of numbers is an array in every batch, with gaps or without.

What a column becomes goes by what stands for its nulls, not by whether a chunk has one: it is the same in all chunks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns, ColumnSpec
from pyloader.errors import ChunkReadError
from pyloader.ragged import Ragged
from pyloader.read.numbers import NumberError, as_column

__all__ = ["Nulls", "nulls_of", "with_gaps_filled"]

_EXACT_IN_FLOAT64 = 2**53  # below it, float64 holds every int
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Nulls:
    """What stands for null."""

    values: Mapping[str, Any]  # by column
    in_lists: float | None = None  # in other columns of numbers, where they come as lists; None leaves them
    in_arrays: bool = False  # whether other arrays of integers and booleans become what they would be with a gap
    in_dates: bool = False  # whether it is NaT in dates, where the reader can make arrays of them

    def filled(self, path: str, columns: Columns) -> Columns:
        """Return the columns of a chunk without their nulls.

        Raises:
          ChunkReadError: a column is not there, or its values and what stands for null do not go together.
        """
        if columns and (unknown := [name for name in self.values if name not in columns]):
            raise ChunkReadError(path, f"has columns {list(columns)}, and nulls names {unknown[0]!r}.")
        filled: Columns = {}
        for name, values in columns.items():
            try:
                filled[name] = self._filled(name, values)
            except NumberError as exc:
                raise ChunkReadError(path, f"row {exc.row + 1:,}: {name!r} {exc.what}", exc.hint) from exc
        return filled

    def _filled(self, name: str, values: Column) -> Column:
        if isinstance(values, Ragged):  # has no nulls
            if name in self.values:
                raise NumberError(0, "is a row of several values, and nulls names its column.", "Leave it out of nulls")
            return values
        return self._array(name, values) if isinstance(values, np.ndarray) else self._list(name, values)

    def _array(self, name: str, values: np.ndarray) -> np.ndarray:
        value = self.values.get(name, self.in_lists if self.in_arrays else None)
        if value is None or values.ndim != 1 or values.dtype.kind not in "biuf":
            return values
        if not _is_number(value):
            raise _unfit(values.tolist(), value)
        return with_gaps_filled(values, None, value)

    def _list(self, name: str, values: list[Any]) -> Column:
        is_named = name in self.values
        value = self.values[name] if is_named else self.in_lists
        if value is None or not (is_named or _is_number(next((each for each in values if each is not None), None))):
            return values
        if _is_number(value) and (array := _array_with_gaps(values, value)) is not None:
            is_gap = np.array([each is None for each in values], np.bool_)
            return with_gaps_filled(array, is_gap, value)
        if not is_named:
            return values
        if not all(each is None or type(each) is type(value) for each in values):
            raise _unfit(values, value)
        return [value if each is None else each for each in values]


def nulls_of(given: Any, columns: tuple[ColumnSpec, ...], *, gaps_make_lists: bool) -> Nulls | None:
    """Return what the DataLoader's option `nulls` says; None when it says nothing.

    Args:
      given: The option.
      columns: What is known of them, by the manifest; () where nothing is.
      gaps_make_lists: Whether the reader gives an array of a column in a chunk without a gap, a list in one with a gap.

    Raises:
      TypeError, ValueError: it says something else; or it names a column that is not there.
    """
    if given is None:
        return None
    if isinstance(given, str) and given == "nan":
        if not columns:
            return Nulls({}, in_lists=math.nan, in_arrays=gaps_make_lists, in_dates=True)
        gapped = {spec.name: math.nan for spec in columns if spec.kind in ("bool", "int", "float")}
        return Nulls(gapped, in_dates=True)
    if not isinstance(given, Mapping):
        raise TypeError(f'nulls must be "nan", or a dict, column -> what stands for null there, got {given!r}')
    kinds = {spec.name: spec.kind for spec in columns}
    values = {}
    for name, value in given.items():
        value = value.item() if isinstance(value, np.generic) else value
        if columns and name not in kinds:
            raise ValueError(f"nulls names the column {name!r}; the chunks have {', '.join(map(repr, kinds))}")
        if not isinstance(value, bool | int | float | str | bytes):
            raise TypeError(f"nulls[{name!r}] must be a number or a str, got {value!r}")
        if isinstance(value, int) and not _INT64.min <= value <= _INT64.max:
            raise ValueError(f"nulls[{name!r}] must fit in int64, got {value!r}")
        values[name] = float(value) if kinds.get(name) == "float" and _is_number(value) else value
    return Nulls(values)


def with_gaps_filled(array: np.ndarray, is_gap: np.ndarray | None, value: float) -> np.ndarray:
    """Return numbers with `value` in their gaps, in the dtype that holds it beside the others.

    Args:
      array: The numbers, of one dimension, with any in the gaps; it may be written to where there are some.
      is_gap: Which rows are gaps, bool of the same shape; None when none is.
      value: What stands there.

    Raises:
      NumberError: a number does not fit in that dtype.
    """
    dtype = _dtype_beside(array.dtype, value)
    filled = array.astype(dtype, copy=False)
    if array.dtype.kind in "iu" and dtype.kind == "f":
        for row in np.flatnonzero(np.abs(filled) >= _EXACT_IN_FLOAT64).tolist():
            if int(filled[row]) != int(array[row]):
                what = f"is {array[row]}, and float64, which holds {value} for null, cannot hold it exactly."
                raise NumberError(row, what, "Write nulls={...: -1} for this column, or another integer")
    if is_gap is not None:
        filled[is_gap] = value
    return filled


def _dtype_beside(dtype: np.dtype[Any], value: float) -> np.dtype[Any]:
    """Return the dtype for numbers of `dtype` and `value`: integers stay integers when it is one."""
    if dtype.kind == "f" or isinstance(value, bool):
        return dtype
    if not isinstance(value, int):
        return np.dtype(np.float64)
    if dtype.kind == "b":
        return np.dtype(np.int64)
    info = np.iinfo(dtype)
    return dtype if info.min <= value <= info.max else np.result_type(dtype, np.int64)


def _array_with_gaps(values: list[Any], value: float) -> np.ndarray | None:
    """Return numbers as an array, with zeros where None is; None when not all of them are numbers."""
    rows = [row for row, each in enumerate(values) if each is not None]
    if not rows:
        return np.zeros(len(values), np.asarray(value).dtype)
    try:
        numbers = as_column([values[row] for row in rows])
    except NumberError as exc:
        raise NumberError(rows[exc.row], exc.what, exc.hint) from exc
    if not isinstance(numbers, np.ndarray):
        return None
    array = np.zeros(len(values), numbers.dtype)
    array[rows] = numbers
    return array


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _unfit(values: list[Any], value: Any) -> NumberError:
    """Return the error for the first of `values` that does not go with what stands for null."""
    row, other = next(
        (row, each) for row, each in enumerate(values) if each is not None and type(each) is not type(value)
    )
    hint = "Name another value, or leave the column out"
    if isinstance(other, str):
        hint += "; what an older manifest calls text in CSV files may be numbers after: pyloader index DIR --overwrite"
    return NumberError(row, f"is of type {type(other).__name__}, and nulls gives {value!r} for it.", hint)
