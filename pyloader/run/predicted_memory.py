"""Predicted memory: the most chunks and bytes at once, where reading and making are as far ahead as they may.

While the loop has a group of batches, those after it are made as far as the queue has room for them, and a chunk is
read as soon as another has given its last row.  So what is there at once follows from the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from pyloader.plan import START, StreamPart, Streams
from pyloader.run.loader_options import LoaderOptions
from pyloader.run.options import RunOptions
from pyloader.run.resident import rows_aside
from pyloader.shuffle import GROUP_BYTES

__all__ = ["RowBytes", "most_resident"]

# How many reads are looked at.  Each epoch has an order of its own, so that of small sets it takes many to find the most.
_MANY_READS, _MOST_READS = 4_000, 200_000
_NUMBER_BYTES = 8  # of a sample, where rows carry them


@dataclass(frozen=True, slots=True)
class RowBytes:
    """What a row takes in memory."""

    raw: float  # as it was read
    made: float  # in a batch, as the loop gets it


@dataclass(frozen=True, slots=True)
class _Groups:
    """The groups of batches of some epochs, in order; arrays of shape [groups], but for `let_go`.

    Reads are counted over all epochs; those before `let_go[i]` have given all their rows when group i is the next to
    be made, and it takes rows of no read from `needed[i]` on.
    """

    rows: np.ndarray  # how many rows each has, int64
    let_go: np.ndarray  # int64 of shape [groups + 1]
    needed: np.ndarray  # int64
    is_view: np.ndarray  # whether its rows stay in their chunk until the loop has had them, bool


def most_resident(options: LoaderOptions, row_bytes: RowBytes | None) -> tuple[float, int | None]:
    """Return the most chunks' worth of rows that are there at once, and the most bytes; None where no row's are known.

    Counts must be known.  Where batches are joined of several streams it is an estimate.
    """
    run = options.run
    streams, counts = run.streams, run.chunks.counts
    assert counts is not None
    share = run.chunk_share if run.num_workers else run.mixed_chunks
    # At an epoch's border chunks of both are there.
    end_epoch = 2 + max(share, _MANY_READS) // len(counts)
    if options.given.num_epochs is not None:
        end_epoch = min(end_epoch, options.given.num_epochs)
    tasks = islice(streams.read_tasks(start=START, end_epoch=end_epoch), _MOST_READS)
    read_rows = np.concatenate([[0], np.cumsum(counts[np.fromiter((task.chunk for task in tasks), np.int64)])])
    share = min(share, len(read_rows) - 1)
    if isinstance(streams, Streams) and not streams.joins:
        groups = _groups(run, streams, _most_batches(run, streams, row_bytes), end_epoch)
        ends = _ends(groups.rows, run)
        first, stop = _reads_held(groups, ends, share if run.num_workers else None)
        stop = np.minimum(stop, len(read_rows) - 1)
        held = read_rows[stop] - read_rows[np.minimum(first, stop)]
    else:
        rows = min(run.rule.batch_size, int(counts.sum()))
        num_groups = 2 * run.num_workers + 3  # more are not made ahead
        nothing = np.zeros(num_groups, np.int64)
        groups = _Groups(np.full(num_groups, rows), nothing, nothing, nothing > 0)
        ends = _ends(groups.rows, run)
        held = np.full(num_groups, (read_rows[share:] - read_rows[: len(read_rows) - share]).max())
    weights = _summed(_weights(groups.rows, run))
    most_weight = min(float((weights[ends] - weights[:-1]).max()), run.group_share)
    num_chunks = share + most_weight + run.run_share
    if row_bytes is None:
        return num_chunks, None
    more = _NUMBER_BYTES if run.numbered else 0
    made_rows = _summed(np.where(groups.is_view, 0, groups.rows))
    num_bytes = held * (row_bytes.raw + more) + (made_rows[ends] - made_rows[:-1]) * (row_bytes.made + more)
    most = round(float(num_bytes.max()) + rows_aside(run.rule) * (row_bytes.raw + more))
    return num_chunks, most if run.max_bytes is None else min(most, run.max_bytes)


def _most_batches(run: RunOptions, streams: Streams, row_bytes: RowBytes | None) -> int:
    """Return how many batches `cut` puts into a group, at most."""
    if not run.rule.several or not run.group_share or run.row_bytes is None or row_bytes is None:
        return 1
    return max(1, int(GROUP_BYTES / max(1.0, row_bytes.raw * streams.share)))


def _groups(run: RunOptions, streams: Streams, most: int, end_epoch: int) -> _Groups:
    """Return the groups, as `cut` makes them, of at most so many batches each."""
    rows, let_go, needed, is_view = [], [], [], []
    num_reads = 0
    for epoch in range(end_epoch):
        part = streams.stream_part(streams.served[0], epoch)
        dealing, share = part.dealing, streams.share
        sizes, segments, carries = _cut(part, share, most, streams.steps_per_epoch, streams.last_batch)
        rows.append(sizes)
        let_go.append(num_reads + np.maximum(0, segments - dealing.width + 1))
        let_go[-1][segments == dealing.num_chunks] = num_reads + dealing.num_chunks
        needed.append(num_reads + np.minimum(segments + 1, dealing.num_chunks))
        are_views = part.row_seed is None and not run.copy and not streams.sorts
        is_view.append(~carries & (segments < dealing.num_chunks) & are_views)
        num_reads += dealing.num_chunks
        if num_reads > _MOST_READS:
            break
    joined = [np.concatenate(each) for each in (rows, [*let_go, [num_reads]], needed, is_view)]
    return _Groups(*joined)


def _cut(
    part: StreamPart, batch_rows: int, most: int, num_steps: int, last_batch: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an epoch's groups: the rows of each, its segment, and whether it begins with rows of the one before.

    An epoch's last batch, which is of rows carried from the last segment, has the number after that.
    """
    received = np.minimum(part.bounds // batch_rows, num_steps)  # batches, before each segment
    whole, rest = np.divmod(np.diff(received), most)
    num_groups = whole + (rest > 0)
    segments = np.repeat(np.arange(len(whole)), num_groups)
    last = np.cumsum(num_groups)
    rows = np.full(len(segments), most * batch_rows)
    rows[last[rest > 0] - 1] = rest[rest > 0] * batch_rows
    carries = np.zeros(len(segments), np.bool_)
    has_any = num_groups > 0
    carries[(last - num_groups)[has_any]] = (part.bounds[:-1] % batch_rows > 0)[has_any]
    if received[-1] < num_steps:
        left = int(part.bounds[-1] - received[-1] * batch_rows) if last_batch == "keep" else batch_rows
        return np.append(rows, left), np.append(segments, len(whole)), np.append(carries, True)
    return rows, segments, carries


def _ends(rows: np.ndarray, run: RunOptions) -> np.ndarray:
    """Return for each group the one after the last that is there while the loop has it, int64 of shape [groups]."""
    alone = np.arange(1, len(rows) + 1)
    if not run.num_workers:
        return alone
    before = _summed(_weights(rows, run))
    ends = np.searchsorted(before, before[:-1] + run.group_share + 1e-6, side="right") - 1
    return np.maximum(ends, alone)  # one that is too large is let through alone


def _weights(rows: np.ndarray, run: RunOptions) -> np.ndarray:
    """Return how much of the queue groups take, in chunks' worth of rows."""
    assert run.chunks.counts is not None
    return np.maximum(rows / max(1, int(run.chunks.counts.max())), run.group_share / (2 * run.num_workers + 2))


def _reads_held(groups: _Groups, ends: np.ndarray, share: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first chunk that is held, of all reads, and the one after the last, while the loop has each group.

    Args:
      groups: The groups.
      ends: What `_ends` returns.
      share: How many chunks may be read or held; None where none is read before it is needed.
    """
    if share is None:
        return groups.let_go[:-1], groups.needed
    first = groups.let_go[ends]
    if groups.is_view.any():
        num_groups = len(ends)
        views = np.where(groups.is_view, np.arange(num_groups), num_groups)
        view = np.minimum.accumulate(views[::-1])[::-1]  # the next that is one
        first = np.where(view < ends, np.minimum(first, groups.let_go[np.minimum(view, num_groups - 1)]), first)
    return first, first + share


def _summed(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(values)])
