"""Take: as many rows as are asked for, off the segments of one source in one stream."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from pyloader.columns import Columns, take_rows
from pyloader.machine.memory import RecycledMemory
from pyloader.plan import filling_rows
from pyloader.shuffle.cut import BatchGroup
from pyloader.shuffle.segment import Hand, Segment, gather_rows

__all__ = ["RowTaker", "filling_groups"]


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


def filling_groups(parts: Sequence[BatchGroup], num_rows: int, last_batch: str) -> list[BatchGroup]:
    """Return the groups that fill up a stream's last step to `num_rows`, by the rule for the last batch.

    They are of the latest rows of the segments that `parts` end in, each of one source.
    """
    num_lacking = num_rows - sum(part.num_rows for part in parts)
    if last_batch == "keep" or num_lacking == 0:
        return []
    starts = [max(0, part.stop - num_rows) for part in parts]
    ends = np.cumsum([part.stop - start for part, start in zip(parts, starts, strict=True)])
    chosen = filling_rows(last_batch, int(ends[-1]), num_rows, num_rows - num_lacking)
    memory, found = RecycledMemory(), list[BatchGroup]()
    of_part = np.searchsorted(ends, chosen, side="right")
    for place, together in itertools.groupby(range(num_lacking), key=of_part.tolist().__getitem__):
        part, rows = parts[place], chosen[list(together)]
        assert part.segment is not None  # else nothing of it is left
        latest = gather_rows(part.segment, starts[place], part.stop, memory)
        filling = take_rows(latest, rows - int(ends[place]) + part.stop - starts[place])
        found.append(
            BatchGroup(
                part.epoch, part.step, len(rows), 0, len(rows), None, 0, 0, (0, 0), [], [filling], source=part.source
            )
        )
    return found
