"""Waits: how long the loop waited for each of its batches, in a histogram of a fixed size."""

from __future__ import annotations

import numpy as np

__all__ = ["COUNTED_TOGETHER", "Waits"]

_PER_DOUBLING = 4  # buckets; so a quantile is at most 19% too large
_SHORTEST = 2.0**-20  # seconds, about a microsecond: what is shorter is no wait
_NUM_BUCKETS = 32 * _PER_DOUBLING  # up to 4,096 seconds
COUNTED_TOGETHER = 4096


class Waits:
    """Waits by their length.  A batch that was there already is not counted, and has waited 0 seconds.

    Attributes:
      recent: Append a wait here, in seconds, and call `count` when there are COUNTED_TOGETHER of them: the loop comes
        here for every batch.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_NUM_BUCKETS, np.int64)
        self.recent: list[float] = []

    def quantile(self, share: float, num_batches: int) -> float:
        """Return the wait, in seconds, that a share of `num_batches` batches did not exceed.

        It is the upper end of a bucket.
        """
        self.count()
        longer = np.cumsum(self._counts[::-1])[::-1]  # [bucket]: waits in it and in those above
        buckets = np.flatnonzero(longer > (1 - share) * num_batches)
        return float(_SHORTEST * 2.0 ** ((buckets[-1] + 1) / _PER_DOUBLING)) if buckets.size else 0.0

    def count(self) -> None:
        """Take the recent waits into the histogram."""
        taken, self.recent = self.recent, []
        recent = np.array(taken)
        recent = recent[recent > _SHORTEST]
        buckets = (_PER_DOUBLING * np.log2(recent / _SHORTEST)).astype(np.int64)
        self._counts += np.bincount(np.minimum(buckets, _NUM_BUCKETS - 1), minlength=_NUM_BUCKETS)
