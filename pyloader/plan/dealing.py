"""Dealing: the windowed shuffle, as arithmetic.

With a window of K chunks each arriving chunk is cut into K equal hands, and hand j of arrival s goes to segment s + j:
segment g holds hands from the K arrivals g-K+1 .. g, and is complete when arrival g is there.  At the edges the hands
that have no segment of their own go to the nearest one that has: the first complete segment is K-1, the last S-1.

One chunk comes in and one goes out at every step, and the position (segment, offset) says all: resuming at segment g
reads K chunks and needs no counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Dealing"]


@dataclass(frozen=True, slots=True)
class Dealing:
    """How S arrivals are dealt to S segments."""

    num_chunks: int  # S, at least 1
    window: int  # K, how many chunks a segment mixes; more than S is the same as S, a full shuffle

    @property
    def width(self) -> int:
        """How many chunks a segment really mixes, min(K, S)."""
        return min(self.window, self.num_chunks)

    @property
    def first_segment(self) -> int:
        """The first segment that has rows; those before it are empty."""
        return self.width - 1

    def first_arrival(self, segment: int) -> int:
        """Return the first arrival that deals to `segment` or later: where resuming there begins to read."""
        if segment >= self.num_chunks:
            return self.num_chunks
        return max(0, segment - self.width + 1)

    def num_reads(self, segment: int) -> int:
        """Return how many arrivals it takes, from `first_arrival` on, until rows of `segment` can be delivered."""
        return max(segment, self.first_segment) - self.first_arrival(segment) + 1

    def segment_of(self, arrival: int, hand: int) -> int:
        """Return the segment that gets `hand` (counted from 0) of `arrival`."""
        return min(max(arrival + hand, self.first_segment), self.num_chunks - 1)

    def cuts(self, num_rows: int, phase: int) -> np.ndarray:
        """Return where a chunk of `num_rows` is cut: hand j is rows [cuts[j], cuts[j + 1]), int64 of shape [K + 1].

        `phase` in [0, K) moves the cuts, so that chunks smaller than K mix too.
        """
        return (np.arange(self.width + 1, dtype=np.int64) * num_rows + phase) // self.width

    def hands(self, arrival: int, rows: np.ndarray, phase: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield each segment that gets some of an arrival's `rows`, and which; hands of one segment come together."""
        cuts = self.cuts(len(rows), phase)
        for segment, together in itertools.groupby(range(self.width), lambda hand: self.segment_of(arrival, hand)):
            first, *others = together
            yield segment, rows[cuts[first] : cuts[(others or [first])[-1] + 1]]

    def segment_sizes(self, counts: Sequence[int] | np.ndarray, phases: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return how many rows each segment has.

        Args:
          counts: Rows of each arrival, shape [S].
          phases: The phase of each arrival, shape [S].

        Returns:
          int64 array of shape [S].
        """
        counts, phases = np.asarray(counts, np.int64), np.asarray(phases, np.int64)
        arrivals = np.arange(self.num_chunks, dtype=np.int64)
        sizes = np.zeros(self.num_chunks, np.int64)
        if self.width == self.num_chunks:  # a full shuffle
            sizes[-1] = counts.sum()
            return sizes
        before = np.zeros(self.num_chunks, np.int64)
        for hand in range(self.width):  # one by one: a wide window takes no more memory than a narrow one
            after = ((hand + 1) * counts + phases) // self.width
            np.add.at(sizes, np.clip(arrivals + hand, self.first_segment, self.num_chunks - 1), after - before)
            before = after
        return sizes
