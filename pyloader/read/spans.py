"""Values that lie apart in the bytes of a chunk -> one column: copied end to end, without a loop over rows."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pyloader.ragged import Ragged

__all__ = ["bytes_at", "even", "numbers_at", "ragged_numbers", "words_at"]


def bytes_at(data: np.ndarray, starts: npt.ArrayLike, stops: npt.ArrayLike) -> Ragged:
    """Return a column of bytes: row i is a copy of data[starts[i]:stops[i]].

    Args:
      data: uint8.
      starts: Where each row begins; no row begins before the end of the one before it.
      stops: Where each row ends.

    Raises:
      ValueError: rows overlap, or lie outside of the data.
    """
    bounds = np.stack([np.asarray(starts, np.int64), np.asarray(stops, np.int64)], axis=1).reshape(-1)
    if not len(bounds):
        return Ragged(np.empty(0, np.uint8), [0], is_bytes=True)
    # What lies between two rows is a row as well, which is not taken.
    return Ragged(data, bounds, is_bytes=True).take(np.arange(0, len(bounds), 2))


def numbers_at(data: np.ndarray, starts: np.ndarray, dtype: npt.DTypeLike, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Return an array of shape [rows, *shape]: row i is a copy of the numbers that begin at data[starts[i]].

    Raises:
      ValueError: a row lies outside of the data.
    """
    dtype = np.dtype(dtype)
    row_bytes = dtype.itemsize * math.prod(shape)
    if not len(starts):
        return np.empty((0, *shape), dtype.newbyteorder("="))
    if int(starts.min()) < 0 or int(starts.max()) > len(data) - row_bytes:
        raise ValueError(f"rows of {row_bytes:,} bytes go beyond {len(data):,} bytes")
    if not row_bytes:
        return np.empty((len(starts), *shape), dtype.newbyteorder("="))
    rows: np.ndarray = np.lib.stride_tricks.sliding_window_view(data, row_bytes)[starts]
    return rows.view(dtype).reshape(len(starts), *shape).astype(dtype.newbyteorder("="), copy=False)


def words_at(data: np.ndarray, start: int, count: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Return `count` integers that lie end to end from data[start] on, as int64.

    Raises:
      ValueError: they go beyond the data, or are larger than int64.
    """
    dtype = np.dtype(dtype)
    if start < 0 or count < 0 or start + count * dtype.itemsize > len(data):
        raise ValueError(f"{count:,} integers from byte {start:,} on go beyond {len(data):,} bytes")
    words = data[start : start + count * dtype.itemsize].view(dtype)
    if dtype.kind == "u" and dtype.itemsize == 8 and len(words) and int(words.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{int(words.max()):,} does not fit in int64")
    return words.astype(np.int64)


def ragged_numbers(column: Ragged, dtype: npt.DTypeLike) -> Ragged:
    """Return a column of bytes as one of the numbers that they are.

    Raises:
      ValueError: a row is no whole number of them.
    """
    dtype = np.dtype(dtype)
    if (wrong := column.lengths % dtype.itemsize != 0).any():
        row = int(wrong.argmax())
        raise ValueError(f"row {row:,} has {column.lengths[row]:,} bytes, no whole number of {dtype.name}")
    return Ragged(column.spanned.view(dtype), (column.offsets - column.offsets[0]) // dtype.itemsize)


def even(column: Ragged) -> np.ndarray | Ragged:
    """Return rows that are all of one length as an array: [rows, length], or [rows] where that is 1.

    Rows of other lengths, and no rows, are the column itself.
    """
    lengths = column.lengths
    if not len(lengths) or not (lengths == lengths[0]).all():
        return column
    values = column.spanned
    if not values.flags.writeable:
        values = values.copy()
    return values if lengths[0] == 1 else values.reshape(len(lengths), int(lengths[0]))
