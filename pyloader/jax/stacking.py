"""Stacking: several arrays as one, without a copy where they lie one after another in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["stacked"]


def stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays of one shape and dtype as one of shape [n, ...]; to be read, not written to.

    The batches of a chunk loader often are neighbouring slices of one array, and then this is a view of that.
    """
    first = arrays[0]
    if first.base is None or not first.flags.c_contiguous or not _are_neighbours(arrays):
        return np.stack(arrays)
    # The view holds `first`, and with it the array that all are slices of.
    shape, strides = (len(arrays), *first.shape), (first.nbytes, *first.strides)
    return np.lib.stride_tricks.as_strided(first, shape, strides, writeable=False)


def _are_neighbours(arrays: Sequence[np.ndarray]) -> bool:
    first = arrays[0]
    start = first.__array_interface__["data"][0]
    return all(
        array.base is first.base
        and array.strides == first.strides
        and array.__array_interface__["data"][0] == start + place * first.nbytes
        for place, array in enumerate(arrays)
    )
