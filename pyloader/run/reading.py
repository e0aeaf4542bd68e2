"""Reading: one chunk after another, checked as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from pyloader.columns import Columns, ColumnSpec, column_specs, difference, row_count
from pyloader.datareader import read_chunk
from pyloader.deliver import Slots
from pyloader.errors import ReadFileError
from pyloader.plan import ReadTask
from pyloader.run.options import RunOptions
from pyloader.shuffle import Arrival, Share

__all__ = ["LargestChunk", "checked_arrivals", "chunk_reading"]

# What was asked for, what came of it, and its place within the bound.
Reading: TypeAlias = "tuple[ReadTask, Columns | Exception, Share]"


class LargestChunk:
    """The rows of the largest chunk: from the manifest, or of those seen so far."""

    def __init__(self, counts: np.ndarray | None) -> None:
        self.num_rows = 0 if counts is None else int(counts.max())

    def saw(self, num_rows: int) -> None:
        self.num_rows = max(self.num_rows, num_rows)


def chunk_reading(options: RunOptions, slots: Slots) -> Callable[[ReadTask], Reading]:
    """Return the function that reads a chunk; the slot that was taken for it goes along."""

    def read(task: ReadTask) -> Reading:
        path = options.chunks.path(task.chunk)
        try:
            columns = read_chunk(options.reader, path)
        except Exception as exc:
            exc.add_note(f"pyloader: while {type(options.reader).__name__} read {path} (epoch {task.epoch})")
            if options.max_skipped == 0:
                raise
            return task, exc, slots.share()
        # Taking rows from an array that is not contiguous would copy it whole each time.
        contiguous: Columns = {
            name: np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values
            for name, values in columns.items()
        }
        return task, contiguous, slots.share()

    return read


def checked_arrivals(
    read: Iterable[Reading],
    options: RunOptions,
    skipped: dict[str, str],
    largest: LargestChunk,
) -> Iterator[Arrival]:
    """Yield the chunks, checked against the manifest and against the first of them.

    An unreadable one is noted in `skipped` and yielded empty, unless there are more than `max_skipped`.
    """
    chunks = options.chunks
    first: tuple[str, tuple[ColumnSpec, ...]] | None = None
    for task, columns, share in read:
        path = chunks.path(task.chunk)
        if isinstance(columns, Exception):
            skipped.setdefault(path, f"{type(columns).__name__}: {columns}")
            if len(skipped) > options.max_skipped:
                columns.add_note(
                    f"pyloader: {len(skipped)} chunks could not be read; max_skipped={options.max_skipped}"
                )
                raise columns
            yield Arrival(task.epoch, task.number, task.chunk, {}, share)
            continue
        num_rows = row_count(columns)
        if chunks.counts is not None and num_rows != chunks.counts[task.chunk]:
            raise ReadFileError(
                path,
                f"{type(options.reader).__name__}.read_file returned {num_rows:,} samples; the manifest says "
                f"{chunks.counts[task.chunk]:,}.",
                "If it filters on purpose, name the chunks without their manifest: data_dir='DIR/*'",
            )
        largest.saw(num_rows)
        if num_rows:
            specs = column_specs(columns)
            if first is None:
                first = (path, specs)
            elif differs := difference(specs, first[1]):
                raise ReadFileError(path, f"{differs} as {first[0]} has.", "All chunks must have the same columns")
        yield Arrival(task.epoch, task.number, task.chunk, columns, share)
        del columns, share  # while the next one is waited for, nothing here holds this one
