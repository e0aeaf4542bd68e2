"""Source plans: the digests that the steps of a mixture's source must have, by arithmetic from how many rows they take.

Which rows those are is a function of the counts alone (`plan/sources.py`), so that no weights are needed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from pyloader.audit.digests import WIDTH, dataset_digest, digest_groups
from pyloader.audit.units import Units
from pyloader.plan import Order, Source, SourceStreams, rows_between, sample_numbers, source_streams

__all__ = ["SourcePlan"]


@dataclass(frozen=True, eq=False)
class SourcePlan:
    """What is planned of one source."""

    source: Source  # which
    order: Order  # what the order of the samples depends on
    units_of: Callable[[int], Units]  # what is counted, when the mixture is gone through for the n-th time, from 0

    @property
    def num_streams(self) -> int:
        """How many streams there are."""
        return self.order.num_streams

    @property
    def num_rows(self) -> int:
        """How many rows an epoch of it has."""
        return self.source.num_rows

    @cached_property
    def streams_of(self) -> Callable[[int], SourceStreams]:
        """Its plan, when the mixture is gone through for the n-th time."""
        return lru_cache(maxsize=2)(self._streams)

    @cached_property
    def dataset(self) -> np.ndarray:
        """The digest of all that it has, uint64 of shape [4]."""
        return dataset_digest(self.units_of(0).counts)

    def epochs_of(self, rows: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs of the first and the last of the rows that some steps take.

        Args:
          rows: How many rows every stream has got before each step, int64 of shape [steps].
          counts: How many it gets, of the same shape.
        """
        first = rows * self.num_streams // self.num_rows
        last = ((rows + counts) * self.num_streams - 1) // self.num_rows
        return first, np.maximum(first, last)

    def left_out(self, run: int) -> np.ndarray:
        """Return the digest of the rows that never come, where a source ends with its first epoch: uint64 [4].

        Streams get as many rows as each other, so that those of the longer ones are left over.
        """
        return self._sum(self._epoch_rows(run, range(self.num_streams), self.num_rows // self.num_streams, 0), run)

    def by_epoch(self, run: int, served: Iterable[int], row: int, count: int) -> dict[int, tuple[np.ndarray, int]]:
        """Return what a step takes in some streams of each epoch of the source: its digest, and how many rows."""
        found: dict[int, tuple[np.ndarray, int]] = {}
        for epoch, _, rows in self.planned_rows(run, served, row, row + count):
            digest, num_rows = found.get(epoch, (np.zeros(WIDTH, np.uint64), 0))
            found[epoch] = digest + self._sum([rows], run, epoch), num_rows + len(rows)
        return found

    def digests(self, run: int, served: Iterable[int], borders: np.ndarray) -> np.ndarray:
        """Return the digests of some streams' rows of steps, one after another, uint64 of shape [steps, 4].

        Args:
          run: Which time the mixture is gone through.
          served: The streams.
          borders: How many rows every stream has got before each step and after the last, int64 of shape [steps + 1].
        """
        digests = np.zeros((len(borders) - 1, WIDTH), np.uint64)
        units = self.units_of(run)
        for epoch, at, rows in self.planned_rows(run, served, int(borders[0]), int(borders[-1])):
            # Which steps these rows are of: several steps may lie between two borders that are the same, with no rows.
            steps = np.searchsorted(borders, np.arange(at, at + len(rows)), side="right") - 1
            starts = np.flatnonzero(np.diff(steps, prepend=-1))
            counted, begins = units.of_rows(epoch, rows)
            digests[steps[starts]] += digest_groups(sample_numbers(*counted.T), begins[starts])
        return digests

    def units(self, run: int, served: Iterable[int], row: int, count: int) -> np.ndarray:
        """Return what a step takes in some streams, int64 of shape [units, 2]."""
        units, found = self.units_of(run), [np.zeros((0, 2), np.int64)]
        for epoch, _, rows in self.planned_rows(run, served, row, row + count):
            found.append(units.of_rows(epoch, rows)[0])
        return np.concatenate(found)

    def planned_rows(
        self, run: int, served: Iterable[int], start: int, stop: int
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield rows [start, stop) of some streams, some at a time: their epoch, which row is the first, and where each
        is, int64 of shape [rows, 2]."""
        streams = self.streams_of(run)
        for stream in served if start < stop else ():
            for part, first in streams.parts(stream, start):
                begin, end = max(start, first), min(stop, first + part.num_rows)
                for rows in rows_between(streams, part, begin - first, end - first):
                    yield part.epoch, begin, rows
                    begin += len(rows)
                if end == stop:
                    break

    def _epoch_rows(self, run: int, served: Iterable[int], start: int, epoch: int) -> Iterator[np.ndarray]:
        streams = self.streams_of(run)
        for stream in served:
            part = streams.stream_part(stream, epoch)
            yield from rows_between(streams, part, start, part.num_rows)

    def _sum(self, some_rows: Iterable[np.ndarray], run: int, epoch: int = 0) -> np.ndarray:
        units, total = self.units_of(run), np.zeros(WIDTH, np.uint64)
        for rows in some_rows:
            total += digest_groups(sample_numbers(*units.of_rows(epoch, rows)[0].T), np.zeros(1, np.int64))[0]
        return total

    def _streams(self, run: int) -> SourceStreams:
        order = self.order
        return source_streams(
            self.source,
            seed=order.seed,
            run=run,
            shuffle=order.shuffle,
            num_streams=order.num_streams,
            served=range(order.num_streams),
            share=order.batch_size // order.num_streams,
        )
