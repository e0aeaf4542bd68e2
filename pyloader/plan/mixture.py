"""Mixture: the plan of several sources, whose rows come in the shares of their weights.

An epoch of the loader is the mixture gone through once: from its first step to its end, if it has one.  Every source
has epochs of its own in it (`plan/sources.py`), and every stream takes as many rows of each source at each step
(`plan/schedule.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from pyloader.plan.locating import rows_between
from pyloader.plan.position import START, Position
from pyloader.plan.schedule import Mark, Schedule
from pyloader.plan.sources import Source, SourceStreams, source_streams
from pyloader.plan.steps import filling_rows
from pyloader.plan.streams import AnyStreams, ReadTask

__all__ = ["MixedStreams"]


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedStreams(AnyStreams):
    """How a mixture's steps are shared out among sources and streams."""

    sources: tuple[Source, ...]  # sorted by name
    schedule: Schedule  # how many rows a step takes of each, in each stream
    seed: int  # the run's seed
    shuffle: str  # "all", "rows" or "none"
    # from where on these shares hold: a state's position, before which they may have been others
    known: Position = START

    @property
    def share(self) -> int:
        """How many rows a step takes from each stream."""
        return self.schedule.share

    @property
    def names(self) -> tuple[str, ...]:
        """What the sources are called, sorted."""
        return tuple(source.name for source in self.sources)

    @property
    def is_one(self) -> bool:
        """Whether a position names its place by itself: it never does."""
        return False

    @property
    def by_step(self) -> bool:
        """Whether the step says where a run stands, and no segment: it does."""
        return True

    def held_with(self, window: int) -> int:
        """Return how many chunks are held for mixing with windows of at most this, of all streams served."""
        widths = (min(source.window, len(source.counts), window) for source in self.sources)
        return sum(widths) * len(self.served)

    @property
    def window(self) -> int:
        """The widest window."""
        return max(source.window for source in self.sources)

    @property
    def width(self) -> int:
        """How many chunks a segment mixes, of the source that mixes most."""
        return max(min(source.window, len(source.counts)) for source in self.sources)

    @property
    def joins(self) -> bool:
        """Whether batches are joined of several groups: they are."""
        return True

    @cached_property
    def steps_per_epoch(self) -> int | None:
        """How many steps it takes to go through once, where `known` stands; None where there is no end."""
        return self.schedule.last_step(self.mark(self.known))

    @cached_property
    def rows_per_epoch(self) -> tuple[int, ...]:
        """How many rows each stream takes of each source where it goes through once; as the shares are now."""
        steps = self.schedule.last_step(first := self.mark(START))
        return first.rows if steps is None else self.mark(self.onward(START, steps)).rows

    @cached_property
    def of_sources(self) -> Callable[[int], tuple[SourceStreams, ...]]:
        """of_sources(epoch) is each source's plan in an epoch of the loader; two are kept."""
        return lru_cache(maxsize=2)(self._of_sources)

    def mark(self, position: Position) -> Mark:
        """Return the mark at a position; where an epoch begins, the first."""
        return Mark.first(len(self.sources)) if position.mark is None else position.mark

    def onward(self, position: Position, num_steps: int) -> Position:
        """Return the position so many steps later; after an epoch's last step its end is still to come."""
        while True:
            mark = self.schedule.mark_at(position.step + num_steps, self.mark(position))
            done = mark.step - position.step
            position = Position(position.epoch, 0, 0, mark.step, position.steps_done + done, mark)
            num_steps -= done
            if num_steps == 0:
                return position
            position = position.next_epoch()

    def position(self, steps_done: int) -> Position:
        """Return the position after so many steps of the run.

        Raises:
          ValueError: it comes before the base of `known`, and the shares were others then.
        """
        for known in (self.known, self._base_of_known):
            if steps_done >= known.steps_done:
                return self.onward(known, steps_done - known.steps_done)
        if self.onward(START, self.known.steps_done) != self.known:
            base = self._base_of_known.steps_done
            raise ValueError(
                f"step {steps_done:,} comes before step {base:,}, where a loader went on, and the weights were others "
                "then. Give those, and a state that was saved with them"
            )
        return self.onward(START, steps_done)

    @property
    def _base_of_known(self) -> Position:
        """Where the shares that hold at `known` begin to hold."""
        known, mark = self.known, self.mark(self.known)
        base = Mark(mark.base_step, mark.base_rows, mark.base_step, mark.base_rows)
        return Position(known.epoch, 0, 0, base.step, known.steps_done - mark.step + base.step, base)

    def ends_epoch(self, position: Position) -> bool:
        """Tell whether all batches of the position's epoch have been received."""
        return self.schedule.after(self.mark(position)) is None

    def marks(self, position: Position) -> Iterator[tuple[Mark, Mark]]:
        """Yield the marks before and after every step of an epoch, from `position` on."""
        mark = self.mark(position)
        return itertools.pairwise(itertools.chain([mark], self.schedule.marks(mark)))

    def read_tasks(self, *, start: Position, end_epoch: int | None) -> Iterator[ReadTask]:
        """Yield what to read for the streams served, in the order in which their steps come to need it.

        Each step asks one stream after the other, and in it one source after the other, for its rows; that takes chunks
        from one line of reads, so its order must be exactly this one.
        """
        for position in self.positions(start, end_epoch):
            of_sources, mark = self.of_sources(position.epoch), self.mark(position)
            lines = [
                [streams.reads(stream, row) for streams, row in zip(of_sources, mark.rows, strict=True)]
                for stream in self.served
            ]
            needs = [[next(line) for line in of_stream] for of_stream in lines]
            for _, after in self.marks(position):
                for of_stream, needed in zip(lines, needs, strict=True):
                    for source, rows in enumerate(after.rows):
                        while needed[source][0] < rows:
                            yield needed[source][1]
                            needed[source] = next(of_stream[source])

    def num_reads(self, position: Position) -> int:
        """Return how many chunks are read before the first batch after `position`."""
        mark = self.mark(position)
        after = self.schedule.after(mark)
        if after is None:
            return 0
        num_reads = 0
        for stream in self.served:
            for streams, row, until in zip(self.of_sources(position.epoch), mark.rows, after.rows, strict=True):
                for need, _ in streams.reads(stream, row):
                    if need >= until:
                        break
                    num_reads += 1
        return num_reads

    def rows_of_step(self, position: Position) -> np.ndarray:
        """Return where every row of the batch over all ranks at `position` comes from, filling included.

        Returns:
          int64 array of shape [rows, 4]: the source's place in `sources`, its epoch, the index of the chunk in that
          source, and the row in it; one stream after another, one source after another.
        """
        before = self.mark(position)
        after = self.schedule.after(before)
        found = [np.zeros((0, 4), np.int64)]
        if after is None:
            return found[0]
        for stream in range(self.num_streams):
            rows = np.concatenate(list(self._rows(position.epoch, stream, before.rows, after.rows)))
            found.append(rows)
            if len(rows) < self.share and self.schedule.last_batch != "keep":
                found.append(self._filling(position.epoch, stream, before, after, len(rows)))
        return np.concatenate(found)

    def _rows(self, epoch: int, stream: int, starts: tuple[int, ...], stops: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Yield where rows [start, stop) of each source in a stream come from, as `rows_of_step` says it."""
        for place, (streams, row, stop) in enumerate(zip(self.of_sources(epoch), starts, stops, strict=True)):
            for part, first in streams.parts(stream, row) if row < stop else ():
                for rows in rows_between(streams, part, max(0, row - first), min(stop - first, part.num_rows)):
                    about = np.broadcast_to([place, part.epoch], (len(rows), 2))
                    yield np.concatenate([about, rows], axis=1)
                if first + part.num_rows >= stop:
                    break

    def _filling(self, epoch: int, stream: int, before: Mark, after: Mark, num_rows: int) -> np.ndarray:
        """Return what fills up a stream's last step: the latest rows of the segments that its rows end in."""
        starts = []
        for streams, row, stop in zip(self.of_sources(epoch), before.rows, after.rows, strict=True):
            start = stop
            if row < stop:
                part, first = next(streams.parts(stream, stop - 1))
                segment, _ = part.place(stop - 1 - first)
                start = max(first + int(part.bounds[segment]), stop - self.share)
            starts.append(start)
        latest = np.concatenate(list(self._rows(epoch, stream, tuple(starts), after.rows)))
        filling: np.ndarray = latest[filling_rows(self.schedule.last_batch, len(latest), self.share, num_rows)]
        return filling

    def _of_sources(self, epoch: int) -> tuple[SourceStreams, ...]:
        return tuple(
            source_streams(
                source,
                seed=self.seed,
                run=epoch,
                shuffle=self.shuffle,
                num_streams=self.num_streams,
                served=self.served,
                share=self.share,
            )
            for source in self.sources
        )
