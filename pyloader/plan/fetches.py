"""Fetches: which reads of a plan find their chunk in a bounded cache, when what is needed latest makes room."""

from __future__ import annotations

import heapq

import numpy as np

__all__ = ["bytes_fetched"]


def bytes_fetched(
    reads: np.ndarray, sizes: np.ndarray, *, here: np.ndarray, bound: float, sent: np.ndarray | None = None
) -> int:
    """Return how many bytes are fetched for reads, one after another.

    What makes room is what is read latest, or not again (L. A. Belady, A study of replacement algorithms for a
    virtual-storage computer, IBM Systems Journal 5, 1966): the cache knows this epoch and the next from the plan.

    Args:
      reads: int64 array of shape [reads]: the chunk that each reads.
      sizes: int64 array of shape [chunks]: their bytes.
      here: bool array of shape [chunks]: which are in the cache at first.
      bound: How many bytes the cache may hold.
      sent: int64 array of shape [chunks]: the bytes that are fetched of each; None is all of it.
    """
    sent = sizes if sent is None else sent
    if int(sizes.sum()) <= bound:
        return int(sent[np.setdiff1d(reads, np.flatnonzero(here))].sum())
    never = len(reads)
    next_read = np.full(len(sizes), never)
    following = np.empty(len(reads), np.int64)
    for place in range(len(reads) - 1, -1, -1):
        following[place], next_read[reads[place]] = next_read[reads[place]], place
    held = {int(chunk): int(next_read[chunk]) for chunk in np.flatnonzero(here)}
    by_need = [(-place, chunk) for chunk, place in held.items()]
    heapq.heapify(by_need)
    used, fetched = int(sizes[list(held)].sum()) if held else 0, 0
    for chunk, after in zip(reads.tolist(), following.tolist(), strict=True):
        if chunk not in held:
            fetched += int(sent[chunk])
            used += int(sizes[chunk])
        held[chunk] = -1  # it is being read
        while used > bound and by_need:
            place, latest = heapq.heappop(by_need)
            if held.get(latest) == -place:
                del held[latest]
                used -= int(sizes[latest])
        held[chunk] = after
        heapq.heappush(by_need, (-after, chunk))
    return fetched
