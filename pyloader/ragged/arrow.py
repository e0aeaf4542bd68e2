"""Arrow's columns of lists and binaries as values and offsets, without a copy of the values."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pyloader.errors import import_optional
from pyloader.ragged.gathering import offsets_of

__all__ = ["arrays_of"]


# Values, offsets, and whether rows are bytes.
_Arrays: TypeAlias = "tuple[np.ndarray, np.ndarray, bool]"


def arrays_of(array: Any, *, wanted_by: str) -> _Arrays:
    """Return the values of an Arrow column, its offsets, and whether its rows are bytes.

    Raises:
      MissingDependencyError, TypeError, ValueError: as `Ragged.from_arrow`.
    """
    arrow = import_optional("pyarrow", wanted_by=wanted_by)
    if isinstance(array, arrow.ChunkedArray):
        chunks = array.chunks or [arrow.array([], array.type)]
        if len(chunks) == 1:
            return arrays_of(chunks[0], wanted_by=wanted_by)
        firsts = np.cumsum([0, *map(len, chunks)])
        return _one_after_another(
            [_arrays_of(arrow, chunk, first) for chunk, first in zip(chunks, firsts.tolist(), strict=False)]
        )
    return _arrays_of(arrow, array, 0)


def _one_after_another(parts: list[_Arrays]) -> _Arrays:
    # Not by Arrow, whose offsets of binaries and lists end at 2 GiB.
    lengths = np.concatenate([np.diff(offsets) for _, offsets, _ in parts])
    values = np.concatenate([values[offsets[0] : offsets[-1]] for values, offsets, _ in parts])
    return values, offsets_of(lengths), parts[0][2]


def _arrays_of(arrow: Any, array: Any, first_row: int) -> _Arrays:
    kind, types = array.type, arrow.types
    if array.null_count:
        raise ValueError(f"row {first_row + _first_null(array):,} is null")
    if types.is_binary(kind) or types.is_large_binary(kind):
        dtype = np.dtype(np.int64 if types.is_large_binary(kind) else np.int32)
        _, offsets, data = array.buffers()
        if not len(array):
            return np.empty(0, np.uint8), np.zeros(1, np.int64), True
        return _bytes_of(data), np.frombuffer(offsets, dtype, len(array) + 1, array.offset * dtype.itemsize), True
    if types.is_fixed_size_binary(kind):
        return _bytes_of(array.buffers()[1]), (np.arange(len(array) + 1) + array.offset) * kind.byte_width, True
    if types.is_list(kind) or types.is_large_list(kind):
        offsets = array.offsets.to_numpy()
    elif types.is_fixed_size_list(kind):
        offsets = (np.arange(len(array) + 1) + array.offset) * kind.list_size
    else:
        raise TypeError(f"an Arrow column of {kind} is not one of lists of numbers or of binaries")
    if not types.is_primitive(array.values.type):
        raise TypeError(f"an Arrow column of {kind} does not hold lists of numbers")
    used = array.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    if used.null_count:
        row = int(np.searchsorted(offsets, offsets[0] + _first_null(used), side="right")) - 1
        raise ValueError(f"row {first_row + row:,} holds null among its values")
    return used.to_numpy(zero_copy_only=False), offsets - offsets[0], False


def _bytes_of(buffer: Any) -> np.ndarray:
    return np.empty(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)


def _first_null(array: Any) -> int:
    return int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
