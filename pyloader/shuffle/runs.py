"""Runs: rows of a stream, some steps' worth at a time, sorted by length, so that a batch has rows of about one length.

deal -> sorted_runs -> cut
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from pyloader.columns import Columns, row_count
from pyloader.machine.memory import RecycledMemory
from pyloader.plan import RUN_STEPS, Streams, order_in_run
from pyloader.ragged import Ragged
from pyloader.shuffle.deal import EpochEnd
from pyloader.shuffle.segment import ChunkRows, Segment, gather_rows

__all__ = ["row_lengths", "sorted_runs"]


class _Copied:
    """Rows that were copied out of their chunks: nobody has to release them."""

    def __init__(self, columns: Columns) -> None:
        self.value = ChunkRows(columns)

    def acquire(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""


def row_lengths(columns: Columns, name: str) -> np.ndarray:
    """Return how long each row is in a column, int64 of shape [rows]: of integers, what they say.

    Raises:
      ValueError: there is no such column, or it has no lengths.
    """
    if name not in columns:
        raise ValueError(f"has no column {name!r} to sort by, but {', '.join(map(repr, columns))}.")
    column = columns[name]
    if isinstance(column, Ragged):
        return column.lengths
    if isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind in "iu":
        return column.astype(np.int64)
    if isinstance(column, list):
        try:
            return np.fromiter(map(len, column), np.int64, len(column))
        except TypeError:
            pass
    raise ValueError(f"has a column {name!r} whose rows are not of different lengths.")


def sorted_runs(
    segments: Iterable[Segment | EpochEnd], streams: Streams, *, epoch: int, step: int, start: int
) -> Iterator[Segment | EpochEnd]:
    """Yield the runs of a stream, as segments, from that which `step` is in, and the rows that are left; then the end.

    A run's rows are copied out of their chunks: about as many are held while the next run is collected.

    Args:
      segments: What `deal` yields.
      streams: The plan.
      epoch: Counted from 0.
      step: Of the epoch.
      start: How many rows of the first segment are before the run.
    """
    first, memory = streams.run_start(step), RecycledMemory()
    num_received = (step - first) * streams.share
    held: list[Columns] = []
    num_held = 0
    for segment in segments:
        if isinstance(segment, EpochEnd):
            if num_held:
                yield _segment(epoch, first // RUN_STEPS, held, np.arange(num_held))
            yield replace(segment, num_rows=segment.num_rows - num_received)
            return
        if start >= segment.num_rows:
            segment.release()
        while start < segment.num_rows:
            num_steps = min(RUN_STEPS, streams.num_sorted_steps - first)
            room = num_steps * streams.share - num_held if num_steps > 0 else segment.num_rows
            stop = min(segment.num_rows, start + room)
            held.append(gather_rows(segment, start, stop, memory))
            num_held += stop - start
            start = stop
            if stop == segment.num_rows:
                segment.release()
            if num_steps > 0 and num_held == num_steps * streams.share:
                lengths = np.concatenate([row_lengths(columns, streams.bucket_by) for columns in held])
                run = first // RUN_STEPS
                yield _segment(
                    epoch, run, held, order_in_run(lengths, num_steps, seed=streams.row_seed, epoch=epoch, run=run)
                )
                first, held, num_held = first + num_steps, [], 0
        start = 0


def _segment(epoch: int, run: int, held: list[Columns], order: np.ndarray) -> Segment:
    counts = list(map(row_count, held))
    chunks = [_Copied(columns) for columns in held]
    if len(held) == 1:
        return Segment(epoch, run, len(order), chunks, order, is_run=True)
    rows = np.concatenate([np.arange(count) for count in counts])
    part = np.repeat(np.arange(len(held)), counts)
    return Segment(epoch, run, len(order), chunks, rows[order], part[order], is_run=True)
