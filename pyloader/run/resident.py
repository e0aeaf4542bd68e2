"""Resident bytes: what a run's chunks and batches take in memory, measured as they come, and bounded by `max_bytes`.

Where the manifest says what a row of arrays takes, a chunk's size is known before it is read.  Elsewhere it is
estimated by its bytes on disk, and what a batch becomes in encoding by its rows: between the least and the most of
earlier ones.  Nothing is known before the first: it may take all the room there is, so that nothing is beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from pyloader.columns import columns_bytes, content_bytes, row_count
from pyloader.deliver import ByteBudget, Reservation, Size
from pyloader.plan import RUN_STEPS, ReadTask
from pyloader.run.making import MadeRows
from pyloader.run.options import RunOptions
from pyloader.run.reading import Reading
from pyloader.run.sample_ids import attach
from pyloader.shuffle import GROUP_BYTES, AnyGroup, CutRule

__all__ = ["ResidentBytes", "check_bytes", "rows_aside"]

_HINT = (
    "Write a larger max_bytes, a smaller shuffle_window or batch_size, or split into smaller chunks: "
    "pyloader split --chunk-bytes"
)


_NUMBER_BYTES = 8  # of a sample, where rows carry them


class _BytesPer:
    """The bytes that a unit takes: the least and the most that have been measured, and the mean."""

    def __init__(self) -> None:
        self._least, self._most = 0.0, math.inf
        self._num_bytes = self._num_units = 0

    def learn(self, num_bytes: int, num_units: int) -> None:
        """Add a measurement: so many units take so many bytes."""
        if num_units:
            each = num_bytes / num_units
            self._least, self._most = (
                (min(self._least, each), max(self._most, each)) if self._num_units else (each, each)
            )
            self._num_bytes += num_bytes
            self._num_units += num_units

    def of(self, num_units: int) -> Size:
        """Return the least and the most that so many units may take."""
        return (num_units * self._least, num_units * self._most) if num_units else (0.0, 0.0)

    def mean_of(self, num_units: int) -> int:
        """Return what so many units take on the average; 0 when nothing is known."""
        return round(num_units * self._num_bytes / self._num_units) if self._num_units else 0


class ResidentBytes:
    """Reserves the bytes of a run's chunks and groups, within `options.max_bytes`, by the sizes of earlier ones.

    Attributes:
      num_workers: How many threads make batches, now.
    """

    def __init__(self, options: RunOptions, num_workers: int) -> None:
        assert options.max_bytes is not None
        self.budget = ByteBudget(options.max_bytes, hint=_HINT)
        self._options, self.num_workers = options, num_workers
        self._per_unit, self._per_row, self._per_made_row = _BytesPer(), _BytesPer(), _BytesPer()
        self._units = options.chunks.sizes  # by which the sizes of chunks are estimated
        row_bytes, counts = _row_bytes(options), options.chunks.counts
        if row_bytes is not None and counts is not None:
            self._units = counts
            self._per_unit.learn(row_bytes, 1)
            self._learn_rows(row_bytes, 1)
        self._rows_in_window = 0 if counts is None else int(_rows_as_held(options)[: options.mixed_chunks].sum())
        # Whether batches are slices of gathered groups, as far as is known by now.
        self._is_sliced = options.rule.several and row_bytes is not None
        self._reservations: dict[ReadTask, Reservation] = {}  # of the chunks that are being read

    def reserved(self, tasks: Iterable[ReadTask]) -> Iterator[ReadTask]:
        """Yield the tasks, each when there is room for its chunk."""
        for task in tasks:
            size = partial(self._per_unit.of, int(self._units[task.chunk]))
            self._reservations[task] = self.budget.reserve_chunk(size, self._for_groups)
            yield task

    def asked(self, readings: Iterable[Reading]) -> Iterator[Reading]:
        """Yield the chunks, and tell the budget each time that the next one is needed."""
        self.budget.ask_for_chunk()
        for reading in readings:
            yield reading
            self.budget.ask_for_chunk()

    def reserve_group(self, group: AnyGroup) -> Reservation:
        """Return the reservation of a group, and of what is made of it, when there is room for both."""
        return self.budget.reserve_group(partial(self._size_of_group, group.num_rows))

    def has_made(self, made: MadeRows, reservation: Reservation) -> None:
        """Correct what was reserved for a group: it has been made."""
        made.give_back_bytes = partial(self.budget.give_back, reservation)
        num_bytes = 0  # of a view, whose rows are counted where they are, in their chunk
        if made.viewed is None:
            num_bytes = sum(map(content_bytes, made.content)) if made.is_made else columns_bytes(made.content)
            num_bytes += 0 if made.samples is None else made.samples.nbytes
            if made.is_made:
                with self.budget.changed:
                    self._per_made_row.learn(num_bytes, made.num_rows)
        self.budget.correct(reservation, num_bytes)

    def has_arrived(self, reading: Reading) -> None:
        """Correct what was reserved for a chunk: it has been read."""
        task, chunk, columns = reading.task, reading.chunk, reading.chunk.value.columns
        num_rows = row_count(columns)
        num_bytes = columns_bytes(attach(columns, reading.numbers, reading.keys)) + chunk.value.objects_bytes
        with self.budget.changed:
            self._per_unit.learn(num_bytes, int(self._units[task.chunk]))
            self._learn_rows(num_bytes, num_rows)
            if self._options.chunks.counts is None:
                self._rows_in_window = max(self._rows_in_window, num_rows * self._options.mixed_chunks)
            if num_rows:
                are_arrays = all(isinstance(values, np.ndarray) for values in columns.values())
                self._is_sliced = self._options.rule.several and are_arrays
        reservation = self._reservations.pop(task)
        chunk.charge(partial(self.budget.give_back, reservation))
        self.budget.correct(reservation, num_bytes)

    def _learn_rows(self, num_bytes: int, num_rows: int) -> None:
        self._per_row.learn(num_bytes, num_rows)
        self.budget.set_aside(self._per_row.mean_of(rows_aside(self._options.rule)))

    def _size_of_group(self, num_rows: int) -> Size:
        """Return what the rows of a group take while they become batches, as they are and as what is made of them."""
        least, most = self._per_row.of(_copies(self._options) * num_rows)
        made = (0.0, 0.0) if self._is_sliced else self._per_made_row.of(num_rows)
        mask = num_rows if self._options.rule.last_batch == "pad" else 0
        return least + made[0] + mask, most + made[1] + mask

    def _for_groups(self) -> float:
        """Return how many bytes reading ahead leaves to groups: one that is drained, and one for each worker."""
        options = self._options
        rows = options.rule.batch_size
        if self._is_sliced:
            rows = _rows_in_group(options, max(1, int(self._per_row.of(1)[0])), self._rows_in_window)
        return (1 + self.num_workers) * self._size_of_group(rows)[1]


def check_bytes(options: RunOptions) -> None:
    """Raise when it is known that `max_bytes` cannot hold what the window mixes and the rows being handed out.

    Raises:
      ValueError: it cannot; the message has the arithmetic.
    """
    limit, row_bytes = options.max_bytes, _row_bytes(options)
    if limit is None or row_bytes is None:
        return
    as_held = _rows_as_held(options)
    mask = 1 if options.rule.last_batch == "pad" else 0
    aside = rows_aside(options.rule) * row_bytes

    def needed(num_chunks: int) -> tuple[int, int, int]:
        rows = int(as_held[:num_chunks].sum())
        group = _rows_in_group(options, row_bytes, rows) * (row_bytes * _copies(options) + mask)
        return rows * row_bytes, group, rows * row_bytes + group + aside

    chunks, group, total = needed(options.mixed_chunks)
    if total <= limit:
        return
    narrower = next(
        (k for k in range(options.streams.width - 1, 0, -1) if needed(options.streams.held_with(k))[2] <= limit), 0
    )
    or_narrower = f", or shuffle_window={narrower}" if narrower else ""
    raise ValueError(
        f"max_bytes={limit:,} cannot hold what must be resident at once: the {options.mixed_chunks:,} largest chunks, "
        f"to be mixed, take {chunks:,} bytes, rows being handed out {group:,}, rows left over between batches "
        f"{aside:,}: together {total:,}. Write max_bytes={total}{or_narrower}, or split into smaller chunks: "
        "pyloader split --chunk-bytes"
    )


def _row_bytes(options: RunOptions) -> int | None:
    """Return what a row takes, with the number of its sample; None where that is not known beforehand."""
    if options.row_bytes is None or options.chunks.counts is None:
        return None
    return options.row_bytes + (_NUMBER_BYTES if options.numbered else 0)


def _rows_as_held(options: RunOptions) -> np.ndarray:
    """Return the rows of each chunk, largest first, once for each stream served that may hold it; counts are known."""
    counts = options.chunks.counts
    assert counts is not None
    num_served = len(options.streams.served)
    if num_served > 1:
        # The borders of streams lie this far apart; a chunk is read by every stream that has a part of it.
        rows_in_stream = max(1, int(counts.sum()) // options.streams.num_streams)
        counts = np.repeat(counts, np.minimum(counts // rows_in_stream + 2, num_served))
    return np.sort(counts)[::-1]


def _rows_in_group(options: RunOptions, row_bytes: int, rows_in_window: int) -> int:
    """Return how many rows a group may have, as `cut` makes them."""
    batch_rows = options.rule.batch_size
    if not options.rule.several or options.streams.joins:
        return batch_rows
    return min(max(1, GROUP_BYTES // max(1, row_bytes * batch_rows)), -(-rows_in_window // batch_rows)) * batch_rows


def rows_aside(rule: CutRule) -> int:
    """Return how many rows may be carried from one segment to the next, kept to fill the last batch, or sorted."""
    return rule.batch_size * ((2 if rule.last_batch == "wrap" else 1) + (2 * RUN_STEPS if rule.sorts else 0))


def _copies(options: RunOptions) -> int:
    """Return how often the rows of a group are there while it is made: joined of several streams, kept to try again."""
    return 1 + options.streams.joins + (options.max_skipped_rows > 0)
