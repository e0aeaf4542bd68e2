"""Deal: chunks that arrive one after another become segments whose rows have changed places."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pyloader.columns import row_count
from pyloader.plan import Dealing, Position, deal_phase, row_order, segment_order
from pyloader.shuffle.segment import Chunk, Hand, Segment, join_hands

__all__ = ["Arrival", "EpochEnd", "deal"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A chunk that has been read; it holds it once.

    Attributes:
      epoch: The epoch it is read for.
      number: It is the number-th to arrive in that epoch, from 0.
      index: Its index in the list of chunks.
      chunk: Its rows.
    """

    epoch: int
    number: int
    index: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """An epoch is over.

    Attributes:
      epoch: Counted from 0.
      num_rows: How many rows its segments had, from the position where it was begun.
      num_dropped: How many of them the last-batch rule left out.
      num_filled: How many rows the last-batch rule repeated to fill the last batch.
    """

    epoch: int
    num_rows: int
    num_dropped: int = 0
    num_filled: int = 0


def deal(
    arrivals: Iterable[Arrival], dealing: Dealing, *, seed: int | None, start: Position
) -> Iterator[Segment | EpochEnd]:
    """Yield the segments of each epoch from `start` on, then its end.

    Args:
      arrivals: Epoch after epoch; the first epoch from arrival `dealing.first_arrival(start.segment)` on.
      dealing: The window.
      seed: The seed of the rows' order; None keeps the order (then the window is 1).
      start: Where to begin; the segments of its epoch before `start.segment` are left out.
    """
    first = start.segment
    hands: dict[int, list[Hand]] = defaultdict(list)
    num_rows = -start.offset
    for arrival in arrivals:
        _deal_out(arrival, hands, dealing, seed, first)
        epoch, number = arrival.epoch, arrival.number
        if number >= max(first, dealing.first_segment):
            complete = _segment(epoch, number, hands.pop(number, []), dealing, seed)
            num_rows += complete.num_rows
            yield complete
        if number == dealing.num_chunks - 1:
            yield EpochEnd(epoch, num_rows)
            first, num_rows = 0, 0


def _deal_out(arrival: Arrival, hands: dict[int, list[Hand]], dealing: Dealing, seed: int | None, first: int) -> None:
    for segment, rows in _parts(arrival, dealing, seed):
        hand = Hand(arrival.chunk, rows)
        if segment >= first and hand.num_rows:
            arrival.chunk.hold()
            hands[segment].append(hand)
    arrival.chunk.let_go()


def _parts(arrival: Arrival, dealing: Dealing, seed: int | None) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yield each segment that gets rows of a chunk, and which; hands that go to the same one are put together."""
    if seed is None:
        yield arrival.number, None
        return
    num_rows = row_count(arrival.chunk.value)
    rows = row_order(num_rows, seed=seed, epoch=arrival.epoch, chunk=arrival.index)
    phase = deal_phase(dealing.width, seed=seed, epoch=arrival.epoch, chunk=arrival.index)
    cuts = dealing.cuts(num_rows, phase)
    hands = range(dealing.width)
    for segment, together in itertools.groupby(hands, lambda hand: dealing.segment_of(arrival.number, hand)):
        first, *others = together
        yield segment, rows[cuts[first] : cuts[(others or [first])[-1] + 1]]


def _segment(epoch: int, index: int, hands: list[Hand], dealing: Dealing, seed: int | None) -> Segment:
    order = None
    if seed is not None and dealing.width > 1:
        num_rows = sum(hand.num_rows for hand in hands)
        order = segment_order(num_rows, seed=seed, epoch=epoch, segment=index)
    return join_hands(epoch, index, hands, order)
