"""Gather: rows of unequal length are copied out of the arrays that they lie in.

An index of every value is eight bytes a value to read, which is slower than a loop over rows, unless they are short.
Arrow's C++ code for binaries is such a loop, without the interpreter's lock: values of any dtype are shown to it as
bytes.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

__all__ = ["gather", "offsets_of"]

# Values, and the offsets of the rows in them.
_Arrays: TypeAlias = "tuple[np.ndarray, np.ndarray]"

_MANY = 8  # one row in so many, of those that there are
# Values a row: below it an index of them is faster than Python's loop, of one source and of several.
_SHORT, _SHORT_OF_SEVERAL = 96, 32
_INT32 = 2**31
_INLINE_BYTES = 12  # up to so many, a row of a binary view has its bytes in the view


def gather(sources: Sequence[_Arrays], rows: np.ndarray, source_of: np.ndarray | None = None) -> _Arrays:
    """Return copies of rows, one after another: their values, and their offsets, which begin at 0.

    Args:
      sources: Values and offsets, all of one dtype, contiguous and in the machine's byte order.
      rows: Which row of its source each is, int64 of shape [rows to be], all of them there.
      source_of: Which source it is of, integers of the same shape; None for the only one.
    """
    arrow = _arrow()
    if arrow is not None and source_of is None and _MANY * len(rows) >= len(sources[0][1]):
        return _taken(arrow, *sources[0], rows)
    starts, stops = _bounds([offsets for _, offsets in sources], rows, source_of)
    made_offsets = offsets_of(stops - starts)
    dtype, num_values = sources[0][0].dtype, int(made_offsets[-1])
    raw = [values.view(np.uint8) for values, _ in sources]
    by_views = arrow is not None and _views_work() and all(len(each) < _INT32 for each in raw)
    short = _SHORT if source_of is None else _SHORT_OF_SEVERAL
    if not by_views and num_values < short * len(rows):
        return _indexed([values for values, _ in sources], starts, made_offsets, source_of), made_offsets
    starts, stops = starts * dtype.itemsize, stops * dtype.itemsize
    if num_values and by_views:
        copied = _viewed(arrow, raw, starts, stops, source_of)
    else:
        copied = _copied(raw, starts, stops, source_of, num_values * dtype.itemsize)
    return copied.view(dtype), made_offsets


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Return the offsets of rows of these lengths, which begin at 0: int64 of shape [rows + 1]."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _bounds(offsets: Sequence[np.ndarray], rows: np.ndarray, source_of: np.ndarray | None) -> _Arrays:
    """Return where each row begins and ends in its source."""
    if source_of is None:
        return offsets[0][rows], offsets[0][rows + 1]
    starts, stops = np.empty_like(rows), np.empty_like(rows)
    for number, of_source in enumerate(offsets):
        places = np.flatnonzero(source_of == number)
        mine = rows[places]
        starts[places], stops[places] = of_source[mine], of_source[mine + 1]
    return starts, stops


def _taken(arrow: Any, values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> _Arrays:
    """Return rows of one source, by Arrow's `take`: it wants the offsets of all rows, in bytes."""
    item_bytes = values.itemsize
    starts = offsets if item_bytes == 1 else offsets * item_bytes
    buffers = [None, arrow.py_buffer(starts), arrow.py_buffer(values.view(np.uint8))]
    source = arrow.LargeBinaryArray.from_buffers(arrow.large_binary(), len(offsets) - 1, buffers)
    # `arrow.array(rows)` would look at each.
    indices = arrow.py_buffer(np.ascontiguousarray(rows, np.int64))
    wanted = arrow.Array.from_buffers(arrow.int64(), len(rows), [None, indices])
    _, made_offsets, made = source.take(wanted).buffers()
    bounds = np.frombuffer(made_offsets, np.int64, len(rows) + 1)
    if not bounds[-1]:
        return np.empty(0, values.dtype), np.zeros(len(rows) + 1, np.int64)
    bounds = bounds if item_bytes == 1 else bounds // item_bytes
    return np.frombuffer(made, np.uint8, int(bounds[-1]) * item_bytes).view(values.dtype), bounds


def _viewed(
    arrow: Any, raw: Sequence[np.ndarray], starts: np.ndarray, stops: np.ndarray, source_of: np.ndarray | None
) -> np.ndarray:
    """Return the bytes of rows, by views of them in Arrow's form, which are then joined."""
    lengths, sources = stops - starts, np.zeros_like(starts) if source_of is None else source_of
    # A view is its length, four bytes (the first of the row, which nothing here looks at), its source, and its start.
    views = np.zeros((len(lengths), 4), np.int32)
    views[:, 0], views[:, 2], views[:, 3] = lengths, sources, starts
    is_inline = lengths <= _INLINE_BYTES
    for number, each in enumerate(raw) if is_inline.any() else ():
        places = np.flatnonzero(is_inline & (sources == number) & (lengths > 0))
        views.view(np.uint8)[places, 4:] = each.take(starts[places, None] + np.arange(_INLINE_BYTES), mode="clip")
    buffers = [None, arrow.py_buffer(views), *map(arrow.py_buffer, raw)]
    rows = arrow.Array.from_buffers(arrow.binary_view(), len(lengths), buffers)
    return np.frombuffer(rows.cast(arrow.large_binary()).buffers()[2], np.uint8)


def _indexed(
    sources: Sequence[np.ndarray], starts: np.ndarray, offsets: np.ndarray, source_of: np.ndarray | None
) -> np.ndarray:
    """Return the values of rows, which come to lie at `offsets`, by an index of each value."""
    lengths = np.diff(offsets)
    index = np.repeat(starts - offsets[:-1], lengths)
    index += np.arange(len(index))
    if source_of is None:
        taken: np.ndarray = sources[0].take(index, mode="clip")  # all are there: it need not look
        return taken
    made, sources_of_values = np.empty(len(index), sources[0].dtype), np.repeat(source_of, lengths)
    for number, values in enumerate(sources):
        mine = np.flatnonzero(sources_of_values == number)
        made[mine] = values.take(index[mine])
    return made


def _copied(
    raw: Sequence[np.ndarray], starts: np.ndarray, stops: np.ndarray, source_of: np.ndarray | None, num_bytes: int
) -> np.ndarray:
    """Return the bytes of rows, by a loop over slices of memoryviews, which cost a third of those of arrays."""
    made = np.empty(num_bytes, np.uint8)
    target, views, at = made.data, [each.data for each in raw], 0
    sources = [0] * len(starts) if source_of is None else source_of.tolist()
    for source, start, stop in zip(sources, starts.tolist(), stops.tolist(), strict=True):
        end = at + stop - start
        target[at:end] = views[source][start:stop]
        at = end
    return made


@functools.cache
def _arrow() -> ModuleType | None:
    """Return pyarrow, or None where it is not installed."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        return None


@functools.cache
def _views_work() -> bool:
    """Tell whether this pyarrow makes binaries of views (20 does); tried once in a process, at the first use."""
    raw = [np.arange(40, dtype=np.uint8), np.arange(100, 140, dtype=np.uint8)]
    starts, stops, sources = np.array([20, 3, 39]), np.array([35, 3, 40]), np.array([1, 0, 0])
    try:
        joined = _viewed(_arrow(), raw, starts, stops, sources)
    except Exception:  # older ones raise several kinds
        return False
    return bool(np.array_equal(joined, [*range(120, 135), 39]))
