"""Holes: rows that could not be had, and which rows are delivered in their place, so that no step is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from pyloader.columns import Columns, row_count, take_rows
from pyloader.errors import WorkerDiedError

__all__ = ["find_bad_rows", "stand_ins", "unchanged_copy"]


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


def find_bad_rows(function: Callable[[Columns, np.ndarray], Any], columns: Columns) -> dict[int, Exception]:
    """Return the rows that `function` fails on, each with its error, by halving what fails.

    Args:
      function: Gets some of the rows, and which they are (int64).
      columns: Rows that it has failed on together.
    """
    bad: dict[int, Exception] = {}
    num_rows = row_count(columns)
    spans = [(0, num_rows)]
    while spans:
        start, stop = spans.pop()
        if stop - start < num_rows or num_rows == 1:
            rows = np.arange(start, stop)
            try:
                function(take_rows(columns, rows), rows)
                continue
            except WorkerDiedError:
                raise
            except Exception as exc:
                if stop - start == 1:
                    bad[start] = exc
                    continue
        middle = (start + stop) // 2
        spans += [(middle, stop), (start, middle)]
    return bad


def unchanged_copy(columns: Columns) -> Columns:
    """Return the same rows in arrays and lists of their own, for a function that may change what it gets."""
    return {name: values.copy() for name, values in columns.items()}
