"""Sample numbers on rows: each row carries the number of the sample whose place it has, for receipts and keys.

The numbers are one more column, which is gathered with the others and detached before anything is encoded.
"""

from __future__ import annotations

import numpy as np

from pyloader.columns import Columns
from pyloader.plan import STAND_IN

__all__ = ["attach", "detach", "place_of"]

_COLUMN = "\0sample"  # no column of the user's begins so


def place_of(number: int) -> tuple[int, int]:
    """Return the chunk and the row of the sample with this number, whether or not another stands in for it."""
    return (number & ~int(STAND_IN)) >> 32, number & (2**32 - 1)


def attach(columns: Columns, numbers: np.ndarray | None) -> Columns:
    """Return columns and the numbers of their samples, where they have some."""
    return columns if numbers is None else {**columns, _COLUMN: numbers}


def detach(columns: Columns) -> np.ndarray | None:
    """Take the samples' numbers out of `columns`, and return them; None where there are none."""
    numbers = columns.pop(_COLUMN, None)
    assert numbers is None or isinstance(numbers, np.ndarray)
    return numbers
