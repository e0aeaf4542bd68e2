"""Holes: rows that could not be had, and which rows are delivered in their place, so that no step is lost."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from pyloader.columns import Columns

__all__ = ["stand_ins", "unchanged_copy"]


def stand_ins(num_rows: int, bad: Collection[int]) -> np.ndarray:
    """Return which row stands at each place: itself, or for a bad one the next good one, the first following the last.

    Returns:
      int64 array of shape [num_rows].

    Raises:
      ValueError: no row is good.
    """
    is_good = np.ones(num_rows, dtype=bool)
    is_good[list(bad)] = False
    good = np.flatnonzero(is_good)
    if len(good) == 0:
        raise ValueError("no row is good")
    after = np.searchsorted(good, np.arange(num_rows))
    return good[after % len(good)]


def unchanged_copy(columns: Columns) -> Columns:
    """Return the same rows in arrays and lists of their own, for a function that may change what it gets."""
    return {name: values.copy() for name, values in columns.items()}
