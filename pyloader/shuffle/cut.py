"""Cut: segments become batch groups, each of whole batches; only an epoch's last batch can be short.

A group lies within one segment.  The rows that are left of a segment when no whole batch remains are carried: copied
out, so that their chunks can be freed, and put in front of the next segment's first batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pyloader.columns import Columns, concatenate_columns, row_count, slice_columns, take_rows
from pyloader.errors import StateError
from pyloader.machine.memory import RecycledMemory
from pyloader.plan import filling_rows
from pyloader.ragged import Ragged
from pyloader.shuffle.deal import EpochEnd
from pyloader.shuffle.segment import Segment, gather_rows

__all__ = ["GROUP_BYTES", "BatchGroup", "CutRule", "cut", "gather_group", "view_group"]

# Large enough that a group costs little in addition to its rows, small enough that it stays in the processor's cache.
GROUP_BYTES = 2 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRule:
    """How groups are cut."""

    batch_size: int  # rows in a batch
    # what becomes of an epoch's last rows when they make no whole batch: "keep" (a short batch), "drop", "pad" (the
    # last row repeated) or "wrap" (the rows before them repeated)
    last_batch: str = "keep"
    several: bool = False  # whether a group of arrays may have several batches
    # how many batches a group of other rows may have, each made by itself, asked anew for each group; None: one
    num_together: Callable[[Columns], int] | None = None
    sorts: bool = False  # whether the rows of some steps are held, to be sorted by length
    # how many batches an epoch has, where all streams must have as many; None lets its rows say
    num_steps: int | None = None


@dataclass(frozen=True, slots=True)
class BatchGroup:
    """Rows that are gathered at once: first those carried, then rows [start, stop) of the segment, then the filling."""

    epoch: int  # counted from 0
    step: int  # the first of its batches is the step-th of the epoch
    num_rows: int  # a multiple of the batch size, except in an epoch's short last batch
    num_carried: int  # how many of the rows are carried
    num_filled: int  # how many of the rows were repeated to fill the epoch's last batch
    segment: Segment | None  # where the other rows come from; None when all are carried or filled
    start: int  # the first row
    stop: int  # the row after the last
    end: tuple[int, int]  # segment and offset of the row after the group
    carried: list[Columns] = field(default_factory=list)  # the carried rows
    filling: list[Columns] = field(default_factory=list)  # the repeated rows
    source: int | None = None  # of which source of a mixture the rows are; None without a mixture

    def effective_chunks(self, batch_size: int) -> float:
        """Return of how many chunks a batch holds samples: (sum of counts)^2 / sum of squares; 0 if unknown.

        It is the first batch that has no carried rows: whose those are is not known.
        """
        start = self.start + (batch_size - self.num_carried if self.carried else 0)
        if self.segment is None or self.segment.is_run or start >= self.stop:
            return 0.0
        if len(self.segment.chunks) == 1:
            return 1.0
        _, chunk_of = self.segment.sources(start, min(self.stop, start + batch_size))
        assert chunk_of is not None
        counts = np.bincount(chunk_of)
        return float(counts.sum() ** 2 / np.square(counts).sum())

    @property
    def chunk_indices(self) -> tuple[int, ...]:
        """Which chunks its segment mixes, by their indices in the list of chunks; () if unknown."""
        return () if self.segment is None else self.segment.indices

    @property
    def origin(self) -> tuple[int, int]:
        """Segment, and offset in it, of the first row: before the segment's start when rows are carried."""
        return (0 if self.segment is None else self.segment.index, self.start - self.num_carried)

    def samples(self) -> np.ndarray:
        """Return which rows are samples and not filling, bool of shape [num_rows]."""
        return np.arange(self.num_rows) < self.num_rows - self.num_filled

    def release(self) -> None:
        """Release the chunks that the group's rows are in."""
        if self.segment is not None:
            self.segment.release()


