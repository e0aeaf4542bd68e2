"""A run: from a position to the end of an epoch, every step in its place.

    plan -> read -> deal -> cut -> gather, encode, collate -> the loop

Each of the streams has a dealing and a cutting of its own, in a mixture one for each source, and their groups are
joined.

Two of the steps may run ahead, in threads: reading, and making batches.  The others are plain iterators between them.
Together they hold at most `max_queue_size` chunks' worth of rows: `chunk_share` of it in chunks, `group_share` of it in
rows that have left their chunks.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from pyloader.columns import Columns, columns_bytes, row_count
from pyloader.deliver import Budget, Reservation, Steps, ThreadedMap, map_in_order
from pyloader.errors import CoverageError, DataDirError
from pyloader.observe import Counters
from pyloader.plan import MixedStreams, Position, ReadTask, StreamPart, Streams
from pyloader.run.fetching import Fetching
from pyloader.run.handover import Handover, Pace
from pyloader.run.making import MadeRows, batch_making
from pyloader.run.mixed_groups import mixed_groups
from pyloader.run.options import RunOptions
from pyloader.run.reading import ArrivalCheck, ChunkReading, Read
from pyloader.run.resident import ResidentBytes
from pyloader.run.sample_ids import place_of
from pyloader.run.skipped import Quarantine
from pyloader.run.thread_counts import ThreadCounts, ThreadTrials
from pyloader.run.usercode import user_functions
from pyloader.shuffle import (
    GROUP_BYTES,
    AnyGroup,
    Arrival,
    BatchGroup,
    CutRule,
    EpochEnd,
    cut,
    deal,
    join,
    sorted_runs,
)

__all__ = ["ChunkRun", "first_batch"]

_Cut: TypeAlias = "AnyGroup | EpochEnd"
_Item = TypeVar("_Item")

# What goes to a process together is to keep it busy for so many seconds: a message costs the two sides 0.2 ms.
_GROUP_SECONDS = 0.02
_MOST_TOGETHER = 64  # batches
_SAMPLE_ROWS = 16  # of a list, by which its size is estimated


@dataclass(slots=True)
class _Planned:
    """A group, and what it takes of the bounds.

    The weight is computed once: when it is given back, a larger chunk may have been seen.
    """

    content: _Cut
    weight: float
    reservation: Reservation | None = None


class _Clock:
    """Counts how long a step works that has no threads of its own, without the waits for what it works on."""

    def __init__(self) -> None:
        self._seconds = self._counted = 0.0  # written by whoever takes the next item, one thread at a time; and read

    def of(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield the items, and count how long they take."""
        return self._timed(items, 1)

    def without(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield the items, and take off how long they take."""
        return self._timed(items, -1)

    def new_seconds(self) -> float:
        """Return what has been counted since this was last called."""
        counted, self._counted = self._counted, self._seconds
        return max(0.0, self._counted - counted)

    def _timed(self, items: Iterable[_Item], sign: int) -> Iterator[_Item]:
        begun = time.perf_counter()
        for item in items:
            self._seconds += sign * (time.perf_counter() - begun)
            yield item
            begun = time.perf_counter()


class ChunkRun(Handover[Position]):
    """Batches of chunks from a position on, until `end_epoch`.

    Args:
      options: What to do.
      start: Where to begin.
      end_epoch: The first epoch that is not delivered; None never ends.
      counters: What is counted along the way.
      quarantine: What is left out.
      steps: Takes the steps that may have threads.  The caller closes it.
      at_first: Called when the first batch has come.
      trials: Chooses the numbers of threads; None where they stay as in `options`.
    """

    def __init__(
        self,
        options: RunOptions,
        start: Position,
        end_epoch: int | None,
        counters: Counters,
        quarantine: Quarantine,
        steps: Steps,
        at_first: Callable[[], None] | None = None,
        trials: ThreadTrials | None = None,
    ) -> None:
        super().__init__(start, steps, counters, ("shuffle", "encode", "collate"), trials)
        self._threads = options.thread_counts
        if trials is not None:
            trials.begin_run(options.least_threads, options.most_threads)
            self._threads = trials.now
        self._options, self._quarantine, self._at_first = options, quarantine, at_first
        self._read_bytes = 0  # those that are counted
        self._room_seconds = counters.room_seconds  # what runs before have counted
        self._dealing = _Clock()
        self._delivered = 0  # rows of this epoch that the loop has; all of them at its end
        self._chunk_budget = Budget(options.chunk_share, blocking=options.num_readers > 0)
        self._group_budget = Budget(options.group_share, blocking=options.num_workers > 0)
        self._bytes = None if options.max_bytes is None else ResidentBytes(options, self._threads.workers)
        self._check = ArrivalCheck(options, quarantine)
        self._pace = Pace(_MOST_TOGETHER, group_seconds=_GROUP_SECONDS) if options.in_processes else None
        stored = options.chunks.stored
        self._fetching = None if stored is None else Fetching(options, stored, start, end_epoch, steps, counters)
        held = options.chunks.on_disk if self._fetching is None else self._fetching.held
        read_index, encode, encode_each = user_functions(options, held, steps, counters)
        groups = self._groups(read_index, start, end_epoch)
        self._make = batch_making(options, encode, encode_each)
        self._make_ahead(
            self._made,
            map(self._planned, groups),
            num_threads=self._threads.workers,
            may_change=options.finds_workers,
            budget=self._group_budget,
            weight=lambda planned: planned.weight,
            describe=lambda planned: _place(planned.content),
            stall_timeout_seconds=options.stall_timeout_seconds,
        )
        self._watch_reading()

    def _groups(self, read_index: Read, start: Position, end_epoch: int | None) -> Iterator[_Cut]:
        """Begin to read, and return the groups of what is read."""
        options = self._options
        tasks: Iterable[ReadTask] = options.streams.read_tasks(start=start, end_epoch=end_epoch)
        fetching = self._fetching
        if fetching is not None:
            tasks = fetching.ahead(tasks)
        if self._bytes is not None:
            self.steps.add_awaited(self._bytes.budget)
            tasks = self._bytes.reserved(tasks)
        has_arrived = None if self._bytes is None else self._bytes.has_arrived
        self._reading = self.steps.add(
            map_in_order(
                ChunkReading(
                    options,
                    self._chunk_budget,
                    read_index,
                    self._quarantine,
                    has_arrived,
                    None if fetching is None else fetching.drop,
                ),
                tasks,
                num_threads=self._threads.readers,
                may_change=options.finds_readers,
                budget=self._chunk_budget,
                name="read",
                describe=lambda task: options.chunks.names[task.chunk],
            )
        )
        arrivals = self._check.arrivals(self._reading if self._bytes is None else self._bytes.asked(self._reading))
        # Without room for groups, a batch is made when the loop asks for it.
        rule = options.rule if options.group_share else replace(options.rule, several=False)
        if options.makes_several:
            rule = replace(rule, num_together=self._num_together)
        return _groups_of_streams(arrivals, options.streams, rule, self._dealing, start=start, end_epoch=end_epoch)

    def _planned(self, group: _Cut) -> _Planned:
        """Return a group with how much of the queue it takes, in chunks' worth of rows, and of the bytes."""
        if isinstance(group, EpochEnd):
            return _Planned(group, 0.0)
        weight = max(group.num_rows / max(1, self._check.largest), self._least_weight)
        return _Planned(group, weight, None if self._bytes is None else self._bytes.reserve_group(group))

    @property
    def _least_weight(self) -> float:
        """Of a group: those that wait are bounded by number too, since more than a few for each worker do not help."""
        return self._options.group_share / (2 * self._threads.workers + 2)

    def _num_together(self, columns: Columns) -> int:
        """Return how many batches are made together of a chunk's columns.

        Such with lists are gathered at once.  To a process go no more than the place of a group has room for.
        """
        if self._pace is None:
            row_bytes = columns_bytes(columns, sample_rows=_SAMPLE_ROWS) // row_count(columns)
            return max(1, GROUP_BYTES // max(1, row_bytes * self._options.rule.batch_size))
        room = int(self._least_weight * self._check.largest / self._options.rule.batch_size)
        return max(1, min(self._pace.num_together(), room))

    def _num_read(self) -> int:
        return self._reading.num_taken if isinstance(self._reading, ThreadedMap) else 0

    def _work_with(self, threads: ThreadCounts) -> None:
        self._threads = threads
        if self._bytes is not None:
            self._bytes.num_workers = threads.workers
        super()._work_with(threads)
        if isinstance(self._reading, ThreadedMap):
            self._reading.work_with(threads.readers)
            self._watch_reading()

    def _watch_reading(self) -> None:
        """Have a stall noticed where the loop's own thread waits for it: for the chunks, if it makes batches itself."""
        if isinstance(self._reading, ThreadedMap):
            self._reading.watch = None if self._threads.workers else self._watch

    def _steps_ahead(self) -> dict[str, Any]:
        return {**super()._steps_ahead(), "read": self._reading}

    def _made(self, planned: _Planned) -> MadeRows | EpochEnd:
        group, reservation = planned.content, planned.reservation
        if isinstance(group, EpochEnd):
            return group
        made = self._make(group)
        made.weight = planned.weight
        if self._pace is not None:
            self._pace.made(len(made.sizes), sum(made.seconds[1:]))
        if self._bytes is not None and reservation is not None:
            self._bytes.has_made(made, reservation)
        return made

    def _has_come(self, group: MadeRows) -> None:
        self._delivered += group.num_rows
        counters = self._counters
        self._count_reads()
        if group.by_source is not None:
            counters.by_source = counters.by_source + group.by_source
        if group.mixing:
            counters.mixing = (counters.mixing[0] + group.mixing, counters.mixing[1] + 1)
        # A batch larger than the share of the queue is made alone; what exceeds the share counts as the loop's.
        groups = min(self._group_budget.peak, self._options.group_share)
        held = self._chunk_budget.peak + groups + self._options.run_share
        counters.resident_chunks = max(counters.resident_chunks, held)
        if self._bytes is not None:
            counters.resident_bytes = max(counters.resident_bytes, self._bytes.budget.peak)
        if self._at_first is not None:
            self._at_first()
            self._at_first = None

    def _count_reads(self) -> None:
        counters = self._counters
        counters.busy_seconds["read"] += self._reading.take_busy_seconds()
        counters.busy_seconds["shuffle"] += self._dealing.new_seconds()
        counters.room_seconds = self._room_seconds + self._reading.room_seconds
        if self._fetching is not None:
            counters.busy_seconds["fetch"] += self._fetching.take_busy_seconds()
            counters.num_fetches = self._fetching.num_at_once
        counters.read_bytes += self._check.read_bytes - self._read_bytes
        self._read_bytes = self._check.read_bytes

    def _end_epoch(self, end: EpochEnd) -> None:
        self._count_reads()  # of chunks after the last batch too: of some the last rows are dropped
        wanted = end.num_rows - end.num_dropped + end.num_filled
        if self._delivered != wanted:
            raise CoverageError(
                f"epoch {end.epoch} delivered {self._delivered:,} samples, and should have delivered {wanted:,}.",
                "This is a defect of pyloader: please report it",
            )
        if self.position.step == 0:
            what = f"epoch {end.epoch} has {end.num_rows:,} samples, which make no batch of "
            what += f"{self._options.rule.batch_size:,} with last_batch={self._options.rule.last_batch!r}."
            raise DataDirError(str(self._options.chunks.root), what)
        self._counters.dropped += end.num_dropped
        self._counters.filled += end.num_filled
        self.position, self._delivered = self.position.next_epoch(), 0

    def _note_left_out(self, left_out: dict[int, Any]) -> None:
        for number, error in left_out.items():
            self._quarantine.note_row(*place_of(number), error, stage="encode", epoch=self.position.epoch)


def first_batch(options: RunOptions, start: Position, quarantine: Quarantine) -> Any:
    """Return the batch that a run from `start` begins with, made in this thread; nothing else comes of that run."""
    inline = replace(options, num_workers=0, num_readers=0)
    with contextlib.closing(Steps()) as steps:
        return ChunkRun(inline, start, start.epoch + 1, Counters(), quarantine, steps).next_batch()[0]


def _place(group: _Cut) -> str:
    return f"epoch {group.epoch}" if isinstance(group, EpochEnd) else f"epoch {group.epoch}, step {group.step}"


def _groups_of_streams(
    arrivals: Iterator[Arrival],
    streams: Streams | MixedStreams,
    rule: CutRule,
    clock: _Clock,
    *,
    start: Position,
    end_epoch: int | None,
) -> Iterator[AnyGroup | EpochEnd]:
    """Yield the groups of every epoch, of all the streams served, then its end.

    All streams take their chunks from the same line of arrivals.  Each finds its own there, because
    `Streams.read_tasks` orders the reads as the steps come to need them.

    Args:
      arrivals: The chunks that `streams.read_tasks` asks for.
      streams: The plan.
      rule: How to cut; its batch size is that of the batches delivered, all streams' shares together.
      clock: Counts how long dealing takes.
      start: Where to begin.
      end_epoch: The first epoch that is not delivered; None never ends.
    """
    if isinstance(streams, MixedStreams):
        yield from mixed_groups(arrivals, streams, start=start, end_epoch=end_epoch)
        return
    rule = replace(
        rule,
        batch_size=streams.share,
        several=rule.several and len(streams.served) == 1,
        num_together=None if streams.joins else rule.num_together,
        num_steps=None if streams.is_one else streams.steps_per_epoch,
    )
    for position in streams.positions(start, end_epoch):
        parts = [streams.stream_part(stream, position.epoch) for stream in streams.served]
        yield from join([_groups_of_stream(arrivals, part, streams, rule, clock, position) for part in parts])


def _groups_of_stream(
    arrivals: Iterator[Arrival], part: StreamPart, streams: Streams, rule: CutRule, clock: _Clock, position: Position
) -> Iterator[BatchGroup | EpochEnd]:
    start, dealing = streams.start(part, position), part.dealing
    mine = itertools.islice(arrivals, dealing.num_chunks - dealing.first_arrival(start.segment))
    segments = deal(clock.without(mine), dealing, seed=streams.row_seed, start=start, stream=part.stream)
    offset, step = start.offset, position.step
    if streams.sorts:
        segments = sorted_runs(segments, streams, epoch=part.epoch, step=step, start=offset)
        offset = (step - streams.run_start(step)) * streams.share
    return cut(clock.of(segments), rule, start=offset, step=step, num_segments=dealing.num_chunks)
