"""Buckets: batches of rows of about one length.

A run of RUN_STEPS steps of a stream is sorted by length and cut into shares, one for each step; the shares change
places, in all streams alike, so that a step has rows of one length from each.  An epoch's rows that make no whole step
in every stream stay last, as they are.
"""

from __future__ import annotations

import numpy as np

from pyloader.plan.order import share_order

__all__ = ["RUN_STEPS", "order_in_run"]

RUN_STEPS = 64


def order_in_run(lengths: np.ndarray, num_shares: int, *, seed: int | None, epoch: int, run: int) -> np.ndarray:
    """Return the rows of a run in the order in which its shares have them, int64 of shape [rows].

    Args:
      lengths: Of the rows, as they come: int64 of shape [rows].
      num_shares: How many shares they make, all as large.
      seed: Of the order of the rows; None leaves the shares in the order of their lengths.
      epoch: Counted from 0.
      run: Which run of the epoch it is.
    """
    rows = np.argsort(lengths, kind="stable").reshape(num_shares, -1)
    if seed is not None:
        rows = rows[share_order(num_shares, seed=seed, epoch=epoch, run=run)]
    return rows.reshape(-1)
