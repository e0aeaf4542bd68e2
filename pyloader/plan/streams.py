"""Streams: an epoch's rows are one line, cut into equal parts, and each stream part is dealt for itself.

The line is the chunks in their order, the rows of each after its whole-chunk permutation.  Of N rows stream t of S has
[t * N // S, (t + 1) * N // S): the parts differ by one row at most, and a chunk that is cut in two is read by both.  A
step takes the same share of rows from every stream, so that everyone knows how many steps there are, and where each
stream stands at any of them, from the chunks' counts alone.

Without counts there is one stream.  Its part is the whole epoch, and its position says by itself where it stands.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from pyloader.plan.buckets import RUN_STEPS
from pyloader.plan.dealing import Dealing
from pyloader.plan.order import chunk_order, deal_phase
from pyloader.plan.position import Position
from pyloader.plan.state import Order
from pyloader.plan.steps import steps_per_epoch

__all__ = ["AnyStreams", "Drawn", "ReadTask", "StreamPart", "Streams"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the random numbers of a source's chunks are drawn from, beside the epoch and the chunk.

    The defaults are those of chunks in their own order.
    """

    row_seed: int | None = None  # the seed of the rows' order; None keeps that of the chunks
    first_chunk: int = 0  # the first chunk of the source: it counts its chunks from there
    # the seed of the rows' keys, where they are drawn by source; None where they are those of the run
    key_seed: int | None = None


@dataclass(frozen=True, slots=True)
class ReadTask:
    """Read a chunk."""

    epoch: int  # for this epoch
    number: int  # as the number-th of it, from 0
    chunk: int  # its index in the sorted list of chunks
    # which of its rows are wanted, [first, last + 1) in the chunk's own permutation; None for all of them
    part: tuple[int, int] | None = None
    drawn: Drawn = Drawn()  # what the order of its rows is drawn from


@dataclass(frozen=True, eq=False)
class StreamPart:
    """What one stream has of an epoch: parts of chunks, in the order in which they arrive."""

    stream: int | None  # which stream; None where the epoch is one
    epoch: int  # counted from 0
    chunks: np.ndarray  # int64 array of shape [P]: of which chunk each arrival is a part
    starts: np.ndarray  # int64 array of shape [P]: its first row, in the chunk's permutation
    # int64 array of shape [P]: the row after its last; None where it is unknown: that of the whole chunk
    stops: np.ndarray | None
    dealing: Dealing  # how its arrivals are dealt
    row_seed: int | None  # the seed of the rows' order; None keeps that of the chunks

    @cached_property
    def bounds(self) -> np.ndarray:
        """Segment g has the stream's rows [bounds[g], bounds[g + 1]): int64 of shape [P + 1].  Needs counts.

        Only made when asked for: where hands are rounded, it takes a random number for every chunk.
        """
        sizes = self.dealing.segment_sizes(self.sizes, self.phases)
        return np.concatenate([[0], np.cumsum(sizes)])

    @cached_property
    def num_rows(self) -> int:
        """How many rows the stream part has.  Needs counts."""
        return int(self.sizes.sum())

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many rows each arrival has, int64 of shape [P].  Needs counts."""
        sizes: np.ndarray = self._known_stops() - self.starts
        return sizes

    def rows_of(self, number: int) -> tuple[int, int]:
        """Return which rows of its chunk's permutation arrival `number` has, [first, last + 1).  Needs counts."""
        return int(self.starts[number]), int(self._known_stops()[number])

    def place(self, num_received: int) -> tuple[int, int]:
        """Return the segment to go on at, and how many of its rows are received, when `num_received` rows are.

        When all are, it is the last that has rows: they may be wanted once more, as filling.
        """
        received = min(num_received, self.num_rows)
        segment = int(np.searchsorted(self.bounds, min(received, self.num_rows - 1), side="right")) - 1
        return segment, received - int(self.bounds[segment])

    def _known_stops(self) -> np.ndarray:
        assert self.stops is not None, "asked of chunks whose rows nobody has counted"
        return self.stops

    @cached_property
    def phases(self) -> np.ndarray:
        """Where the first hand of each arrival begins to round up, int64 of shape [P]; 0 where that changes nothing."""
        seed, width = self.row_seed, self.dealing.width
        if seed is None or width in (1, self.dealing.num_chunks):  # then no size depends on them
            return np.zeros(len(self.chunks), np.int64)
        chunks = self.chunks.tolist()
        return np.array([deal_phase(width, seed=seed, epoch=self.epoch, chunk=chunk) for chunk in chunks])


