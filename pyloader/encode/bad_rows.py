"""Which rows of a batch a function fails on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyloader.errors import CoverageError, WorkerDiedError

__all__ = ["find_bad_rows"]


def find_bad_rows(function: Callable[[np.ndarray], Any], num_rows: int) -> dict[int, Exception]:
    """Return the rows that `function` fails on, each with its error, by halving what fails.

    Args:
      function: Gets some of the rows, int64.
      num_rows: How many there are; it has failed on all of them together.
    """
    bad: dict[int, Exception] = {}
    spans = [(0, num_rows)]
    while spans:
        start, stop = spans.pop()
        if stop - start < num_rows or num_rows == 1:
            try:
                function(np.arange(start, stop))
                continue
            except (WorkerDiedError, CoverageError):  # the fault of no row
                raise
            except Exception as exc:
                if stop - start == 1:
                    bad[start] = exc
                    continue
        middle = (start + stop) // 2
        spans += [(middle, stop), (start, middle)]
    return bad
