"""Rows of unequal length become arrays, filled up with a padding value."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from itertools import chain
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import DTypeLike

from pyloader.collate.numpy_arrays import (
    NumpyDataCollator,
    as_dtype,
    as_numbers,
    check_arrays_alike,
    check_names,
    holds_numbers,
    is_row,
    unequal_rows,
)
from pyloader.columns import Column, Columns
from pyloader.datacollator import DataCollator
from pyloader.errors import CollateError
from pyloader.ragged import Ragged

__all__ = ["PaddingDataCollator"]


class PaddingDataCollator(DataCollator):
    """Makes an array [rows, longest row] of each list of rows of numbers, and of each `Ragged`; does all else like
    NumpyDataCollator.

    The rows may be lists, tuples or arrays, and hold numbers or, one like the other, arrays of them ([frames, 80] and
    [more frames, 80]).  They keep their kind; where a batch has no number at all, it is that of the padding.

    Args:
      pad_value: What fills the rows up, on the right.  A dict, column -> value, pads only the columns it names.  A
        `Ragged` of bytes is padded, to uint8, only where it is named so.
      length: The length to fill up to; None is the longest row of the batch.
      multiple_of: Round the longest row of the batch up to a multiple of this: few shapes, so that a jitted step
        compiles a few times only.
      truncate: Cut rows longer than `length`; otherwise they are an error.
      mask: Add a bool column "<name>_mask" for each padded column, False on padding.
      dtypes: A dict, column -> dtype, as for NumpyDataCollator.
    """

    is_thread_safe = True

    def __init__(
        self,
        pad_value: float | Mapping[str, float] = 0,
        *,
        length: int | None = None,
        multiple_of: int = 1,
        truncate: bool = False,
        mask: bool = False,
        dtypes: Mapping[str, DTypeLike] | None = None,
    ) -> None:
        for value in pad_value.values() if isinstance(pad_value, Mapping) else [pad_value]:
            if not isinstance(value, numbers.Number):
                raise TypeError(f"pad_value must be a number, or a dict, column -> number; got {value!r}")
        if length is not None and length < 1:
            raise ValueError(f"length must be at least 1, got {length}")
        if multiple_of < 1:
            raise ValueError(f"multiple_of must be at least 1, got {multiple_of}")
        if length is not None and multiple_of != 1:
            raise ValueError(f"length={length} is one length, multiple_of={multiple_of} is several: give one of them")
        if truncate and length is None:
            raise ValueError("truncate=True cuts rows at length: give length=")
        self.pad_value, self.length, self.multiple_of = pad_value, length, multiple_of
        self.truncate, self.mask = truncate, mask
        self._to_arrays = NumpyDataCollator(dtypes=dtypes)

    def collate_batch(self, columns: Columns) -> dict[str, Column]:
        """Return a dict, name -> array, or list where there are no numbers.

        Raises:
          CollateError: as by NumpyDataCollator; a row is longer than `length`; the padding is no number that the
            column's dtype can hold; `pad_value` names a column that is not there; a mask's name is taken.
        """
        given = self.pad_value
        pad_values = given if isinstance(given, Mapping) else dict.fromkeys(columns, given)
        check_names("pad_value", pad_values, columns)
        padded: Columns = {}
        for name, values in columns.items():
            if isinstance(values, Ragged) and name in pad_values and not (values.is_bytes and pad_values is not given):
                padded[name], present = self._pad_ragged(name, values, pad_values[name])
            elif name in pad_values and _holds_rows(values):
                padded[name], present = self._pad(name, values, pad_values[name])
            else:
                padded[name] = values
                continue
            if self.mask:
                if f"{name}_mask" in columns:
                    raise CollateError(f"the mask of {name!r} would replace the column '{name}_mask'.", "Rename it")
                padded[f"{name}_mask"] = present
        return self._to_arrays.collate_batch(padded)

    def _pad(self, name: str, rows: list[Any], pad_value: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows as one array, and the bool array [rows, width] of where they are."""
        if not all(map(is_row, rows)):
            raise unequal_rows(name, rows)
        lengths = np.array([len(row) for row in rows])
        width = self._width(name, lengths)
        if lengths.max() > width:
            rows, lengths = [row[:width] for row in rows], np.minimum(lengths, width)
        values = self._values(name, rows, pad_value)
        if name in self._to_arrays.dtypes:
            values = as_dtype(name, values, self._to_arrays.dtypes[name], lengths=lengths)
        present = np.arange(width) < lengths[:, None]
        padded = np.full((*present.shape, *values.shape[1:]), _fitting(name, pad_value, values.dtype), values.dtype)
        padded[present] = values
        return padded, present

    def _pad_ragged(self, name: str, column: Ragged, pad_value: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows as one array, and the bool array [rows, width] of where they are."""
        values, lengths = column.spanned, column.lengths
        width = self._width(name, lengths)
        if name in self._to_arrays.dtypes:
            values = as_dtype(name, values, self._to_arrays.dtypes[name], lengths=lengths)
        used = min(width, int(lengths.max(initial=0)))
        padded = _windows(values, column.offsets[:-1] - column.offsets[0], used)
        if used < width:
            wide = np.empty((len(column), width), values.dtype)
            wide[:, :used] = padded
            padded = wide
        # Each row's places are a part of these: first those of its values, then those of the padding.
        places = _all_windows(np.arange(2 * width) < width, width)[width - np.minimum(lengths, width)]
        shortest = int(lengths.min(initial=width))
        fill = np.asarray(_fitting(name, pad_value, values.dtype)).astype(values.dtype)
        np.copyto(padded[:, shortest:], fill, where=~places[:, shortest:])
        return padded, places

    def _width(self, name: str, lengths: np.ndarray) -> int:
        """Return how long the padded rows are."""
        longest = int(lengths.max(initial=0))
        width = self.length or -(-longest // self.multiple_of) * self.multiple_of
        if longest > width and not self.truncate:
            row = int(np.argmax(lengths > width))
            what = f"{name!r} has {lengths[row]:,} numbers in row {row}, more than length={width:,}."
            raise CollateError(what, "truncate=True cuts them")
        return width

    def _values(self, name: str, rows: list[Any], pad_value: float) -> np.ndarray:
        """Return the items of all rows, one after another."""
        if isinstance(rows[0], np.ndarray):
            check_arrays_alike(name, rows, first_axis=1)
            return np.concatenate(rows)
        items = list(chain.from_iterable(rows))
        return as_numbers(name, items, rows=rows) if items else np.array([], np.asarray(pad_value).dtype)


def _windows(values: np.ndarray, starts: np.ndarray, width: int) -> np.ndarray:
    """Return an array [rows, width] of the values from each start on, those of later rows too; at the end, of any.

    Windows of one width, at most all values, are copied as wholes; an index for each value would be slower than that.
    """
    last = len(values) - width  # where the last whole window begins
    windows: np.ndarray = _all_windows(values, width)[np.minimum(starts, last)]
    cut = int(np.searchsorted(starts, last, side="right"))
    windows[cut:] = values.take(starts[cut:, None] + np.arange(width), mode="clip")
    return windows


def _all_windows(values: np.ndarray, width: int) -> np.ndarray:
    """Return a view of all windows of one width: NumPy's own takes longer to be made than they to be copied."""
    shape = (len(values) - width + 1, width)
    return np.ndarray(shape, values.dtype, values, strides=values.strides * 2)


def _holds_rows(values: Column) -> TypeGuard[list[Any]]:
    if not isinstance(values, list):
        return False
    first = next((value for value in values if value is not None), None)
    return is_row(first) and holds_numbers(values)


def _fitting(name: str, pad_value: float, dtype: np.dtype) -> float:
    try:
        with np.errstate(invalid="ignore"):  # nan among ints
            fits = dtype.kind not in "biu" or bool(np.array(pad_value).astype(dtype) == pad_value)
    except OverflowError:
        fits = False
    if not fits:
        raise CollateError(f"pad_value={pad_value!r} does not fit among the numbers of {name!r}, which are {dtype}.")
    return pad_value
