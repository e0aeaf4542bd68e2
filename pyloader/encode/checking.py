"""What a Dataset answers is checked: columns, and as many rows out as in."""

from __future__ import annotations

import inspect

import numpy as np

from pyloader.columns import Columns, problem_with_columns, row_count, with_tuples_as_lists
from pyloader.dataset import Dataset
from pyloader.errors import BatchEncodeError

__all__ = ["encode_batch", "taken_by"]


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
