"""Predicted memory: the most chunks and bytes at once, where reading and making are as far ahead as they may.

While the loop has a group of batches, those after it are made as far as the queue has room for them, and a chunk is
read as soon as another has given its last row.  So what is there at once follows from the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from pyloader.plan import START, StreamPart, Streams
from pyloader.run.loader_options import LoaderOptions
from pyloader.run.options import RunOptions
from pyloader.run.resident import rows_aside
from pyloader.shuffle import GROUP_BYTES

__all__ = ["RowBytes", "most_resident"]

# How many reads are looked at.  Each epoch has an order of its own: of small sets it takes many to find the most.
_MANY_EPOCHS, _MANY_READS, _MOST_READS = 100, 4_000, 200_000
_NUMBER_BYTES = 8  # of a sample, where rows carry them


@dataclass(frozen=True, slots=True)
class RowBytes:
    """What a row takes in memory."""

    raw: float  # as it was read
    made: float  # in a batch, as the loop gets it
    is_arrays: bool  # whether all columns are arrays


@dataclass(frozen=True, slots=True)
class _Groups:
    """The groups of batches of some epochs, in order; arrays of shape [groups], but for `let_go`.

    Reads are counted over all epochs; those before `let_go[i]` have given all their rows when group i is the next to
    be made, and it takes rows of no read from `needed[i]` on.
    """

    rows: np.ndarray  # how many rows each has, int64
    let_go: np.ndarray  # int64 of shape [groups + 1]
    needed: np.ndarray  # int64
    is_view: np.ndarray  # whether its rows take nothing beside their chunk, bool


def most_resident(options: LoaderOptions, row_bytes: RowBytes | None) -> tuple[float, int | None]:
    """Return the most chunks' worth of rows that are there at once, and the most bytes; None where no row's are known.

    Counts must be known.  Where batches are joined of several streams it is an estimate.
    """
    run = options.run
    read_rows = _read_rows(options)
    share = min(run.chunk_share if run.num_readers else run.mixed_chunks, len(read_rows) - 1)
    # Then batches are slices of their group, as it was read.
    is_sliced = row_bytes is not None and row_bytes.is_arrays and run.rule.several and run.group_share > 0
    streams = run.streams
    if isinstance(streams, Streams) and not streams.joins:
        most_rows = GROUP_BYTES / max(1.0, row_bytes.raw) if row_bytes is not None and is_sliced else 0
        groups = _groups(run, streams, max(1, int(most_rows / streams.share)), len(read_rows) - 1)
        if not run.num_readers:
            share = min(share, streams.stream_part(streams.served[0], 0).dealing.width)
        held = _held(groups, read_rows, share if run.num_readers else None)
    else:
        num_groups = 2 * run.num_workers + 3  # more are not made ahead
        rows, nothing = np.full(num_groups, min(run.rule.batch_size, read_rows[-1])), np.zeros(num_groups, np.int64)
        groups = _Groups(rows, nothing, nothing, nothing > 0)
        held = np.full(num_groups, _most_together(read_rows, share))
    firsts, weights = _firsts(groups.rows, run), _summed(_weights(groups.rows, run))
    most_weight = min(float((weights[1:] - weights[firsts]).max()), run.group_share)
    num_chunks = round(share + most_weight + run.run_share, 6)
    if row_bytes is None:
        return num_chunks, None
    number = _NUMBER_BYTES if run.numbered else 0
    raw = row_bytes.raw + number
    made = row_bytes.raw + (run.rule.last_batch == "pad") if is_sliced else row_bytes.made
    made_rows = _summed(np.where(groups.is_view, 0, groups.rows))
    num_bytes = held * raw + (made_rows[1:] - made_rows[firsts]) * (made + number)
    before_groups = (read_rows[share] if run.num_readers else _most_together(read_rows, share)) * raw
    most_bytes = round(max(float(num_bytes.max()), before_groups) + rows_aside(run.rule) * raw)
    return num_chunks, most_bytes if run.max_bytes is None else min(most_bytes, run.max_bytes)


def _read_rows(options: LoaderOptions) -> np.ndarray:
    """Return how many rows the reads before each have together, of some epochs: int64 of shape [reads + 1]."""
    run, counts = options.run, options.run.chunks.counts
    assert counts is not None
    # At an epoch's border chunks of both are there.
    end_epoch = 2 + max(run.chunk_share // len(counts), min(_MANY_EPOCHS, _MANY_READS // len(counts)))
    if options.given.num_epochs is not None:
        end_epoch = min(end_epoch, options.given.num_epochs)
    tasks = islice(run.streams.read_tasks(start=START, end_epoch=end_epoch), _MOST_READS)
    return _summed(counts[np.fromiter((task.chunk for task in tasks), np.int64)])


def _groups(run: RunOptions, streams: Streams, most: int, num_reads: int) -> _Groups:
    """Return the groups of so many reads, as `cut` makes them, of at most so many batches each."""
    found: list[tuple[np.ndarray, ...]] = []
    first = 0  # of the epoch's reads
    for epoch in count():
        part = streams.stream_part(streams.served[0], epoch)
        dealing, last = part.dealing, part.dealing.num_chunks
        rows, segments, carries = _cut(part, streams.share, most, streams.steps_per_epoch, streams.last_batch)
        let_go = np.where(segments < last, np.maximum(0, segments - dealing.width + 1), last)
        is_view = np.zeros(len(rows), np.bool_)
        if part.row_seed is None and not (run.copy or streams.sorts):
            is_whole = part.sizes == streams.known_counts[part.chunks]
            is_view = ~carries & np.append(is_whole, False)[segments]
        found.append((rows, first + let_go, first + np.minimum(segments + 1, last), is_view))
        first += last
        if first >= num_reads:
            break
    rows, let_go, needed, is_view = map(np.concatenate, zip(*found, strict=True))
    return _Groups(rows, np.append(let_go, first), needed, is_view)


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


def _firsts(rows: np.ndarray, run: RunOptions) -> np.ndarray:
    """Return for each group the first that is still there when it is made, int64 of shape [groups]."""
    alone = np.arange(len(rows))
    if not run.num_workers:
        return alone
    ends = _summed(_weights(rows, run))
    # One that is too large is let through alone.
    return np.minimum(np.searchsorted(ends, ends[1:] - run.group_share - 1e-6, side="left"), alone)


def _weights(rows: np.ndarray, run: RunOptions) -> np.ndarray:
    """Return how much of the queue groups take, in chunks' worth of rows."""
    assert run.chunks.counts is not None
    return np.maximum(rows / max(1, int(run.chunks.counts.max())), run.group_share / (2 * run.num_workers + 2))


def _held(groups: _Groups, read_rows: np.ndarray, share: int | None) -> np.ndarray:
    """Return how many rows the chunks have that are held when each group has been made, int64 of shape [groups].

    Args:
      groups: The groups.
      read_rows: What `_read_rows` returns.
      share: How many chunks may be read or held; None where none is read before it is needed.
    """

    def rows_of(first: np.ndarray, stop: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.diff(read_rows[np.minimum([first, stop], len(read_rows) - 1)], axis=0)[0]
        return found

    if share is None:
        return rows_of(groups.let_go[:-1], groups.needed)
    # Its chunks are held until the next is to be made; others are read in their place only then.
    held = rows_of(groups.let_go, groups.let_go + share)
    most: np.ndarray = np.maximum(held[:-1], held[1:])
    return most


def _most_together(read_rows: np.ndarray, number: int) -> int:
    """Return the most rows that so many reads, one after another, have together."""
    return int((read_rows[number:] - read_rows[: len(read_rows) - number]).max())


def _summed(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(values)])
