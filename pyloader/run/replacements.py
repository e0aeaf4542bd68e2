"""Replacements: which rows are delivered in the place of rows that could not be read or encoded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

import numpy as np

from pyloader.columns import Columns
from pyloader.encode import find_bad_rows
from pyloader.errors import CoverageError, WorkerDiedError

__all__ = ["replacement_rows", "unchanged_copy", "with_replacements"]

Made = TypeVar("Made")


def replacement_rows(num_rows: int, bad: Collection[int], kinds: np.ndarray | None = None) -> np.ndarray:
    """Return which row stands at each place: itself, or for a bad one the next good one, the first following the last.

    Where `kinds` says of what kind each row is, it is one of the same kind, if there is a good one.

    >>> replacement_rows(6, bad=[1, 4, 5])
    array([0, 2, 2, 3, 0, 0])

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
    rows: np.ndarray = good[after % len(good)]
    for kind in [] if kinds is None else np.unique(kinds[list(bad)]):
        alike = np.flatnonzero(kinds == kind)
        if is_good[alike].any():
            rows[alike] = alike[replacement_rows(len(alike), np.flatnonzero(~is_good[alike]).tolist())]
    return rows


def with_replacements(
    make: Callable[[np.ndarray, np.ndarray], Made], num_rows: int, kinds: np.ndarray | None = None
) -> tuple[Made, np.ndarray, dict[int, Exception]]:
    """Make something of all rows, with other rows in the places of those that fail.

    Args:
      make: Gets rows, and the places that they have, both int64 of one shape; called anew when it fails.
      num_rows: How many rows there are.
      kinds: Of what kind each row is: one of the same stands in, if there is a good one; None where all are alike.

    Returns:
      What was made, the row that stands at each place, and the bad rows with their errors.

    Raises:
      Exception: the error for all rows together, when `make` fails for each of them, or for none alone: then no row is
        the cause.
    """
    everything = np.arange(num_rows)
    try:
        return make(everything, everything), everything, {}
    except (WorkerDiedError, CoverageError):
        raise
    except Exception as exc:
        bad = find_bad_rows(lambda rows: make(rows, rows), num_rows, exc)
        if len(bad) in (0, num_rows):
            raise
    rows = replacement_rows(num_rows, bad, kinds)
    return make(rows, everything), rows, bad


def unchanged_copy(columns: Columns) -> Columns:
    """Return the same rows in arrays and lists of their own, for a function that may change what it gets."""
    return {name: values.copy() for name, values in columns.items()}
