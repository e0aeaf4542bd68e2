"""Tracing: each row carries the number of its sample, so that what is delivered can be told from what was planned.

The numbers are one more column.  It goes the way that the others go, and is taken off before anything is encoded.
"""

from __future__ import annotations

import numpy as np

from pyloader.columns import Columns, row_count
from pyloader.plan import sample_numbers

__all__ = ["take_off", "with_sample_numbers"]

_COLUMN = "\0sample"  # no column of the user's begins so


def with_sample_numbers(columns: Columns, chunk: int) -> Columns:
    """Return a chunk's columns and the numbers of its samples; an empty one as it is."""
    return columns and {**columns, _COLUMN: sample_numbers(chunk, np.arange(row_count(columns)))}


def take_off(columns: Columns) -> np.ndarray | None:
    """Take the samples' numbers out of `columns`, and return them; None where there are none."""
    numbers = columns.pop(_COLUMN, None)
    assert numbers is None or isinstance(numbers, np.ndarray)
    return numbers