@dataclass(frozen=True, kw_only=True, eq=False)
class AnyStreams(ABC):
    """What the plan of one source and that of a mixture have in common."""

    num_streams: int  # S, at most the number of rows
    served: range  # the streams that this process delivers
    bucket_by: str = ""  # the column by whose lengths runs are sorted (plan/buckets.py): counts are known; "" for none

    def __getstate__(self) -> dict[str, Any]:
        # Without what is kept: a cache cannot be pickled.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    @abstractmethod
    def width(self) -> int:
        """How many chunks a segment mixes, of the source that mixes most."""

    @abstractmethod
    def held_with(self, window: int) -> int:
        """Return how many chunks are held for mixing with a window of at most this, of all streams served."""

    @property
    def sorts(self) -> bool:
        """Whether runs of rows are sorted by length."""
        return bool(self.bucket_by)

    @property
    def held_chunks(self) -> int:
        """How many chunks are held for mixing, of all streams served."""
        return self.held_with(self.width)

    @property
    def mixes(self) -> bool:
        """Whether any segment mixes several chunks."""
        return self.width > 1

    def positions(self, start: Position, end_epoch: int | None) -> Iterator[Position]:
        """Yield `start`, then the beginning of each epoch after it, up to `end_epoch`; None never ends."""
        for epoch in itertools.count(start.epoch) if end_epoch is None else range(start.epoch, end_epoch):
            yield start if epoch == start.epoch else Position(epoch)


