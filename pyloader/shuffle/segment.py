"""Segments: rows of a few chunks that change places, and how to gather some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pyloader.columns import Columns, row_count
from pyloader.memory import RecycledMemory

__all__ = ["Chunk", "Hand", "Segment", "gather_rows", "join_hands"]


class Chunk(Protocol):
    """A chunk that has been read, and its place within the bound: dropped when its last holder has let go."""

    value: Columns

    def hold(self) -> None:
        """Count one holder more."""

    def let_go(self) -> None:
        """Count one holder less."""


@dataclass(frozen=True, slots=True)
class Hand:
    """Rows that one chunk gives to one segment; it holds the chunk.

    Attributes:
      chunk: The chunk.
      rows: int64 array: which of its rows, in which order; None for all of them as they are.
    """

    chunk: Chunk
    rows: np.ndarray | None

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        return row_count(self.chunk.value) if self.rows is None else len(self.rows)


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows in the order in which they are delivered.

    Row i is row `rows[i]` of chunk `chunks[chunk_of[i]]`; with one chunk `chunk_of` is None, and `rows` too when the
    chunk's own order is kept.

    Attributes:
      epoch: Counted from 0.
      index: Its number in the epoch.
      num_rows: How many rows it has.
      chunks: Where they are; the segment holds each chunk once.
      rows: int64 array of shape [num_rows], or None.
      chunk_of: int64 array of shape [num_rows], or None.
    """

    epoch: int
    index: int
    num_rows: int
    chunks: Sequence[Chunk] = ()
    rows: np.ndarray | None = None
    chunk_of: np.ndarray | None = None

    def hold(self) -> None:
        """Hold the chunks once more."""
        for chunk in self.chunks:
            chunk.hold()

    def let_go(self) -> None:
        """Let go of the chunks once."""
        for chunk in self.chunks:
            chunk.let_go()


def join_hands(epoch: int, index: int, hands: Sequence[Hand], order: np.ndarray | None) -> Segment:
    """Return the segment of `hands`; `order` permutes their rows, laid end to end, and may be None for one hand."""
    chunks = [hand.chunk for hand in hands]
    num_rows = sum(hand.num_rows for hand in hands)
    if len(hands) <= 1:
        rows = hands[0].rows if hands else None
        if rows is not None and order is not None:
            rows = rows[order]
        return Segment(epoch, index, num_rows, chunks, rows)
    assert order is not None
    all_rows = np.concatenate([hand.rows for hand in hands if hand.rows is not None])
    chunk_of = np.repeat(np.arange(len(hands)), [hand.num_rows for hand in hands])
    return Segment(epoch, index, num_rows, chunks, all_rows[order], chunk_of[order])


def gather_rows(segment: Segment, start: int, stop: int, memory: RecycledMemory, *, before: int = 0) -> Columns:
    """Return rows [start, stop) of a segment in memory of their own, with room for `before` rows in front of them.

    Returns:
      Columns of `before` + stop - start rows; the first `before` of an array are uninitialised, of a list None.
    """
    gathered: Columns = {}
    for name, first in segment.chunks[0].value.items():
        sources = [chunk.value[name] for chunk in segment.chunks]
        if isinstance(first, np.ndarray):
            shape = (before + stop - start, *first.shape[1:])
            out = memory.empty(shape, first.dtype)
            _gather_array(segment, start, stop, sources, out[before:])  # type: ignore[arg-type]
            gathered[name] = out
        else:
            values = _gather_list(segment, start, stop, sources)  # type: ignore[arg-type]
            gathered[name] = [None] * before + values if before else values
    return gathered


def _gather_array(segment: Segment, start: int, stop: int, sources: list[np.ndarray], out: np.ndarray) -> None:
    if segment.rows is None:
        out[:] = sources[0][start:stop]
        return
    rows = segment.rows[start:stop]
    if segment.chunk_of is None:
        if sources[0].flags.c_contiguous:
            # Without mode="clip", take fills a temporary array first, to leave `out` alone should an index be wrong.
            np.take(sources[0], rows, axis=0, out=out, mode="clip")
        else:
            out[:] = sources[0][rows]  # take would copy the whole array first
        return
    chunk_of = segment.chunk_of[start:stop]
    for number, source in enumerate(sources):
        places = np.flatnonzero(chunk_of == number)
        if len(places):
            mine = rows[places]
            out[places] = source.take(mine, axis=0) if source.flags.c_contiguous else source[mine]


def _gather_list(segment: Segment, start: int, stop: int, sources: list[list[object]]) -> list[object]:
    if segment.rows is None:
        return sources[0][start:stop]
    rows = segment.rows[start:stop].tolist()
    if segment.chunk_of is None:
        only = sources[0]
        return [only[row] for row in rows]
    return [sources[chunk][row] for chunk, row in zip(segment.chunk_of[start:stop].tolist(), rows, strict=True)]
