"""Which rows of a batch a function fails on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyloader.columns import Columns, row_count, take_rows
from pyloader.errors import WorkerDiedError

__all__ = ["find_bad_rows"]


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
