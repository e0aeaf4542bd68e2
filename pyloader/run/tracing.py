"""Tracing: each row carries the number of its sample, so that what is delivered can be told from what was planned.

The numbers are one more column.  It goes the way that the others go, and is taken off before anything is encoded.
"""

from __future__ import annotations

import numpy as np

from pyloader.columns import Columns

__all__ = ["STAND_IN", "place_of", "put_on", "sample_numbers", "take_off"]

_COLUMN = "\0sample"  # no column of the user's begins so

# Set in the number of a row that is delivered in place of another, or beyond an epoch's samples.
STAND_IN = np.uint64(1 << 63)


def sample_numbers(chunk: int, rows: np.ndarray) -> np.ndarray:
    """Return the numbers of some rows of a chunk: its index in the upper 32 bits, the row in the lower.

    Returns:
      uint64 array of the shape of `rows`.
    """
    return rows.astype(np.uint64) | np.uint64(chunk << 32)


def place_of(number: int) -> tuple[int, int]:
    """Return the chunk and the row of the sample with this number, whether or not it stands in for another."""
    return (number & ~int(STAND_IN)) >> 32, number & (2**32 - 1)


def put_on(columns: Columns, numbers: np.ndarray | None) -> Columns:
    """Return columns and the numbers of their samples, where they have some."""
    return columns if numbers is None else {**columns, _COLUMN: numbers}


def take_off(columns: Columns) -> np.ndarray | None:
    """Take the samples' numbers out of `columns`, and return them; None where there are none."""
    numbers = columns.pop(_COLUMN, None)
    assert numbers is None or isinstance(numbers, np.ndarray)
    return numbers
