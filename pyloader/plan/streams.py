"""Streams: an epoch's rows are one line, cut into equal stretches, and each stretch is dealt for itself.

The line is the chunks in their order, the rows of each after its whole-chunk permutation.  Of N rows stream t of S has
[t * N // S, (t + 1) * N // S): the stretches differ by one row at most, and a chunk that is cut in two is read by both.
A step takes the same share of rows from every stream, so that everyone knows how many steps there are, and where each
stream stands at any of them, from the chunks' counts alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from pyloader.plan.dealing import Dealing
from pyloader.plan.order import chunk_order, deal_phase
from pyloader.plan.position import Position
from pyloader.plan.reading import ReadTask
from pyloader.plan.steps import steps_per_epoch

__all__ = ["Streams", "Stretch"]


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """What one stream has of an epoch: parts of chunks, in the order in which they arrive.

    Attributes:
      stream: Which stream; None where the epoch is one.
      epoch: Counted from 0.
      chunks: int64 array of shape [P]: of which chunk each arrival is a part.
      starts: int64 array of shape [P]: its first row, in the chunk's permutation.
      stops: int64 array of shape [P]: the row after its last.
      dealing: How its arrivals are dealt.
      bounds: int64 array of shape [P + 1]: segment g has the stream's rows [bounds[g], bounds[g + 1]).
    """

    stream: int | None
    epoch: int
    chunks: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    dealing: Dealing
    bounds: np.ndarray

    @property
    def num_rows(self) -> int:
        """How many rows the stretch has."""
        return int(self.bounds[-1])

    def place(self, num_received: int) -> tuple[int, int]:
        """Return the segment to go on at, and how many of its rows are received, when `num_received` rows are.

        When all are, it is the last that has rows: they may be wanted once more, as filling.
        """
        received = min(num_received, self.num_rows)
        segment = int(np.searchsorted(self.bounds, min(received, self.num_rows - 1), side="right")) - 1
        return segment, received - int(self.bounds[segment])


@dataclass(frozen=True, kw_only=True, eq=False)
class Streams:
    """How epochs are cut into streams, and steps into shares.

    Attributes:
      counts: int64 array: the rows of each chunk of the list.
      num_streams: S, at most the number of rows.
      share: How many rows a step takes from each stream.
      served: The streams that this process delivers.
      window: How many chunks a segment mixes.
      last_batch: The rule for an epoch's last rows.
      chunk_seed: The seed of the chunks' order; None keeps that of the list.
      row_seed: The seed of the rows' order; None keeps that of the chunks.
    """

    counts: np.ndarray
    num_streams: int
    share: int
    served: range
    window: int
    last_batch: str
    chunk_seed: int | None
    row_seed: int | None

    @cached_property
    def steps_per_epoch(self) -> int:
        """How many steps an epoch has: for every stream the same, since they differ by one row at most."""
        return steps_per_epoch(int(self.counts.sum()), self.num_streams * self.share, self.last_batch)

    @cached_property
    def stretch(self) -> Callable[[int, int], Stretch]:
        """stretch(stream, epoch) is what a stream has of an epoch; those of two epochs are kept."""
        return lru_cache(maxsize=2 * self.num_streams)(self._stretch)

    def start(self, stretch: Stretch, step: int) -> Position:
        """Return where a stream goes on when `step` steps of the epoch have been received."""
        return Position(stretch.epoch, *stretch.place(step * self.share), step)

    def position(self, steps_done: int) -> Position:
        """Return the position after so many steps of the run."""
        if steps_done == 0:
            return Position()
        # After an epoch's last step its end is still to come.
        epoch, before = divmod(steps_done - 1, self.steps_per_epoch)
        step = before + 1
        if self.num_streams > 1:
            return Position(epoch, 0, 0, step, steps_done)
        stretch = self.stretch(0, epoch)
        if step * self.share > stretch.num_rows:  # the last batch is short, or filled
            return Position(epoch, stretch.dealing.num_chunks, 0, step, steps_done)
        segment, offset = stretch.place(step * self.share - 1)
        is_last_row = stretch.bounds[segment] + offset + 1 == stretch.bounds[segment + 1]
        place = (segment + 1, 0) if is_last_row else (segment, offset + 1)
        return Position(epoch, *place, step, steps_done)

    def read_tasks(self, *, start: Position, end_epoch: int | None) -> Iterator[ReadTask]:
        """Yield what to read for the streams served, in the order in which their steps come to need it.

        Args:
          start: Where to begin, by its epoch and step.
          end_epoch: The first epoch that is not read; None never ends.
        """
        step = start.step
        for epoch in itertools.count(start.epoch) if end_epoch is None else range(start.epoch, end_epoch):
            stretches = [self.stretch(stream, epoch) for stream in self.served]
            for index, number in _order_of_need(stretches, self.share, step, self.steps_per_epoch):
                stretch = stretches[index]
                chunk = int(stretch.chunks[number])
                part = (int(stretch.starts[number]), int(stretch.stops[number]))
                is_whole = part == (0, self.counts[chunk])
                yield ReadTask(epoch, number, chunk, None if is_whole else part)
            step = 0

    def num_reads(self, position: Position) -> int:
        """Return how many chunks are read before the first batch after `position`."""
        stretches = [self.stretch(stream, position.epoch) for stream in self.served]
        return sum(stretch.dealing.num_reads(self.start(stretch, position.step).segment) for stretch in stretches)

    def _stretch(self, stream: int, epoch: int) -> Stretch:
        if self.chunk_seed is None:
            order = np.arange(len(self.counts))
        else:
            order = chunk_order(len(self.counts), seed=self.chunk_seed, epoch=epoch)
        ends = np.cumsum(self.counts[order])
        begins = ends - self.counts[order]
        is_one = self.num_streams == 1  # then chunks without rows count as arrivals too
        first, stop = (int(ends[-1]) * border // self.num_streams for border in (stream, stream + 1))
        held = slice(None) if is_one else np.flatnonzero((ends > first) & (begins < stop) & (ends > begins))
        chunks = order[held]
        starts = np.maximum(begins[held], first) - begins[held]
        stops = np.minimum(ends[held], stop) - begins[held]
        dealing = Dealing(len(chunks), self.window)
        sizes = dealing.segment_sizes(stops - starts, self._phases(dealing, chunks, epoch))
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        return Stretch(None if is_one else stream, epoch, chunks, starts, stops, dealing, bounds)

    def _phases(self, dealing: Dealing, chunks: np.ndarray, epoch: int) -> np.ndarray:
        if self.row_seed is None or dealing.width in (1, dealing.num_chunks):  # then no size depends on them
            return np.zeros(len(chunks), np.int64)
        seed, width = self.row_seed, dealing.width
        return np.array([deal_phase(width, seed=seed, epoch=epoch, chunk=chunk) for chunk in chunks.tolist()])


def _order_of_need(stretches: Sequence[Stretch], share: int, step: int, num_steps: int) -> Iterator[tuple[int, int]]:
    """Yield (stretch, arrival) of every read of an epoch, from `step` on.

    Each step asks one stream after the other for its share.  Arrival g completes segment g, and that is asked for by
    the step that first wants a row beyond those before it; what no step wants, by the epoch's end.  The steps take
    chunks from one line of reads, so its order must be exactly this one.
    """
    firsts = [stretch.dealing.first_arrival(stretch.place(step * share)[0]) for stretch in stretches]
    numbers = [np.arange(first, len(s.chunks)) for first, s in zip(firsts, stretches, strict=True)]
    needed = [np.clip(s.bounds[mine] // share, step, num_steps) for s, mine in zip(stretches, numbers, strict=True)]
    index = np.repeat(np.arange(len(stretches)), list(map(len, numbers)))
    number = np.concatenate(numbers)
    order = np.lexsort((number, index, np.concatenate(needed)))
    yield from zip(index[order].tolist(), number[order].tolist(), strict=True)