@dataclass(frozen=True, kw_only=True, eq=False)
class Streams(AnyStreams):
    """How epochs are cut into streams, and steps into shares."""

    # int64 array: the rows of each chunk of the list; None where they are unknown, and there is one stream
    counts: np.ndarray | None
    share: int  # how many rows a step takes from each stream
    dealing: Dealing  # how an epoch of one stream is dealt
    last_batch: str  # the rule for an epoch's last rows
    chunk_seed: int | None  # the seed of the chunks' order; None keeps that of the list
    row_seed: int | None  # the seed of the rows' order; None keeps that of the chunks

    @classmethod
    def of(cls, order: Order, counts: np.ndarray | None, num_chunks: int, served: range) -> Streams:
        """Return the plan that an order has for so many chunks."""
        return cls(
            counts=counts,
            num_streams=order.num_streams,
            share=order.batch_size // order.num_streams,
            served=served,
            dealing=Dealing(num_chunks, order.shuffle_window),
            last_batch=order.last_batch,
            chunk_seed=order.chunk_seed,
            row_seed=order.row_seed,
            bucket_by=order.bucket_by,
        )

    @property
    def is_one(self) -> bool:
        """Whether an epoch is one stream, whose place in it a position names."""
        return self.num_streams == 1

    @property
    def by_step(self) -> bool:
        """Whether the step alone says where a run stands, and not a segment and an offset in it."""
        return not self.is_one or self.sorts

    @cached_property
    def num_sorted_steps(self) -> int:
        """How many steps of an epoch take rows that are sorted: those that are whole in every stream.  Needs counts."""
        return self.num_rows // self.num_streams // self.share if self.sorts else 0

    def run_start(self, step: int) -> int:
        """Return the step at which the rows are asked for that `step` has: of a sorted run all at once."""
        return min(step // RUN_STEPS * RUN_STEPS, self.last_run_start) if self.sorts else step

    @property
    def last_run_start(self) -> int:
        """The step at which the last sorted run begins.  The rows that make no whole step belong to it."""
        return max(0, self.num_sorted_steps - 1) // RUN_STEPS * RUN_STEPS

    @property
    def known_counts(self) -> np.ndarray:
        """`counts`, asked for where they are known."""
        assert self.counts is not None, "asked of chunks whose rows nobody has counted"
        return self.counts

    @cached_property
    def num_rows(self) -> int:
        """How many rows an epoch has.  Needs counts."""
        return int(self.known_counts.sum())

    @cached_property
    def steps_per_epoch(self) -> int:
        """How many steps an epoch has, for every stream the same: they differ by one row at most.  Needs counts."""
        return steps_per_epoch(self.num_rows, self.num_streams * self.share, self.last_batch)

    @cached_property
    def stream_part(self) -> Callable[[int, int], StreamPart]:
        """stream_part(stream, epoch) is what a stream has of an epoch; those of two epochs are kept."""
        return lru_cache(maxsize=2 * self.num_streams)(self._stream_part)

    def start(self, part: StreamPart, position: Position) -> Position:
        """Return where a stream goes on being read when the loop stands at `position`."""
        if not self.by_step:
            return position
        return Position(part.epoch, *part.place(self.run_start(position.step) * self.share), position.step)

    def ends_epoch(self, position: Position) -> bool:
        """Tell whether all batches of the position's epoch have been received."""
        if self.by_step:
            return position.step >= self.steps_per_epoch
        return position.segment >= self.dealing.num_chunks

    def position(self, steps_done: int) -> Position:
        """Return the position after so many steps of the run.  Needs counts."""
        if steps_done == 0:
            return Position()
        # After an epoch's last step its end is still to come.
        epoch, before = divmod(steps_done - 1, self.steps_per_epoch)
        step = before + 1
        if self.by_step:
            return Position(epoch, 0, 0, step, steps_done)
        part = self.stream_part(0, epoch)
        if step * self.share > part.num_rows:  # the last batch is short, or filled
            return Position(epoch, part.dealing.num_chunks, 0, step, steps_done)
        segment, offset = part.place(step * self.share - 1)
        is_last_row = part.bounds[segment] + offset + 1 == part.bounds[segment + 1]
        place = (segment + 1, 0) if is_last_row else (segment, offset + 1)
        return Position(epoch, *place, step, steps_done)

    @cached_property
    def drawn(self) -> Drawn:
        """What the order of the rows is drawn from."""
        return Drawn(self.row_seed)

    @property
    def window(self) -> int:
        """`shuffle_window`."""
        return self.dealing.window

    @property
    def width(self) -> int:
        """How many chunks a segment mixes."""
        return self.dealing.width

    @property
    def joins(self) -> bool:
        """Whether batches are joined of several groups."""
        return len(self.served) > 1

    def held_with(self, window: int) -> int:
        """Return how many chunks are held for mixing with a window of at most this."""
        return min(window, self.width) * len(self.served)

    def read_tasks(self, *, start: Position, end_epoch: int | None) -> Iterator[ReadTask]:
        """Yield what to read for the streams served, in the order in which their steps come to need it.

        Args:
          start: Where to begin.
          end_epoch: The first epoch that is not read; None never ends.
        """
        for position in self.positions(start, end_epoch):
            parts = [self.stream_part(stream, position.epoch) for stream in self.served]
            for index, number in self._order_of_need(parts, position):
                chunk, rows = int(parts[index].chunks[number]), None
                if not self.is_one:
                    rows = parts[index].rows_of(number)
                    rows = None if rows == (0, self.known_counts[chunk]) else rows
                yield ReadTask(position.epoch, number, chunk, rows, self.drawn)

    def num_reads(self, position: Position) -> int:
        """Return how many chunks are read before the first batch after `position`."""
        parts = [self.stream_part(stream, position.epoch) for stream in self.served]
        return sum(part.dealing.num_reads(self.start(part, position).segment) for part in parts)

    def border(self, stream: int, epoch: int) -> int:
        """Return where in the epoch's line the stream begins; that of `num_streams` is the line's end."""
        return self.num_rows * stream // self.num_streams

    def _stream_part(self, stream: int, epoch: int) -> StreamPart:
        num_chunks = self.dealing.num_chunks
        if self.chunk_seed is None:
            chunks = np.arange(num_chunks)
        else:
            chunks = chunk_order(num_chunks, seed=self.chunk_seed, epoch=epoch)
        if self.is_one:  # chunks without rows count as arrivals too
            starts, stops = np.zeros(num_chunks, np.int64), None if self.counts is None else self.counts[chunks]
            return StreamPart(None, epoch, chunks, starts, stops, self.dealing, self.row_seed)
        counts = self.known_counts[chunks]
        ends = np.cumsum(counts)
        begins = ends - counts
        first, stop = (self.border(each, epoch) for each in (stream, stream + 1))
        held = np.flatnonzero((ends > first) & (begins < stop) & (ends > begins))
        starts = np.maximum(begins[held], first) - begins[held]
        stops = np.minimum(ends[held], stop) - begins[held]
        dealing = Dealing(len(held), self.dealing.window)
        return StreamPart(stream, epoch, chunks[held], starts, stops, dealing, self.row_seed)

    def _order_of_need(self, parts: Sequence[StreamPart], position: Position) -> Iterator[tuple[int, int]]:
        """Yield (index of the part, arrival) of every read of an epoch, from `position` on.

        Each step asks one stream after the other for its share.  Arrival g completes segment g, and that is asked for
        by the step that first wants a row beyond those before it; what no step wants, by the epoch's end.  The steps
        take chunks from one line of reads, so its order must be exactly this one.
        """
        firsts = [s.dealing.first_arrival(self.start(s, position).segment) for s in parts]
        numbers = [np.arange(first, len(s.chunks)) for first, s in zip(firsts, parts, strict=True)]
        if len(parts) == 1:  # which needs its arrivals one after another: no count has to be known for that
            yield from ((0, number) for number in numbers[0].tolist())
            return
        step, num_steps = position.step, self.steps_per_epoch
        wanted = [s.bounds[mine] // self.share for s, mine in zip(parts, numbers, strict=True)]
        if self.sorts:
            wanted = [np.minimum(steps // RUN_STEPS * RUN_STEPS, self.last_run_start) for steps in wanted]
        needed = [np.clip(steps, step, num_steps) for steps in wanted]
        index = np.repeat(np.arange(len(parts)), list(map(len, numbers)))
        number = np.concatenate(numbers)
        order = np.lexsort((number, index, np.concatenate(needed)))
        yield from zip(index[order].tolist(), number[order].tolist(), strict=True)
