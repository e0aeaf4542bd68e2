"""Streaming: each stream is dealt and cut for itself, and their groups are joined into batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from pyloader.plan import Position, StreamPart, Streams
from pyloader.shuffle import AnyGroup, Arrival, BatchGroup, CutRule, EpochEnd, cut, deal, join

__all__ = ["groups_of_streams"]


def groups_of_streams(
    arrivals: Iterator[Arrival], streams: Streams, rule: CutRule, *, start: Position, end_epoch: int | None
) -> Iterator[AnyGroup | EpochEnd]:
    """Yield the groups of every epoch, of all the streams served, then its end.

    All streams take their chunks from the same line of arrivals.  Each finds its own there, because
    `Streams.read_tasks` orders the reads as the steps come to need them.

    Args:
      arrivals: The chunks that `streams.read_tasks` asks for.
      streams: The plan.
      rule: How to cut; its batch size is that of the batches delivered, all streams' shares together.
      start: Where to begin.
      end_epoch: The first epoch that is not delivered; None never ends.
    """
    rule = replace(
        rule,
        batch_size=streams.share,
        several=rule.several and len(streams.served) == 1,
        num_steps=None if streams.is_one else streams.steps_per_epoch,
    )
    for position in streams.positions(start, end_epoch):
        parts = [streams.stream_part(stream, position.epoch) for stream in streams.served]
        yield from join([_groups(arrivals, part, streams, rule, position) for part in parts])


def _groups(
    arrivals: Iterator[Arrival], part: StreamPart, streams: Streams, rule: CutRule, position: Position
) -> Iterator[BatchGroup | EpochEnd]:
    start, dealing = streams.start(part, position), part.dealing
    mine = itertools.islice(arrivals, dealing.num_chunks - dealing.first_arrival(start.segment))
    segments = deal(mine, dealing, seed=streams.row_seed, start=start, stream=part.stream)
    return cut(segments, rule, start=start.offset, step=position.step, num_segments=dealing.num_chunks)
