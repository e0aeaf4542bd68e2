"""Reading: one chunk after another, checked as they arrive.

Where chunks or rows may be left out, others stand in for them, so that there are as many rows as the manifest says.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from pyloader.columns import Columns, ColumnSpec, column_specs, difference, row_count, take_rows
from pyloader.deliver import Budget, Lease, StepsClosed
from pyloader.errors import ChunkReadError, ReadFileError, WorkerDiedError
from pyloader.packing import packed_columns
from pyloader.plan import STAND_IN, ReadTask, row_keys, sample_numbers
from pyloader.run.chunk_lengths import lengths_by
from pyloader.run.options import RunOptions
from pyloader.run.packed import packed
from pyloader.run.replacements import replacement_rows
from pyloader.run.sample_ids import attach
from pyloader.run.skipped import Quarantine
from pyloader.shuffle import Arena, ArenaPart, Arrival, ChunkRows

__all__ = ["ArrivalCheck", "ChunkReading", "Read", "Reading"]

# A chunk's index -> its columns, and the rows that could not be read, each with the reason.
Read: TypeAlias = "Callable[[int], tuple[Columns, dict[int, str]]]"

_NO_FAULT_OF_THE_CHUNK = (WorkerDiedError, StepsClosed)


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of a read task."""

    task: ReadTask  # what was asked for
    chunk: Lease[ChunkRows]  # the rows, in their place within the bound
    # the numbers of the samples whose places they have, uint64 of shape [rows], STAND_IN set in those of rows that
    # stand in; None unless numbered
    numbers: np.ndarray | None
    # the keys of its rows, uint64 of shape [rows], where a mixture's are asked for; else None
    keys: np.ndarray | None
    # the rows that could not be read, each with the reason; others stand in for them
    bad_rows: dict[int, str] = field(default_factory=dict)
    # why the chunk is left out; None unless it is.  Then rows of another chunk stand in for all of its own, or, where
    # the number of its rows is unknown, it is empty
    error: Exception | None = None


