"""Tracing: each row carries the number of its sample, so that what is delivered can be told from what was planned.

The numbers are one more column.  It goes the way that the others go, and is taken off before anything is encoded.
"""

from __future__ import annotations

import numpy as np

from pyloader.columns import Columns, row_count

__all__ = ["STAND_IN", "sample_numbers", "take_off", "with_sample_numbers"]

_COLUMN = "\0sample"  # no column of the user's begins so

# Set in the number of a row that is delivered in place of another, or beyond an epoch's samples.
STAND_IN = np.uint64(1 << 63)


def sample_numbers(chunk: int, rows: np.ndarray) -> np.ndarray:
    """Return the numbers of some rows of a chunk: its index in the upper 32 bits, the row in the lower.

    Returns:
      uint64 array of the shape of `rows`.
    """
    return rows.astype(np.uint64) | np.uint64(chunk << 32)


def with_sample_numbers(columns: Columns, chunk: int) -> Columns:
    """Return a chunk's columns and the numbers of its samples; an empty one as it is."""
    return columns and {**columns, _COLUMN: sample_numbers(chunk, np.arange(row_count(columns)))}


def take_off(columns: Columns) -> np.ndarray | None:
    """Take the samples' numbers out of `columns`, and return them; None where there are none."""
    numbers = columns.pop(_COLUMN, None)
    assert numbers is None or isinstance(numbers, np.ndarray)
    return numbers
