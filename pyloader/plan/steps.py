"""Steps: how many batches an epoch has, and what fills the last, by the rule for it."""

from __future__ import annotations

import numpy as np

__all__ = ["LAST_BATCH_RULES", "filling_rows", "steps_per_epoch"]

LAST_BATCH_RULES = ("keep", "drop", "pad", "wrap")


def steps_per_epoch(num_samples: int, batch_size: int, last_batch: str) -> int:
    """Return how many batches `num_samples` make: rounded down when the short last batch is dropped, else up."""
    if last_batch == "drop":
        return num_samples // batch_size
    return -(-num_samples // batch_size)


def filling_rows(last_batch: str, num_latest: int, batch_size: int, num_carried: int) -> np.ndarray:
    """Return which of the `num_latest` rows before an epoch's end are repeated to fill its last batch.

    Args:
      last_batch: "pad" repeats the last row; "wrap" the rows that came latest, oldest first.
      num_latest: How many rows there are to choose from, at least 1.
      batch_size: How many rows the batch must have.
      num_carried: How many it has.

    Returns:
      int64 array of shape [batch_size - num_carried].
    """
    if last_batch == "pad":
        return np.full(batch_size - num_carried, num_latest - 1)
    return np.arange(num_latest - batch_size, num_latest - num_carried) % num_latest