class ChunkReading:
    """Reads a chunk, for which a share of the budget has been taken; several threads may call it.

    Args:
      options: The run's.
      budget: Where the share was taken.
      read_index: Reads the chunk of an index.
      quarantine: Which chunks are left out already.
      has_arrived: Called with every result; None does nothing.
      drop: Called with the index of a chunk that was not read to its end; None does nothing.
    """

    def __init__(
        self,
        options: RunOptions,
        budget: Budget,
        read_index: Read,
        quarantine: Quarantine,
        has_arrived: Callable[[Reading], None] | None = None,
        drop: Callable[[int], None] | None = None,
    ) -> None:
        self._options, self._chunks = options, options.chunks
        self._budget, self._read_index, self._quarantine = budget, read_index, quarantine
        self._has_arrived, self._drop = has_arrived, drop
        self._arena = _arena(options)

    def __call__(self, task: ReadTask) -> Reading:
        """Read the chunk, or another in its place where it may be left out.

        Raises:
          Exception: it cannot be read, and may not be left out.
        """
        index, arena = task.chunk, self._arena
        part = None if arena is None else arena.take_part()
        try:
            if self._quarantine.has_chunk(index):
                raise ChunkReadError(self._chunks.path(index), "is left out.")
            with nullcontext() if part is None else part.allocating():
                columns, numbers, bad_rows = self._checked(task, *self._read_index(index))
        except Exception as exc:
            if arena is not None and part is not None:
                arena.give_back(part)
            if self._drop is not None:
                self._drop(index)
            path, reader = self._chunks.path(index), _reader_name(self._options, index)
            exc.add_note(f"pyloader: while {reader} read {path} (epoch {task.epoch})")
            if isinstance(exc, PermissionError):
                exc.add_note(f"pyloader: give this user the right to read it: chmod +r {shlex.quote(path)}")
            if not self._options.max_skipped or isinstance(exc, _NO_FAULT_OF_THE_CHUNK):
                raise
            columns, numbers = self._rows_of_another(task, exc)
            lease = self._budget.lease(ChunkRows(columns, index=index))
            reading = Reading(task, lease, numbers, self._keys(task, numbers), error=exc)
        else:
            keys = self._keys(task, numbers)
            reading = Reading(task, self._held(columns, part, index), numbers, keys, bad_rows)
        if self._has_arrived is not None:
            self._has_arrived(reading)
        return reading

    def _checked(
        self, task: ReadTask, columns: Columns, bad_rows: dict[int, str]
    ) -> tuple[Columns, np.ndarray | None, dict[int, str]]:
        """Return a chunk's rows, good ones in the places of bad ones; the numbers of its samples; and the bad rows."""
        index, options = task.chunk, self._options
        if options.packing is not None:
            if bad_rows:  # the others would make other packed rows than were counted
                row, reason = next(iter(bad_rows.items()))
                raise ChunkReadError(self._chunks.path(index), f"row {row:,}: {reason}")
            path, drawn = self._chunks.path(index), task.drawn
            own = index - drawn.first_chunk
            columns = packed(
                columns, options.packing, path=path, seed=drawn.row_seed, epoch=task.epoch, chunk=own,
                loss_mask=options.loss_mask,
            )  # fmt: skip
        columns = {
            name: _gatherable(values) if isinstance(values, np.ndarray) else values for name, values in columns.items()
        }
        num_rows = row_count(columns)
        _check_count(options, index, num_rows)
        numbers = sample_numbers(index, np.arange(num_rows)) if options.numbered else None
        if bad_rows:
            if len(bad_rows) == num_rows:
                raise ChunkReadError(self._chunks.path(index), f"has no good row: {next(iter(bad_rows.values()))}")
            columns = take_rows(columns, replacement_rows(num_rows, bad_rows))
            if numbers is not None:
                numbers[list(bad_rows)] |= STAND_IN
        return columns, numbers, bad_rows

    def _keys(self, task: ReadTask, numbers: np.ndarray | None) -> np.ndarray | None:
        """Return the keys of a chunk's rows, where they are drawn by source."""
        drawn = task.drawn
        if drawn.key_seed is None or numbers is None or "keys" not in self._options.drawn:
            return None
        # A row that stands in has the key of its place.  A source counts its own chunks, beginning with 0.
        own = (numbers & ~STAND_IN) - np.uint64(drawn.first_chunk << 32)
        return row_keys(own, seed=drawn.key_seed, epoch=task.epoch)

    def _held(self, columns: Columns, part: ArenaPart | None, index: int) -> Lease[ChunkRows]:
        """Return the rows in a lease, and give the arena's part back: now if no column lies there, else with them."""
        rows = ChunkRows(columns, part, index=index)
        drop = None if self._arena is None or part is None else partial(self._arena.give_back, part)
        if drop is not None and rows.part is None:
            drop()
        return self._budget.lease(rows, drop=None if rows.part is None else drop)

    def _rows_of_another(self, task: ReadTask, error: Exception) -> tuple[Columns, np.ndarray | None]:
        """Return as many rows of the next readable chunk as that of `task` has, and the numbers of their places.

        As many chunks may fail on the way as may be left out: one more would be an error in any case.

        Raises:
          Exception: `error`, when none is found.
        """
        counts, index = self._chunks.counts, task.chunk
        if counts is None or counts[index] == 0:
            return {}, None
        num_failed = 0
        alike = self._chunks.alike(index)
        for other in (*range(index + 1, alike.stop), *range(alike.start, index)):
            if counts[other] == 0 or self._quarantine.has_chunk(other):
                continue
            try:
                columns, _, _ = self._checked(replace(task, chunk=other), *self._read_index(other))
            except _NO_FAULT_OF_THE_CHUNK:
                raise
            except Exception:
                num_failed += 1
                if num_failed > self._options.max_skipped:
                    raise error from None
                continue
            rows = np.arange(counts[index])
            numbers = sample_numbers(index, rows) | STAND_IN if self._options.numbered else None
            return take_rows(columns, rows % counts[other]), numbers
        raise error


def _arena(options: RunOptions) -> Arena | None:
    """Return where chunks that are mixed lie together; None where none are, or their sizes are unknown.

    It has room for the largest chunk many times over, and keeps what was once filled: not with a bound on bytes.
    """
    counts = options.chunks.counts
    if counts is None or not options.streams.mixes or options.in_processes or options.max_bytes is not None:
        return None
    # At an epoch's border a chunk may be there twice.
    return Arena(min(options.chunk_share, 2 * len(counts)), int(counts.max()))


def _gatherable(values: np.ndarray) -> np.ndarray:
    """Return the array in C order, from which rows are taken fastest; itself when its rows overlap.

    Overlapping rows, windows of one sequence say, would take many times their memory.
    """
    overlaps = values.ndim > 1 and 0 <= values.strides[0] < values[:1].nbytes
    return values if overlaps and values[:1].flags.c_contiguous else np.ascontiguousarray(values)


