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
    first, memory, share = streams.run_start(step), RecycledMemory(), streams.share
    num_received = (step - first) * share
    held: list[Columns] = []
    num_held = 0
    for segment in segments:
        if isinstance(segment, EpochEnd):
            if num_held:
                yield _run(held, streams, epoch, first, streams.num_sorted_steps - first)
            yield replace(segment, num_rows=segment.num_rows - num_received)
            return
        if start >= segment.num_rows:
            segment.release()
        while start < segment.num_rows:
            is_last = first == streams.last_run_start  # which has all rows that are left
            stop = segment.num_rows if is_last else min(segment.num_rows, start + RUN_STEPS * share - num_held)
            held.append(gather_rows(segment, start, stop, memory))
            num_held += stop - start
            start = stop
            if stop == segment.num_rows:
                segment.release()
            if not is_last and num_held == RUN_STEPS * share:
                yield _run(held, streams, epoch, first, RUN_STEPS)
                first, held, num_held = first + RUN_STEPS, [], 0
        start = 0


def _run(held: list[Columns], streams: Streams, epoch: int, first: int, num_shares: int) -> Segment:
    """Return the rows held as one segment: those of so many shares sorted, the others as they are."""
    counts = list(map(row_count, held))
    order, run = np.arange(sum(counts)), first // RUN_STEPS
    if num_whole := num_shares * streams.share:
        lengths = np.concatenate([row_lengths(columns, streams.bucket_by) for columns in held])[:num_whole]
        order[:num_whole] = order_in_run(lengths, num_shares, seed=streams.row_seed, epoch=epoch, run=run)
    chunks = [_Copied(columns) for columns in held]
    if len(held) == 1:
        return Segment(epoch, run, len(order), chunks, order, is_run=True)
    row = np.concatenate([np.arange(count) for count in counts])
    part = np.repeat(np.arange(len(held)), counts)
    return Segment(epoch, run, len(order), chunks, row[order], part[order], is_run=True)
