"""Locating: which rows of which chunks a step has, by arithmetic, without reading any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from pyloader.plan.buckets import RUN_STEPS, order_in_run
from pyloader.plan.order import deal_phase, row_order, segment_order
from pyloader.plan.steps import filling_rows
from pyloader.plan.streams import StreamPart, Streams

__all__ = ["Lengths", "is_filling", "rows_between", "rows_of_step", "rows_of_steps"]

# Rows, chunk and row in it of each, int64 of shape [rows, 2] -> how long they are, int64 of shape [rows].
Lengths: TypeAlias = "Callable[[np.ndarray], np.ndarray]"


def rows_of_step(streams: Streams, epoch: int, step: int, lengths_of: Lengths | None = None) -> np.ndarray:
    """Return where every row of a step's batch over all ranks comes from, filling included.

    Args:
      streams: The plan.
      epoch: Counted from 0.
      step: Of the epoch.
      lengths_of: How long rows are; needed where runs are sorted by that.

    Returns:
      int64 array of shape [rows, 2]: index of the chunk, and row in it; one stream after another, as the ranks have
      them.
    """
    return np.concatenate(
        [_share(streams, streams.stream_part(stream, epoch), step, lengths_of) for stream in range(streams.num_streams)]
    )


def is_filling(streams: Streams, epoch: int, step: int) -> np.ndarray:
    """Return which rows of a step only fill up its batch, bool of shape [rows], in the order of `rows_of_step`."""
    parts = []
    for stream in range(streams.num_streams):
        num_left = max(0, streams.stream_part(stream, epoch).num_rows - step * streams.share)
        num_rows = min(num_left, streams.share) if streams.last_batch == "keep" else streams.share
        parts.append(np.arange(num_rows) >= num_left)
    return np.concatenate(parts)


def rows_of_steps(
    streams: Streams, part: StreamPart, first: int, stop: int, lengths_of: Lengths | None = None
) -> Iterator[np.ndarray]:
    """Yield a part's rows of steps [first, stop) as they are delivered, some at a time, none of the filling."""
    step, last_sorted = first, min(stop, streams.num_sorted_steps)
    while step < last_sorted:
        assert lengths_of is not None, "asked of rows that are sorted by lengths which nobody knows"
        start = streams.run_start(step)
        end = min(start + RUN_STEPS, streams.num_sorted_steps)
        rows = np.concatenate(list(rows_between(streams, part, start * streams.share, end * streams.share)))
        run = start // RUN_STEPS
        order = order_in_run(lengths_of(rows), end - start, seed=streams.row_seed, epoch=part.epoch, run=run)
        end = min(end, stop)
        yield rows[order][(step - start) * streams.share : (end - start) * streams.share]
        step = end
    yield from rows_between(streams, part, step * streams.share, min(stop * streams.share, part.num_rows))


def rows_between(streams: Streams, part: StreamPart, start: int, stop: int) -> Iterator[np.ndarray]:
    """Yield rows [start, stop) of a part as they are delivered, segment by segment, none empty: int64 [rows, 2]."""
    if start >= stop:
        return
    first, last = (int(np.searchsorted(part.bounds, row, side="right")) - 1 for row in (start, stop - 1))
    for segment in range(first, last + 1):
        before = int(part.bounds[segment])
        if before == part.bounds[segment + 1]:
            continue
        yield _segment(streams, part, segment)[max(0, start - before) : stop - before]


def _share(streams: Streams, part: StreamPart, step: int, lengths_of: Lengths | None) -> np.ndarray:
    found = rows_of_steps(streams, part, step, step + 1, lengths_of)
    rows = np.concatenate([np.zeros((0, 2), np.int64), *found])
    if len(rows) == streams.share or streams.last_batch == "keep":
        return rows
    segment, size = part.place(part.num_rows)
    latest = _segment(streams, part, segment)[-min(size, streams.share) :]
    if streams.sorts:  # they are those of the last run
        start = max(streams.last_run_start, streams.num_sorted_steps - 1)
        whole = list(rows_of_steps(streams, part, start, streams.steps_per_epoch, lengths_of))
        latest = np.concatenate(whole)[-streams.share :]
    return np.concatenate([rows, latest[filling_rows(streams.last_batch, len(latest), streams.share, len(rows))]])


def _segment(streams: Streams, part: StreamPart, segment: int) -> np.ndarray:
    """Return the rows of a segment as they are delivered, int64 of shape [rows, 2]."""
    seed, dealing, epoch = streams.row_seed, part.dealing, part.epoch
    parts = []
    for number in range(dealing.first_arrival(segment), segment + 1):
        chunk, (start, stop) = int(part.chunks[number]), part.rows_of(number)
        dealt: Iterable[tuple[int, np.ndarray]] = [(number, np.arange(start, stop))]
        if seed is not None:
            rows = row_order(int(streams.known_counts[chunk]), seed=seed, epoch=epoch, chunk=chunk)[start:stop]
            dealt = dealing.hands(number, rows, deal_phase(dealing.width, seed=seed, epoch=epoch, chunk=chunk))
        parts += [np.stack([np.full(len(rows), chunk), rows], axis=1) for to, rows in dealt if to == segment]
    joined: np.ndarray = np.concatenate(parts)
    if seed is not None and dealing.width > 1:
        joined = joined[segment_order(len(joined), seed=seed, epoch=epoch, segment=segment, stream=part.stream)]
    return joined
