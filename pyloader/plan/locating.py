"""Locating: which rows of which chunks a step has, by arithmetic, without reading any."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pyloader.plan.order import deal_phase, row_order, segment_order
from pyloader.plan.steps import filling_rows
from pyloader.plan.streams import Streams, Stretch

__all__ = ["rows_of_step"]


def rows_of_step(streams: Streams, epoch: int, step: int) -> np.ndarray:
    """Return where every row of a step's batch over all ranks comes from, filling included.

    Returns:
      int64 array of shape [rows, 2]: index of the chunk, and row in it; one stream after another, as the ranks have
      them.
    """
    return np.concatenate(
        [_share(streams, streams.stretch(stream, epoch), step) for stream in range(streams.num_streams)]
    )


def _share(streams: Streams, stretch: Stretch, step: int) -> np.ndarray:
    start = step * streams.share
    stop = min(start + streams.share, stretch.num_rows)
    first, last = (int(np.searchsorted(stretch.bounds, row, side="right")) - 1 for row in (start, stop - 1))
    parts = [_segment(streams, stretch, segment) for segment in range(first, last + 1)] if stop > start else []
    rows = np.concatenate([np.zeros((0, 2), np.int64), *parts])[start - int(stretch.bounds[first]) :][: stop - start]
    if len(rows) == streams.share or streams.last_batch == "keep":
        return rows
    segment, size = stretch.place(stretch.num_rows)
    latest = _segment(streams, stretch, segment)[-min(size, streams.share) :]
    return np.concatenate([rows, latest[filling_rows(streams.last_batch, len(latest), streams.share, len(rows))]])


def _segment(streams: Streams, stretch: Stretch, segment: int) -> np.ndarray:
    """Return the rows of a segment as they are delivered, int64 of shape [rows, 2]."""
    seed, dealing, epoch = streams.row_seed, stretch.dealing, stretch.epoch
    parts = []
    for number in range(dealing.first_arrival(segment), segment + 1):
        chunk, part = int(stretch.chunks[number]), slice(int(stretch.starts[number]), int(stretch.stops[number]))
        dealt: Iterable[tuple[int, np.ndarray]] = [(number, np.arange(part.start, part.stop))]
        if seed is not None:
            rows = row_order(int(streams.counts[chunk]), seed=seed, epoch=epoch, chunk=chunk)[part]
            dealt = dealing.hands(number, rows, deal_phase(dealing.width, seed=seed, epoch=epoch, chunk=chunk))
        parts += [np.stack([np.full(len(rows), chunk), rows], axis=1) for to, rows in dealt if to == segment]
    joined: np.ndarray = np.concatenate(parts)
    if seed is not None and dealing.width > 1:
        joined = joined[segment_order(len(joined), seed=seed, epoch=epoch, segment=segment, stream=stretch.stream)]
    return joined
