"""Arrow's columns of lists and binaries as values and offsets, without a copy of the values."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyloader.errors import import_optional

__all__ = ["arrays_of"]


def arrays_of(array: Any, *, wanted_by: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the values of an Arrow column, its offsets, and whether its rows are bytes.

    Raises:
      MissingDependencyError, TypeError, ValueError: as `Ragged.from_arrow`.
    """
    arrow = import_optional("pyarrow", wanted_by=wanted_by)
    if isinstance(array, arrow.ChunkedArray):
        chunks = array.chunks or [arrow.array([], array.type)]
        array = chunks[0] if len(chunks) == 1 else arrow.concat_arrays(chunks)
    kind, types = array.type, arrow.types
    if array.null_count:
        raise ValueError(f"row {_first_null(array):,} is null")
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
        raise ValueError(f"row {row:,} holds null among its values")
    return used.to_numpy(zero_copy_only=False), offsets - offsets[0], False


def _bytes_of(buffer: Any) -> np.ndarray:
    return np.empty(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)


def _first_null(array: Any) -> int:
    return int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
