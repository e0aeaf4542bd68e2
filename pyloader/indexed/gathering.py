"""Gathering: rows of an array, into memory that earlier rows have left."""

from __future__ import annotations

import numpy as np

from pyloader.machine.memory import RecycledMemory

__all__ = ["gathered"]


def gathered(array: np.ndarray, indices: np.ndarray, memory: RecycledMemory) -> np.ndarray:
    """Return array[indices], shape [len(indices), *array.shape[1:]], a copy.

    Args:
      array: At least one dimension; it may be a mapping.
      indices: int64 array of shape [n], each at least 0 and below len(array): `Dataset.take` sees to that.
      memory: Where the copy is made.
    """
    if array.dtype.hasobject or not (array.flags.c_contiguous and array.flags.aligned):
        copy: np.ndarray = array[indices]  # np.take would first copy the whole array
        return copy
    # In the other modes np.take makes its copy twice; this one takes whatever index for one that is there.
    out = memory.empty((len(indices), *array.shape[1:]), array.dtype)
    return np.take(array, indices, axis=0, out=out, mode="clip")
