"""Which entry goes first: the one whose next use is farthest (Belady), before it those that nobody will use."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["NEVER", "eviction_order", "next_uses"]

NEVER = np.iinfo(np.int64).max


def next_uses(keys: np.ndarray, upcoming: Iterable[np.ndarray]) -> np.ndarray:
    """Return in how many reads each entry is wanted by the loader that wants it soonest.

    Args:
      keys: uint64 array of shape [M], one for each entry.
      upcoming: For each live loader the keys of its next reads, in order.

    Returns:
      int64 array of shape [M], NEVER where no loader has said that it wants it.
    """
    soonest = np.full(len(keys), NEVER, np.int64)
    for reads in upcoming:
        if len(reads):
            wanted, first = np.unique(reads, return_index=True)
            place = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
            soonest = np.minimum(soonest, np.where(wanted[place] == keys, first[place], NEVER))
    return soonest


def eviction_order(next_use: np.ndarray, last_used: np.ndarray) -> np.ndarray:
    """Return the indices of entries in the order in which they go: the farthest first, then the least recently used."""
    return np.lexsort((last_used, -next_use))
