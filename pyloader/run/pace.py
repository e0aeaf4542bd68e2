"""Pace: how many batches are made together, and handed over together, which costs the same for one and for many."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """How many batches are taken together: as many as are quickly made.

    It changes no batch.  Threads that read and write it at once do no harm.

    Args:
      at_most: The most of them.
      group_seconds: How long they may take to make, about: far above what handing over costs, far below what anyone
        waits for.
    """

    def __init__(self, at_most: int, *, group_seconds: float) -> None:
        self._at_most, self._group_seconds = at_most, group_seconds
        self._num_together = 1

    def num_together(self) -> int:
        """Return how many batches the next group is to have."""
        return self._num_together

    def made(self, num_batches: int, seconds: float) -> None:
        """Note how long a group took."""
        fitting = int(self._group_seconds * num_batches / max(seconds, 1e-9))
        self._num_together = max(1, min(self._at_most, fitting))