def cut(
    segments: Iterable[Segment | EpochEnd], rule: CutRule, *, start: int, step: int, num_segments: int
) -> Iterator[BatchGroup | EpochEnd]:
    """Yield the groups of an epoch, then its end with the rows dropped and filled counted.

    When `segments` raises, the error comes after the batches before it.

    Every row is in one group, in order: the groups of a segment take its rows from `start` on, each from where the one
    before stopped.  What is left makes no whole batch, and is carried; the next group, of a later segment, begins with
    it.  What is carried when the epoch ends are its last rows.

    Args:
      segments: What `deal` yields.
      rule: How to cut.
      start: How many rows of the first segment have been received already.
      step: How many batches of the epoch have been received already.
      num_segments: How many segments an epoch has.

    Raises:
      StateError: the first segment has fewer than `start` rows.
    """
    memory = RecycledMemory()
    carried: list[Columns] = []
    # The latest rows, which fill the epoch's last batch if no segment follows.  They are copied out of each segment,
    # because whether it is the last one is known only when its chunks are released.
    latest: Columns = {}
    for segment in segments:
        if isinstance(segment, EpochEnd):
            yield from _last(segment, rule, step, carried, latest, num_segments)
            return
        if start > segment.num_rows:
            what = (
                f"the state stands at row {start:,} of segment {segment.index:,}, which has {segment.num_rows:,} rows."
            )
            raise StateError(what, "Give what state_dict() returned, unchanged, and the chunks it was saved on")
        if segment.num_rows == 0:
            continue
        num_carried = sum(map(row_count, carried))
        while (num_batches := _batches_in_group(segment, rule, num_carried + segment.num_rows - start, step)) > 0:
            # `stop` is above `start`: while batches are wanted, the carried rows make less than one, so that each group
            # takes rows of this segment.
            num_rows = num_batches * rule.batch_size
            stop = start + num_rows - num_carried
            end = (segment.index, stop) if stop < segment.num_rows else (segment.index + 1, 0)
            segment.acquire()  # once for each group: gathering it releases the segment, in any thread
            yield BatchGroup(segment.epoch, step, num_rows, num_carried, 0, segment, start, stop, end, carried)
            carried, num_carried = [], 0  # they belong to the group just yielded
            start, step = stop, step + num_batches
        if start < segment.num_rows:
            carried = [*carried, gather_rows(segment, start, segment.num_rows, memory)]
        if num_latest := {"pad": 1, "wrap": rule.batch_size}.get(rule.last_batch):
            latest = gather_rows(segment, max(0, segment.num_rows - num_latest), segment.num_rows, memory)
        segment.release()  # what `deal` acquired; the groups still hold theirs
        start = 0


def _last(
    end: EpochEnd, rule: CutRule, step: int, carried: list[Columns], latest: Columns, num_segments: int
) -> Iterator[BatchGroup | EpochEnd]:
    """Yield the epoch's last batch, if there is one that no segment completed; then its end."""
    num_carried, num_filled = sum(map(row_count, carried)), 0
    if num_carried and rule.last_batch == "drop":
        yield replace(end, num_dropped=num_carried)
        return
    # A stream may have one row less than others, and then none for the last step, which all streams must have.
    if num_carried or step < (rule.num_steps or 0):
        filling = _filling(rule, latest, num_carried)
        num_filled = row_count(filling)
        num_rows, parts = num_carried + num_filled, [filling] if num_filled else []
        yield BatchGroup(
            end.epoch, step, num_rows, num_carried, num_filled, None, 0, 0, (num_segments, 0), carried, parts
        )
    yield replace(end, num_filled=num_filled)


def gather_group(group: BatchGroup, memory: RecycledMemory) -> Columns:
    """Return a group's rows, in memory of their own, and release the chunks that they were in."""
    if group.segment is None:
        return concatenate_columns([*group.carried, *group.filling])
    columns = gather_rows(group.segment, group.start, group.stop, memory, before=group.num_carried)
    group.release()
    for name, values in columns.items() if group.carried else ():
        carried: list[Any] = [part[name] for part in group.carried]
        if isinstance(values, Ragged):
            columns[name] = Ragged.concatenate([*carried, values])
            continue
        at = 0
        for part in carried:
            values[at : at + len(part)] = part
            at += len(part)
    return columns


def view_group(group: BatchGroup) -> Columns | None:
    """Return a group's rows as a part of their chunk, which stays held, or None where that cannot be."""
    if group.segment is None or group.carried or not group.segment.keeps_order:
        return None
    return slice_columns(group.segment.chunks[0].value.columns, group.start, group.stop)


def _batches_in_group(segment: Segment, rule: CutRule, num_rows: int, step: int) -> int:
    """Return how many batches the next group has, of `num_rows` that there are; 0 if they make no whole one."""
    whole = num_rows // rule.batch_size
    if rule.num_steps is not None:  # what is beyond them is dropped
        whole = min(whole, rule.num_steps - step)
    columns = segment.chunks[0].value.columns
    if whole < 2 or not rule.several or not all(isinstance(values, np.ndarray) for values in columns.values()):
        return min(whole, 1 if rule.num_together is None else rule.num_together(columns))
    row_bytes = sum(values[:1].nbytes for values in columns.values() if isinstance(values, np.ndarray))
    return min(whole, max(1, GROUP_BYTES // max(1, row_bytes * rule.batch_size)))


def _filling(rule: CutRule, latest: Columns, num_carried: int) -> Columns:
    """Return the rows that fill an epoch's last batch: none, or as many as it lacks."""
    if rule.last_batch == "keep":
        return {}
    rows = filling_rows(rule.last_batch, row_count(latest), rule.batch_size, num_carried)
    return take_rows(latest, rows)
