"""Segments: rows of a few chunks that change places, and how to gather some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from pyloader.columns import Columns, row_count
from pyloader.machine.memory import RecycledMemory
from pyloader.ragged import Ragged
from pyloader.shuffle.arena import ArenaPart

__all__ = ["Chunk", "ChunkRows", "Hand", "Segment", "gather_rows", "join_hands"]

_POINTER_BYTES = 8


class ChunkRows:
    """A chunk's rows.

    Attributes:
      columns: The rows.
      part: The part of an arena that they were read into; None when no column lies there.
      whole_arrays: Of the columns that lie there, the arena's arrays.
      index: The chunk's index in the list of chunks; -1 where it is unknown.
    """

    __slots__ = ("_objects", "columns", "index", "part", "whole_arrays")

    def __init__(self, columns: Columns, part: ArenaPart | None = None, *, index: int = -1) -> None:
        self.columns, self.index = columns, index
        self.whole_arrays = {} if part is None else part.whole_arrays(columns)
        self.part = part if self.whole_arrays else None
        self._objects: dict[str, np.ndarray] = {}

    def objects(self, name: str) -> np.ndarray:
        """Return a column that is a list as an array of the same objects, made at the first call.

        NumPy takes rows of it two to four times as fast as Python's loop takes them of the list.
        """
        found = self._objects.get(name)
        if found is None:  # of two threads that make it, both get one
            values = self.columns[name]
            found = self._objects[name] = np.fromiter(values, object, len(values))
        return found

    @property
    def objects_bytes(self) -> int:
        """How many bytes `objects` takes of all columns that are lists."""
        return _POINTER_BYTES * row_count(self.columns) * sum(isinstance(each, list) for each in self.columns.values())


class Chunk(Protocol):
    """A chunk that has been read, and its share of the budget: dropped when its last holder releases it."""

    value: ChunkRows

    def acquire(self) -> None:
        """Count one holder more."""

    def release(self) -> None:
        """Count one holder less."""


@dataclass(frozen=True, slots=True)
class Hand:
    """Rows that one chunk gives to one segment; it holds the chunk."""

    chunk: Chunk  # the chunk
    rows: np.ndarray | None  # int64 array: which of its rows, in which order; None for all of them as they are

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        return row_count(self.chunk.value.columns) if self.rows is None else len(self.rows)


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows in the order in which they are delivered.

    Row i is row `rows[i]` of chunk `chunks[chunk_of[i]]`; with one chunk `chunk_of` is None, and `rows` too when the
    chunk's own order is kept.  Where all chunks lie in an arena, `places` says both.
    """

    epoch: int  # counted from 0
    index: int  # its number in the epoch
    num_rows: int  # how many rows it has
    chunks: Sequence[Chunk] = ()  # where they are; the segment holds each chunk once
    rows: np.ndarray | None = None  # int64 array of shape [num_rows], or None
    chunk_of: np.ndarray | None = None  # int64 array of shape [num_rows], or None
    # where the rows are in the arena's arrays, int64 of shape [num_rows]; None when not all chunks are there. Otherwise
    # `rows` and `chunk_of` are None.
    places: np.ndarray | None = None
    is_run: bool = False  # whether its chunks are copies of rows, sorted by length: of which chunks is unknown
    # the chunks' indices in the list of chunks, also when the chunks have been released
    indices: tuple[int, ...] = ()

    @property
    def keeps_order(self) -> bool:
        """Whether its rows are those of one chunk, as they are."""
        return self.rows is None and self.places is None

    def sources(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return `rows` and `chunk_of` of the rows [start, stop), which do not keep their chunk's order."""
        if self.places is None:
            assert self.rows is not None
            return self.rows[start:stop], None if self.chunk_of is None else self.chunk_of[start:stop]
        places = self.places[start:stop]
        firsts = np.array([0 if chunk.value.part is None else chunk.value.part.first for chunk in self.chunks])
        by_first = np.argsort(firsts)
        chunk_of = by_first[np.searchsorted(firsts[by_first], places, side="right") - 1]
        return places - firsts[chunk_of], chunk_of

    def acquire(self) -> None:
        """Acquire the chunks once more."""
        for chunk in self.chunks:
            chunk.acquire()

    def release(self) -> None:
        """Release the chunks once."""
        for chunk in self.chunks:
            chunk.release()


def join_hands(epoch: int, index: int, hands: Sequence[Hand], order: np.ndarray | None) -> Segment:
    """Return the segment of `hands`; `order` permutes their rows, laid end to end, and may be None for one hand."""
    chunks = [hand.chunk for hand in hands]
    indices = tuple(chunk.value.index for chunk in chunks)
    num_rows = sum(hand.num_rows for hand in hands)
    if len(hands) <= 1:
        rows = hands[0].rows if hands else None
        if rows is not None and order is not None:
            rows = rows[order]
        return Segment(epoch, index, num_rows, chunks, rows, indices=indices)
    assert order is not None
    rows_of = [hand.rows for hand in hands if hand.rows is not None]
    parts = [chunk.value.part for chunk in chunks if chunk.value.part is not None]
    if len(parts) == len(chunks):
        places = np.concatenate([rows + part.first for rows, part in zip(rows_of, parts, strict=True)])
        return Segment(epoch, index, num_rows, chunks, places=places[order], indices=indices)
    chunk_of = np.repeat(np.arange(len(hands)), [hand.num_rows for hand in hands])
    return Segment(epoch, index, num_rows, chunks, np.concatenate(rows_of)[order], chunk_of[order], indices=indices)


def gather_rows(segment: Segment, start: int, stop: int, memory: RecycledMemory, *, before: int = 0) -> Columns:
    """Return rows [start, stop) of a segment in memory of their own, with room for `before` rows in front of them.

    Returns:
      Columns of `before` + stop - start rows; the first `before` of an array are uninitialised, of a list None.  A
      `Ragged` has no room in front: how much its rows take is not known.
    """
    gathered: Columns = {}
    sources: _Sources | None = None  # wanted only where a column lies outside the arena
    for name, first in segment.chunks[0].value.columns.items():
        whole = _whole_array(segment, name)
        if whole is None and sources is None and not segment.keeps_order:
            sources = _Sources(segment, start, stop)
        columns: list[Any] = [chunk.value.columns[name] for chunk in segment.chunks]
        if isinstance(first, Ragged):
            gathered[name] = _gather_ragged(columns, sources) if sources else first[start:stop].copy()
            continue
        if isinstance(first, list):
            values = _gather_objects(segment, name, sources) if sources else first[start:stop]
            gathered[name] = [None] * before + values if before else values
            continue
        made = memory.empty((before + stop - start, *first.shape[1:]), first.dtype)
        gathered[name], out = made, made[before:]
        if whole is not None and segment.places is not None:
            _take(whole, segment.places[start:stop], out)
        elif sources:
            _gather_array(columns, sources, out)
        else:
            out[:] = first[start:stop]
    return gathered


def _whole_array(segment: Segment, name: str) -> np.ndarray | None:
    """Return the arena's array that holds a column of all chunks of a segment; None when there is none."""
    if segment.places is None:
        return None
    found = [chunk.value.whole_arrays.get(name) for chunk in segment.chunks]
    return found[0] if all(array is found[0] for array in found) else None


def _take(source: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    if source.flags.c_contiguous:
        # Without mode="clip", take fills a temporary array first, to leave `out` alone should an index be out of range.
        np.take(source, rows, axis=0, out=out, mode="clip")
    else:
        out[:] = source[rows]  # take would copy the whole source first


class _Sources:
    """Where rows of a segment come from: row `rows[i]` of chunk `chunk_of[i]`, which is None where there is one."""

    def __init__(self, segment: Segment, start: int, stop: int) -> None:
        self.rows, self.chunk_of = segment.sources(start, stop)

    @cached_property
    def of_chunks(self) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Of each chunk that has some of the rows: its number, their places, and which of its rows they are."""
        assert self.chunk_of is not None
        found = []
        for number in range(int(self.chunk_of.max(initial=-1)) + 1):
            places = np.flatnonzero(self.chunk_of == number)
            if len(places):
                found.append((number, places, self.rows[places]))
        return found


def _gather_array(columns: list[np.ndarray], sources: _Sources, out: np.ndarray) -> None:
    if sources.chunk_of is None:
        _take(columns[0], sources.rows, out)
        return
    for number, places, mine in sources.of_chunks:
        column = columns[number]
        out[places] = column.take(mine, axis=0) if column.flags.c_contiguous else column[mine]


def _gather_ragged(columns: list[Ragged], sources: _Sources) -> Ragged:
    rows, chunk_of = sources.rows, sources.chunk_of
    return columns[0].take(rows) if chunk_of is None else Ragged.gather(columns, rows, chunk_of)


def _gather_objects(segment: Segment, name: str, sources: _Sources) -> list[Any]:
    out = np.empty(len(sources.rows), object)
    _gather_array([chunk.value.objects(name) for chunk in segment.chunks], sources, out)
    gathered: list[Any] = out.tolist()
    return gathered
