"""Sample numbers on rows: each row carries the number of the sample whose place it has, for receipts and keys.

In a mixture it carries its key as well, where that is asked for: its source and the epoch of that decide it.

They are more columns, which are gathered with the others and detached before anything is encoded.
"""

from __future__ import annotations

import numpy as np

from pyloader.columns import Columns
from pyloader.plan import STAND_IN

__all__ = ["attach", "detach", "place_of"]

# No column of the user's begins so.
_NUMBER, _KEY = "\0sample", "\0key"


def place_of(number: int) -> tuple[int, int]:
    """Return the chunk and the row of the sample with this number, whether or not another stands in for it."""
    return (number & ~int(STAND_IN)) >> 32, number & (2**32 - 1)


def attach(columns: Columns, numbers: np.ndarray | None, keys: np.ndarray | None) -> Columns:
    """Return columns, with the numbers of their samples and with their keys, where they have some."""
    numbered = columns if numbers is None else {**columns, _NUMBER: numbers}
    return numbered if keys is None else {**numbered, _KEY: keys}


def detach(columns: Columns) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Take the samples' numbers and the keys out of `columns`, and return them; None where there are none."""
    numbers, keys = columns.pop(_NUMBER, None), columns.pop(_KEY, None)
    assert numbers is None or isinstance(numbers, np.ndarray)
    assert keys is None or isinstance(keys, np.ndarray)
    return numbers, keys
