"""Gathering: rows of an array, into memory that earlier rows have left."""

from __future__ import annotations

import numpy as np

from pyloader.memory import RecycledMemory

__all__ = ["gathered"]


def gathered(array: np.ndarray, indices: np.ndarray, memory: RecycledMemory) -> np.ndarray:
    """Return array[indices], shape [len(indices), *array.shape[1:]], a copy.

    Args:
      array: At least one dimension; it may be a mapping.
      indices: int64 array of shape [n], each at least 0 and below len(array).
      memory: Where the copy is made.

    Raises:
      IndexError: an index is outside of the array.
    """
    if array.dtype.hasobject or not (array.flags.c_contiguous and array.flags.aligned):
        copy: np.ndarray = array[indices]  # np.take would first copy the whole array
        return copy
    # In the other modes np.take makes its copy twice; this one takes whatever index for one that is there.
    # Read without their sign, negative ones are larger than any length.
    if len(indices) and indices.view(np.uint64).max() >= len(array):
        raise IndexError(f"an index is outside of an array of {len(array):,} rows")
    out = memory.empty((len(indices), *array.shape[1:]), array.dtype)
    return np.take(array, indices, axis=0, out=out, mode="clip")
