"""Reading: one chunk after another, checked as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from pyloader.columns import Columns, ColumnSpec, column_specs, difference, row_count
from pyloader.deliver import Held, Slots
from pyloader.errors import ReadFileError, WorkerDiedError
from pyloader.plan import ReadTask
from pyloader.run.options import RunOptions
from pyloader.shuffle import Arrival

__all__ = ["ArrivalCheck", "chunk_reading"]

# What was asked for, what came of it in its place within the bound, and why nothing did where nothing did.
Reading: TypeAlias = "tuple[ReadTask, Held[Columns], Exception | None]"


def chunk_reading(
    options: RunOptions, slots: Slots, read_path: Callable[[str], Columns]
) -> Callable[[ReadTask], Reading]:
    """Return the function that reads a chunk, by `read_path`, into the slot that was taken for it.

    With `max_skipped` an unreadable chunk is answered as an empty one, and why.
    """
    reader = options.reader

    def read(task: ReadTask) -> Reading:
        path = options.chunks.path(task.chunk)
        try:
            columns = read_path(path)
        except Exception as exc:
            exc.add_note(f"pyloader: while {type(reader).__name__} read {path} (epoch {task.epoch})")
            if options.max_skipped == 0 or isinstance(exc, WorkerDiedError):  # that is no fault of the chunk
                raise
            return task, slots.hold({}), exc
        gatherable: Columns = {
            name: _gatherable(values) if isinstance(values, np.ndarray) else values for name, values in columns.items()
        }
        return task, slots.hold(gatherable), None

    return read


class ArrivalCheck:
    """Checks chunks as they arrive: against the manifest, and against the first of them.

    Args:
      options: The run's.
      skipped: Where unreadable chunks are noted, with their reasons.

    Attributes:
      largest: The rows of the largest chunk: from the manifest, or of those seen so far.
    """

    def __init__(self, options: RunOptions, skipped: dict[str, str]) -> None:
        self._options, self._skipped = options, skipped
        self._first: tuple[str, tuple[ColumnSpec, ...]] | None = None
        manifest = options.chunks.manifest
        self._mixed = {spec.name for spec in manifest.columns if spec.kind == "object"} if manifest else set()
        counts = options.chunks.counts
        self.largest = 0 if counts is None else int(counts.max())

    def arrivals(self, readings: Iterable[Reading]) -> Iterator[Arrival]:
        """Yield the chunks, unreadable ones empty.

        Raises:
          ReadFileError: a chunk has other columns than the first, or another count than the manifest says.
          Exception: the error of one unreadable chunk more than `max_skipped`.
        """
        for task, chunk, error in readings:
            path = self._options.chunks.path(task.chunk)
            if error is not None:
                self._skip(path, error)
            else:
                self._check(path, task.chunk, chunk.value)
            yield Arrival(task.epoch, task.number, task.chunk, chunk, task.part)

    def _skip(self, path: str, error: Exception) -> None:
        self._skipped.setdefault(path, f"{type(error).__name__}: {error}")
        if len(self._skipped) > self._options.max_skipped:
            error.add_note(f"pyloader: the {len(self._skipped)}th; max_skipped={self._options.max_skipped}")
            raise error

    def _check(self, path: str, index: int, columns: Columns) -> None:
        num_rows = row_count(columns)
        counts = self._options.chunks.counts
        if counts is not None and num_rows != counts[index]:
            where = f"{type(self._options.reader).__name__}.read_file"
            raise ReadFileError(
                path,
                f"{where} returned {num_rows:,} samples; the manifest says {counts[index]:,}.",
                "If it filters on purpose, name the chunks without their manifest: data_dir='DIR/*'",
            )
        self.largest = max(self.largest, num_rows)
        if num_rows == 0:
            return
        specs = column_specs(columns)
        if self._first is None:
            # Of a column with values of several kinds, a chunk may hold one kind.
            mixed = (replace(s, kind="object") if s.name in self._mixed and s.kind != "array" else s for s in specs)
            self._first = (path, tuple(mixed))
        elif differs := difference(specs, self._first[1]):
            hint = "Give all chunks the same columns; `pyloader index` gives those read from text the same dtypes"
            raise ReadFileError(path, f"{differs} as {self._first[0]} has.", hint)


def _gatherable(values: np.ndarray) -> np.ndarray:
    """Return the array in C order, from which rows are taken fastest; itself when its rows overlap.

    Overlapping rows, windows of one sequence say, would take many times their memory.
    """
    overlaps = values.ndim > 1 and 0 <= values.strides[0] < values[:1].nbytes
    return values if overlaps and values[:1].flags.c_contiguous else np.ascontiguousarray(values)
