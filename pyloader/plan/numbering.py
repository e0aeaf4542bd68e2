"""Numbering: each sample has a number, which says where it comes from."""

from __future__ import annotations

import numpy as np

__all__ = ["STAND_IN", "sample_numbers"]

# Set in the number of a row that is delivered in place of another, or beyond an epoch's samples.
STAND_IN = np.uint64(1 << 63)


def sample_numbers(chunk: int | np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the numbers of some rows: the index of their chunk in the upper 32 bits, the row in the lower.

    Args:
      chunk: Of all rows, or of each.
      rows: int64 array.

    Returns:
      uint64 array of the shape of `rows`.
    """
    numbers: np.ndarray = np.asarray(chunk, np.uint64) << np.uint64(32) | rows.astype(np.uint64)
    return numbers
