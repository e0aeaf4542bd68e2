"""What a Dataset answers is checked: columns, as many rows out as in; and which rows it fails on is found out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from pyloader.columns import Columns, problem_with_columns, row_count, with_tuples_as_lists
from pyloader.dataset import Dataset
from pyloader.errors import BadRowsError, BatchEncodeError, CoverageError, WorkerDiedError

__all__ = ["encode_batch", "find_bad_rows", "taken_by"]


def taken_by(dataset: Dataset) -> frozenset[str]:
    """Return which of "rng" and "keys" `batch_encode` takes, also behind a decorator that keeps to functools.wraps."""
    try:
        return frozenset({"rng", "keys"} & inspect.signature(dataset.batch_encode).parameters.keys())
    except ValueError:  # compiled code may not tell its parameters
        return frozenset()


def encode_batch(
    dataset: Dataset, columns: Columns, rng: np.random.Generator | None = None, keys: np.ndarray | None = None
) -> Columns:
    """Return what `dataset` makes of one batch's `columns`, checked; `rng` and `keys` are for those that take them.

    Raises:
      BatchEncodeError: the answer is no set of columns, or has another number of rows than came in.
    """
    where = f"{type(dataset).__name__}.batch_encode"
    # Counted first: batch_encode may well change the dict that it is given.
    num_rows = row_count(columns)
    given = {name: value for name, value in (("rng", rng), ("keys", keys)) if value is not None}
    try:
        encoded = with_tuples_as_lists(dataset.batch_encode(columns, **given))
    except StopIteration as exc:  # on its way up it would end the training loop, as if everything had been read
        raise RuntimeError(f"{where} raised StopIteration") from exc
    if problem := problem_with_columns(encoded):
        hint = f"Return a dict, name -> list or NumPy array of {num_rows:,} rows; tensors are made in collate_batch"
        raise BatchEncodeError(f"{where} returned {problem}.", hint)
    checked: Columns = encoded
    if row_count(checked) != num_rows:
        counts = f"got {num_rows:,} rows and returned {row_count(checked):,}"
        raise BatchEncodeError(f"{where} {counts}.", "Filter in read_file, or when splitting")
    return checked


def find_bad_rows(function: Callable[[np.ndarray], Any], num_rows: int, failure: Exception) -> dict[int, Exception]:
    """Return the rows that `function` fails on, each with its error: those that `failure` names, or by halving.

    Args:
      function: Gets some of the rows, int64.
      num_rows: How many there are.
      failure: What it has failed with on all of them together.
    """
    if isinstance(failure, BadRowsError) and failure.bad_rows.keys() <= set(range(num_rows)):
        return {row: BatchEncodeError(reason) for row, reason in failure.bad_rows.items()}
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
