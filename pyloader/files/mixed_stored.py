"""Mixed stored chunks: those of several sources, of which some are in stores, as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pyloader.files.cache import CacheUser
from pyloader.files.fetching import FetchTerms
from pyloader.files.stored import StoredChunks

__all__ = ["MixedStored"]


@dataclass(frozen=True)
class _OnDisk:
    """A chunk that is on a disk of this machine; as `Pinned` of the cache."""

    path: Path
    was_there: bool = True

    def release(self) -> None:
        """Do nothing: nobody takes it away."""


class MixedStored(StoredChunks):
    """The chunks of several sources, which share a cache; it is told of all their reads together, as one line.

    Args:
      of_sources: Those of each source; None where they are on a disk.
      starts: The index of the first chunk of each, and the number of all.
      file: Returns the path of a chunk that is on a disk.
    """

    def __init__(
        self, of_sources: Sequence[StoredChunks | None], starts: Sequence[int], file: Callable[[int], str]
    ) -> None:
        self._of_sources, self._starts, self._file = of_sources, starts, file
        self._stored = [stored for stored in of_sources if stored is not None]
        self.options = self._stored[0].options

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)

    @cached_property
    def keys(self) -> np.ndarray:
        """uint64 array of shape [number of chunks, 1 or 2], as that of `StoredChunks`; 0 for what is on a disk."""
        width = max(stored.keys.shape[1] for stored in self._stored)
        return self._joined(np.zeros((self._starts[-1], width), np.uint64), lambda stored: stored.keys)

    @property
    def user(self) -> CacheUser:
        """The cache, as the first source in a store uses it, whose plan is that of all."""
        return self._stored[0].user

    def room(self) -> dict[str, int]:
        """Return what the cache takes and may hold, as `StoredChunks.room` does."""
        return self._stored[0].room()

    def are_here(self) -> np.ndarray:
        """Tell which chunks are on this machine: a bool array of shape [number of chunks]."""
        return self._joined(np.ones(self._starts[-1], bool), StoredChunks.are_here)

    def own_bytes(self) -> np.ndarray:
        """Return what is fetched for each chunk alone: an int64 array of shape [number of chunks]."""
        return self._joined(np.zeros(self._starts[-1], np.int64), StoredChunks.own_bytes)

    def common_bytes(self, indices: np.ndarray) -> int:
        """Return what is fetched once for all parts of objects, as `StoredChunks.common_bytes` does."""
        total = 0
        for source, stored in enumerate(self._of_sources):
            first, stop = self._starts[source : source + 2]
            if stored is not None:
                total += stored.common_bytes(indices[(indices >= first) & (indices < stop)] - first)
        return total

    def _joined(self, found: np.ndarray, of_source: Callable[[StoredChunks], np.ndarray]) -> np.ndarray:
        """Return an array with what each source in a store says of its chunks."""
        for source, stored in enumerate(self._of_sources):
            if stored is not None:
                found[self._starts[source] : self._starts[source + 1]] = of_source(stored)
        return found

    def register(self, *, num_fetches: int, num_readers: int) -> int:
        """Say for all sources what `StoredChunks.register` says for one; each has its part of the fetches."""
        each = max(1, num_fetches // len(self._stored))
        return sum(stored.register(num_fetches=each, num_readers=num_readers) for stored in self._stored)

    def close(self) -> None:
        """Give back what was registered."""
        for stored in self._stored:
            stored.close()

    def num_fetches(self) -> int:
        """Return how many chunks may be fetched at the same time."""
        return sum(stored.num_fetches() for stored in self._stored)

    def hold(self, index: int, terms: FetchTerms) -> Any:
        """Return a chunk on this machine, which stays there until it is released."""
        source = bisect_right(self._starts, index) - 1
        stored = self._of_sources[source]
        return _OnDisk(Path(self._file(index))) if stored is None else stored.hold(index - self._starts[source], terms)
