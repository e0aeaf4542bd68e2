"""Sources: the rows of one source of a mixture, stream by stream, over as many of its epochs as it takes.

Row i of a source in stream t of S is row J = i * S + t of the source, whose rows of all epochs are one line: of N rows
its epoch is J // N.  So counts decide alone how long each stream's stretch of an epoch is, and weights may change at
any step.  The stretches of an epoch lie one after another in that epoch's own order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pyloader.plan.dealing import Dealing
from pyloader.plan.order import source_seed
from pyloader.plan.streams import Drawn, ReadTask, StreamPart, Streams

__all__ = ["Source", "SourceStreams", "source_streams"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """What a plan knows of one source of a mixture."""

    name: str
    counts: np.ndarray  # int64 array: the rows of each of its chunks
    first_chunk: int  # the index of its first chunk in the list of all
    window: int  # how many of its chunks are mixed
    number: int  # which source its rows say they are of

    @property
    def num_rows(self) -> int:
        """How many rows an epoch of it has."""
        return int(self.counts.sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceStreams(Streams):
    """How a source's epochs are cut into streams."""

    source_drawn: Drawn  # what the order of its rows is drawn from
    number: int  # which source its rows say they are of

    @property
    def is_one(self) -> bool:
        """Whether a position names its place: never, there are other sources."""
        return False

    @property
    def drawn(self) -> Drawn:
        """What the order of the rows is drawn from."""
        return self.source_drawn

    def border(self, stream: int, epoch: int) -> int:
        """Return where in the epoch's line the stream's stretch begins."""
        start, stop = (self._rows_before(at * self.num_rows, stream) for at in (epoch, epoch + 1))
        return stop - start

    def first_row(self, stream: int, epoch: int) -> int:
        """Return which of the stream's rows is the first of an epoch."""
        before = epoch * self.num_rows
        return self._rows_before(before, stream + 1) - self._rows_before(before, stream)

    def parts(self, stream: int, row: int) -> Iterator[tuple[StreamPart, int]]:
        """Yield the stream's parts from its row `row` on, and which of its rows is the first of each."""
        epoch = (row * self.num_streams + stream) // self.num_rows
        while True:
            first = self.first_row(stream, epoch)
            if self.first_row(stream, epoch + 1) > first:  # else the source has fewer rows than there are streams
                yield self.stream_part(stream, epoch), first
            epoch += 1

    def reads(self, stream: int, row: int) -> Iterator[tuple[int, ReadTask]]:
        """Yield what to read for the stream's rows from `row` on, each with the row that first needs it."""
        for part, first in self.parts(stream, row):
            begin = part.dealing.first_arrival(part.place(row - first)[0]) if row > first else 0
            for number in range(begin, len(part.chunks)):
                chunk, rows = int(part.chunks[number]), part.rows_of(number)
                whole = None if rows == (0, int(self.known_counts[chunk])) else rows
                task = ReadTask(part.epoch, number, self.source_drawn.first_chunk + chunk, whole, self.source_drawn)
                yield max(row, first + int(part.bounds[number])), task

    def _rows_before(self, line_row: int, stream: int) -> int:
        """Return how many of the first rows of the line of all epochs the streams before `stream` have."""
        turns, rest = divmod(line_row, self.num_streams)
        return turns * stream + min(rest, stream)


def source_streams(
    source: Source, *, seed: int, run: int, shuffle: str, num_streams: int, served: range, share: int
) -> SourceStreams:
    """Return the plan of a source.

    Its random numbers depend on its name, so that another source changes nothing here.

    Args:
      source: Which.
      seed: The run's seed.
      run: Which time the mixture is gone through, from 0.
      shuffle: "all", "rows" or "none".
      num_streams: How many streams there are.
      served: Those that this process delivers.
      share: How many rows a step takes of each stream, over all sources.
    """
    own = source_seed(source.name, seed=seed, run=run)
    row_seed = None if shuffle == "none" else own
    return SourceStreams(
        counts=source.counts,
        num_streams=num_streams,
        share=share,
        served=served,
        dealing=Dealing(len(source.counts), source.window),
        last_batch="drop",
        chunk_seed=own if shuffle == "all" else None,
        row_seed=row_seed,
        source_drawn=Drawn(row_seed, source.first_chunk, own),
        number=source.number,
    )
