"""Sample numbers on rows: each row carries the number of the sample whose place it has, for receipts and keys.

In a mixture it carries its source as well, and its key, which its source's epoch decides.

They are more columns, which are gathered with the others and detached before anything is encoded.
"""

from __future__ import annotations

import numpy as np

from pyloader.columns import Columns
from pyloader.plan import STAND_IN

__all__ = ["attach", "detach", "detach_source", "place_of", "source_columns"]

# No column of the user's begins so.
_COLUMN, _SOURCE, _KEY = "\0sample", "\0source", "\0key"


def place_of(number: int) -> tuple[int, int]:
    """Return the chunk and the row of the sample with this number, whether or not another stands in for it."""
    return (number & ~int(STAND_IN)) >> 32, number & (2**32 - 1)


def attach(columns: Columns, numbers: np.ndarray | None, others: Columns) -> Columns:
    """Return columns, the numbers of their samples where they have some, and what else their rows carry."""
    return {**columns, **others} if numbers is None else {**columns, _COLUMN: numbers, **others}


def source_columns(source: int | None, num_rows: int, keys: np.ndarray | None) -> Columns:
    """Return what rows of a mixture carry beside their numbers; nothing where `source` is None.

    Args:
      source: Their source's number.
      num_rows: How many rows there are.
      keys: Their keys, uint64 of shape [num_rows]; None where nobody asks for them.
    """
    if source is None:
        return {}
    return {_SOURCE: np.full(num_rows, source), **({} if keys is None else {_KEY: keys})}


def detach_source(columns: Columns) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Take the rows' sources and keys out of `columns`, and return them; None where there are none."""
    sources, keys = columns.pop(_SOURCE, None), columns.pop(_KEY, None)
    assert sources is None or isinstance(sources, np.ndarray)
    assert keys is None or isinstance(keys, np.ndarray)
    return sources, keys


def detach(columns: Columns) -> np.ndarray | None:
    """Take the samples' numbers out of `columns`, and return them; None where there are none."""
    numbers = columns.pop(_COLUMN, None)
    assert numbers is None or isinstance(numbers, np.ndarray)
    return numbers
