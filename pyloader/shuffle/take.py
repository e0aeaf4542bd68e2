"""Take: as many rows as are asked for, off the segments of one source in one stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pyloader.columns import Columns, concatenate_columns, row_count, take_rows
from pyloader.machine.memory import RecycledMemory
from pyloader.plan import filling_rows
from pyloader.shuffle.cut import BatchGroup, gather_group
from pyloader.shuffle.segment import Hand, Segment, gather_rows

__all__ = ["RowTaker", "short_group"]


class RowTaker:
    """Takes rows off segments, one after another.

    As with `cut`, a group lies within one segment: rows of those before it are carried, copied out of their chunks.

    Args:
      segments: The segments, each with how many of its rows have been received already.
      hands: The hands of segments to come.
      source: The source's number.
    """

    def __init__(self, segments: Iterator[tuple[Segment, int]], hands: dict[int, list[Hand]], source: int) -> None:
        self._segments, self._hands, self._source, self._memory = segments, hands, source, RecycledMemory()
        self._segment: Segment | None = None  # the one that is being taken of, which this holds
        self._start = 0  # the first of its rows that has not been taken

    def take(self, num_rows: int, *, epoch: int, step: int) -> BatchGroup:
        """Return the next `num_rows` rows, at least 1, for a step."""
        carried: list[Columns] = []
        num_carried = 0
        while True:
            segment = self._segment
            if segment is None:
                segment, self._start = next(self._segments)
                self._segment = segment
            stop = min(segment.num_rows, self._start + num_rows - num_carried)
            if num_carried + stop - self._start == num_rows:
                group = BatchGroup(
                    epoch, step, num_rows, num_carried, 0, segment, self._start, stop, (0, 0), carried,
                    source=self._source,
                )  # fmt: skip
                segment.acquire()  # gathering releases it, in any thread
                self._start = stop
                if stop == segment.num_rows:
                    self._let_go(segment)
                return group
            if stop > self._start:
                carried.append(gather_rows(segment, self._start, stop, self._memory))
                num_carried += stop - self._start
            self._let_go(segment)

    def close(self) -> None:
        """Release the chunks of what is not taken."""
        if self._segment is not None:
            self._let_go(self._segment)
        for hand in (hand for hands in self._hands.values() for hand in hands):
            hand.chunk.release()
        self._hands.clear()

    def _let_go(self, segment: Segment) -> None:
        segment.release()
        self._segment = None


def short_group(parts: Sequence[BatchGroup], num_rows: int, last_batch: str) -> BatchGroup:
    """Return the groups of a stream as one, filled up to `num_rows` by the rule for the last batch.

    It is filled of the latest rows of the segments that the groups end in.
    """
    memory = RecycledMemory()
    latest, latest_sources = list[Columns](), list[np.ndarray]()
    for part in parts:
        assert part.segment is not None  # else nothing of it is left
        first = max(0, part.stop - num_rows)
        latest.append(gather_rows(part.segment, first, part.stop, memory))
        latest_sources.append(np.broadcast_to(np.asarray(part.source), part.stop - first))
    rows = concatenate_columns([gather_group(part, memory) for part in parts])
    sources = [np.broadcast_to(np.asarray(part.source), part.num_rows) for part in parts]
    num_carried, filling = row_count(rows), list[Columns]()
    if last_batch != "keep":
        of_latest = np.concatenate(latest_sources)
        chosen = filling_rows(last_batch, len(of_latest), num_rows, num_carried)
        filling.append(take_rows(concatenate_columns(latest), chosen))
        sources.append(of_latest[chosen])
    source, num_filled = np.concatenate(sources), sum(map(row_count, filling))
    epoch, step = parts[0].epoch, parts[0].step
    return BatchGroup(
        epoch, step, len(source), num_carried, num_filled, None, 0, 0, (0, 0), [rows], filling, source=source
    )