class ArrivalCheck:
    """Checks chunks as they arrive: against the first of them.

    Args:
      options: The run's.
      quarantine: Where is noted what is left out.

    Attributes:
      largest: The rows of the largest chunk: from the manifest, or of those seen so far.
      read_bytes: The bytes of those seen so far, as they lie on disk.
    """

    def __init__(self, options: RunOptions, quarantine: Quarantine) -> None:
        self._options, self._quarantine = options, quarantine
        # the first chunk and its columns; of each source, where those are encoded each for itself
        self._firsts: dict[int, tuple[str, tuple[ColumnSpec, ...]]] = {}
        self._mixed = {spec.name for spec in options.chunks.known_columns if spec.kind in ("object", "float")}
        counts = options.chunks.counts
        self.largest = 0 if counts is None else int(counts.max())
        self.read_bytes = 0

    def arrivals(self, readings: Iterable[Reading]) -> Iterator[Arrival]:
        """Yield the chunks.

        Raises:
          ReadFileError: a chunk has other columns than the first.
          Exception: the error of one chunk or row more than may be left out.
        """
        for reading in readings:
            task, chunk = reading.task, reading.chunk
            if reading.error is not None:
                self._quarantine.note_chunk(task.chunk, reading.error, epoch=task.epoch, number=task.number)
            for row, reason in reading.bad_rows.items():
                self._quarantine.note_row(task.chunk, row, reason, stage="read", epoch=task.epoch)
            source = self._options.source_of(task.chunk) if self._options.datasets else 0
            self._check(source, self._options.chunks.path(task.chunk), chunk.value.columns)
            self.read_bytes += int(self._options.chunks.sizes[task.chunk])
            chunk.value.columns = attach(chunk.value.columns, reading.numbers, reading.keys)
            yield Arrival(task.epoch, task.number, task.chunk, chunk, task.part)

    def _check(self, source: int, path: str, columns: Columns) -> None:
        num_rows = row_count(columns)
        self.largest = max(self.largest, num_rows)
        if num_rows == 0:
            return
        specs = column_specs(packed_columns(columns))
        first = self._firsts.get(source)
        if first is None and (name := self._options.streams.bucket_by):
            lengths_by(name, path, columns)
        if first is None:
            # Of a column with values of several kinds, a chunk may hold one kind.
            mixed = (replace(s, kind="object") if s.name in self._mixed and s.kind != "array" else s for s in specs)
            self._firsts[source] = (path, tuple(mixed))
        elif differs := difference(specs, first[1]):
            hint = "Give all chunks the same columns; `pyloader index` gives those read from text the same dtypes"
            if "as a list of" in differs and self._options.reader.gaps_make_lists:
                say = 'nulls="nan"' if self._options.nulls is None else 'nulls={...: float("nan")} for this column'
                hint = f"Say what stands for null, DataLoader({say}); or `pyloader index` once: lists in all chunks"
            elif (packing := self._options.packing) is not None:
                unlike = {spec.name for spec in specs} ^ {spec.name for spec in first[1]}
                drop = tuple(sorted({*packing.drop, *unlike}))
                hint = f"Leave out what not all have: pack={replace(packing, drop=drop)!r}" if unlike else hint
            raise ReadFileError(path, f"{differs} as {first[0]} has.", hint)


def _check_count(options: RunOptions, index: int, num_rows: int) -> None:
    counts = options.chunks.counts
    if options.packing is not None and counts is not None and num_rows != counts[index]:
        what = f"gives {num_rows:,} packed rows, and gave {counts[index]:,} when they were counted."
        raise ReadFileError(
            options.chunks.path(index), what, "Its documents have changed: remove the file .packed-* beside the chunks"
        )
    if counts is not None and num_rows != counts[index]:
        reader = type(options.readers[options.source_of(index)][0])
        where = f"{reader.__name__}.read_file"
        place = options.chunks.list_of(index).root
        count = f"pyloader index {shlex.quote(str(place))} --output counted.manifest.json"
        raise ReadFileError(
            options.chunks.path(index),
            f"{where} returned {num_rows:,} samples; the manifest says {counts[index]:,}.",
            f"If it filters on purpose, count with it: {count} --reader {reader.__module__}:{reader.__qualname__}, "
            "then data_dir='counted.manifest.json'",
        )


def _reader_name(options: RunOptions, index: int) -> str:
    return type(options.readers[options.source_of(index)][0]).__name__
