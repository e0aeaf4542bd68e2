"""Mixed groups: each step's rows of every source in every stream served, joined to one batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from pyloader.errors import CoverageError
from pyloader.plan import MixedStreams, Position, SourceStreams
from pyloader.shuffle import AnyGroup, Arrival, EpochEnd, Hand, JoinedGroup, RowTaker, Segment, deal, filling_groups

__all__ = ["mixed_groups"]


def mixed_groups(
    arrivals: Iterator[Arrival], streams: MixedStreams, *, start: Position, end_epoch: int | None
) -> Iterator[AnyGroup | EpochEnd]:
    """Yield the groups of every epoch, one a step, then its end.

    All sources and streams take their chunks from the same line of arrivals, as `MixedStreams.read_tasks` orders it.

    Args:
      arrivals: The chunks that `streams.read_tasks` asks for.
      streams: The plan.
      start: Where to begin.
      end_epoch: The first epoch that is not delivered; None never ends.
    """
    for position in streams.positions(start, end_epoch):
        yield from _groups_of_epoch(arrivals, streams, position)


def _groups_of_epoch(
    arrivals: Iterator[Arrival], streams: MixedStreams, position: Position
) -> Iterator[AnyGroup | EpochEnd]:
    epoch, begun = position.epoch, streams.mark(position)
    of_sources = streams.of_sources(epoch)

    def taker_of(source: SourceStreams, name: str, stream: int, row: int) -> RowTaker:
        hands: dict[int, list[Hand]] = {}
        return RowTaker(_segments(arrivals, source, name, stream, row, hands), hands, source.number)

    takers = [
        [
            taker_of(source, name, stream, row)
            for source, name, row in zip(of_sources, streams.names, begun.rows, strict=True)
        ]
        for stream in streams.served
    ]
    mark = begun
    num_rows = num_filled = 0
    for before, after in streams.marks(position):
        taken = [stop - start for start, stop in zip(before.rows, after.rows, strict=True)]
        lacking = streams.share - sum(taken)
        parts = []
        for of_stream in takers:
            mine = [
                taker.take(count, epoch=epoch, step=before.step)
                for taker, count in zip(of_stream, taken, strict=True)
                if count
            ]
            parts += mine
            if lacking:
                parts += filling_groups(mine, streams.share, streams.schedule.last_batch)
        group = JoinedGroup(tuple(parts), after)
        num_rows += sum(taken) * len(streams.served)
        num_filled += group.num_filled
        mark = after
        yield group
    for taker in itertools.chain.from_iterable(takers):
        taker.close()
    num_dropped = streams.schedule.num_dropped(mark) * len(streams.served)
    yield EpochEnd(epoch, num_rows + num_dropped, num_dropped, num_filled)


def _segments(
    arrivals: Iterator[Arrival],
    streams: SourceStreams,
    name: str,
    stream: int,
    row: int,
    hands: dict[int, list[Hand]],
) -> Iterator[tuple[Segment, int]]:
    """Yield the segments of a source's rows in a stream from its row `row` on, over all its epochs.

    With each comes how many of its rows are received.

    Raises:
      CoverageError: an epoch of it had other rows than planned.
    """
    for part, first in streams.parts(stream, row):
        received, dealing = max(0, row - first), part.dealing
        segment, offset = part.place(received) if received else (0, 0)
        start = Position(part.epoch, segment, offset)
        mine = itertools.islice(arrivals, dealing.num_chunks - dealing.first_arrival(segment))
        drawn = streams.drawn
        for dealt in deal(
            mine, dealing, seed=drawn.row_seed, start=start, stream=stream, first_chunk=drawn.first_chunk, hands=hands
        ):
            if not isinstance(dealt, EpochEnd):
                yield dealt, offset
                offset = 0
            elif dealt.num_rows != part.num_rows - received:
                what = f"epoch {part.epoch} of {name!r} had {dealt.num_rows:,} samples in stream {stream}, and should "
                what += f"have had {part.num_rows - received:,}."
                raise CoverageError(what, "This is a defect of pyloader: please report it")
