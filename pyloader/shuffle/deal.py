"""Deal: chunks that arrive one after another become segments whose rows have changed places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pyloader.columns import row_count
from pyloader.plan import Dealing, Position, deal_phase, row_order, segment_order
from pyloader.shuffle.segment import Chunk, Hand, Segment, join_hands

__all__ = ["Arrival", "EpochEnd", "deal"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A chunk that has been read; it holds it once."""

    epoch: int  # the epoch it is read for
    number: int  # it is the number-th to arrive in that epoch, from 0
    index: int  # its index in the list of chunks
    chunk: Chunk  # its rows
    # which of its rows are dealt, [first, last + 1) in the chunk's own permutation; None for all of them
    part: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """An epoch is over."""

    epoch: int  # counted from 0
    num_rows: int  # how many rows its segments had, from the position where it was begun
    num_dropped: int = 0  # how many of them the last-batch rule left out
    num_filled: int = 0  # how many rows the last-batch rule repeated to fill the last batch


def deal(
    arrivals: Iterable[Arrival],
    dealing: Dealing,
    *,
    seed: int | None,
    start: Position,
    stream: int | None = None,
    first_chunk: int = 0,
    hands: dict[int, list[Hand]] | None = None,
) -> Iterator[Segment | EpochEnd]:
    """Yield the segments of an epoch from `start` on, then its end.

    Args:
      arrivals: Those of the epoch, from arrival `dealing.first_arrival(start.segment)` on.
      dealing: The window.
      seed: The seed of the rows' order; None keeps the order (then the window is 1).
      start: Where to begin; the segments before `start.segment` are left out.
      stream: Which stream the segments are of; None where an epoch is one stream.
      first_chunk: The first chunk of their source, which counts its chunks from there.
      hands: Where the hands of segments to come are kept, which hold their chunks: whoever stops early releases them.
    """
    first = start.segment
    hands = {} if hands is None else hands
    num_rows = -start.offset
    for arrival in arrivals:
        _deal_out(arrival, hands, dealing, seed, first, first_chunk)
        epoch, number = arrival.epoch, arrival.number
        if number >= max(first, dealing.first_segment):
            mine = hands.pop(number, [])
            order = None
            if seed is not None and dealing.width > 1:
                size = sum(hand.num_rows for hand in mine)
                order = segment_order(size, seed=seed, epoch=epoch, segment=number, stream=stream)
            complete = join_hands(epoch, number, mine, order)
            num_rows += complete.num_rows
            yield complete
    yield EpochEnd(start.epoch, num_rows)


def _deal_out(
    arrival: Arrival,
    hands: dict[int, list[Hand]],
    dealing: Dealing,
    seed: int | None,
    first: int,
    first_chunk: int,
) -> None:
    for segment, rows in _dealt(arrival, dealing, seed, arrival.index - first_chunk):
        hand = Hand(arrival.chunk, rows)
        if segment >= first and hand.num_rows:
            arrival.chunk.acquire()
            hands.setdefault(segment, []).append(hand)
    arrival.chunk.release()


def _dealt(arrival: Arrival, dealing: Dealing, seed: int | None, chunk: int) -> Iterable[tuple[int, np.ndarray | None]]:
    """Return each segment that gets rows of a chunk, and which; None for all of them as they are."""
    if seed is None:
        return [(arrival.number, None if arrival.part is None else np.arange(*arrival.part))]
    num_rows = row_count(arrival.chunk.value.columns)
    rows = row_order(num_rows, seed=seed, epoch=arrival.epoch, chunk=chunk)
    if arrival.part is not None:
        rows = rows[slice(*arrival.part)]
    phase = deal_phase(dealing.width, seed=seed, epoch=arrival.epoch, chunk=chunk)
    return dealing.hands(arrival.number, rows, phase)
