"""Gather: rows of unequal length are copied out of the arrays that they lie in.

An index of every value would be eight bytes a value to read, which is slower than a loop over rows.  Arrow's `take` of
binaries is a loop in C++, without the interpreter's lock: the values of any dtype are shown to it as bytes.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

__all__ = ["gather", "offsets_of"]

# Values, and where each row begins and ends in them.
_Arrays: TypeAlias = "tuple[np.ndarray, np.ndarray]"


def gather(sources: Sequence[_Arrays], rows: np.ndarray, source_of: np.ndarray | None = None) -> _Arrays:
    """Return copies of rows, one after another: their values, and their offsets, which begin at 0.

    Args:
      sources: Values and offsets, all of one dtype, contiguous and in the machine's byte order.
      rows: Which row of its source each is, int64 of shape [rows to be], all of them there.
      source_of: Which source it is of, int64 of the same shape; None for the only one.
    """
    values, offsets = sources[0]
    item_bytes = values.itemsize
    if source_of is None:
        starts, stops = offsets[rows], offsets[rows + 1]
    else:
        starts, stops = np.empty_like(rows), np.empty_like(rows)
        for number, (_, offsets) in enumerate(sources):
            places = np.flatnonzero(source_of == number)
            mine = rows[places]
            starts[places], stops[places] = offsets[mine], offsets[mine + 1]
    bounds = offsets_of(stops - starts)
    arrow = _arrow()
    if arrow is not None and source_of is None and len(rows):
        return _taken(arrow, values, offsets, rows, int(bounds[-1])), bounds
    made = np.empty(int(bounds[-1]), values.dtype)
    # Memoryviews of bytes: a slice of one costs a third of a slice of an array.
    target = made.view(np.uint8).data
    views = [values.view(np.uint8).data for values, _ in sources]
    spans = zip((starts * item_bytes).tolist(), (stops * item_bytes).tolist(), strict=True)
    at, view = 0, views[0]
    if source_of is None:
        for start, stop in spans:
            end = at + stop - start
            target[at:end] = view[start:stop]
            at = end
    else:
        for number, (start, stop) in zip(source_of.tolist(), spans, strict=True):
            end = at + stop - start
            target[at:end] = views[number][start:stop]
            at = end
    return made, bounds


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Return the offsets of rows of these lengths, which begin at 0: int64 of shape [rows + 1]."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _taken(arrow: Any, values: np.ndarray, offsets: np.ndarray, rows: np.ndarray, num_values: int) -> np.ndarray:
    item_bytes = values.itemsize
    starts = offsets if item_bytes == 1 else offsets * item_bytes
    buffers = [None, arrow.py_buffer(starts), arrow.py_buffer(values.view(np.uint8))]
    source = arrow.LargeBinaryArray.from_buffers(arrow.large_binary(), len(offsets) - 1, buffers)
    taken = source.take(arrow.array(rows)).buffers()[2]
    if taken is None:
        return np.empty(0, values.dtype)
    return np.frombuffer(taken, np.uint8, num_values * item_bytes).view(values.dtype)


@functools.cache
def _arrow() -> ModuleType | None:
    """Return pyarrow, or None where it is not installed."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        return None
