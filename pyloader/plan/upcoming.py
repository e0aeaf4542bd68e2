"""Upcoming reads: what a mixture reads next, as far ahead as a bounded cache can make use of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from pyloader.plan.streams import ReadTask

__all__ = ["with_upcoming"]

_FIRST = 8  # reads that are looked at before the first one is handed out
_FASTER = 8  # so many more are looked at with each one that is handed out, until that is enough
_MOST = 2**17  # reads that are kept: about 15 MB


def with_upcoming(
    tasks: Iterable[ReadTask], num_sources: int, *, most: int = _MOST
) -> Iterator[tuple[ReadTask, np.ndarray | None]]:
    """Yield reads, and with some of them which chunks are read from there on.

    The reads of a mixture may have no end, and those of a light source come rarely.  So the line is looked ahead until
    each source has read the rest of its epoch and its whole next one: then the next use of each chunk is known.  That
    is done little by little, since it takes time to plan a step.

    Args:
      tasks: The reads.
      num_sources: How many sources they are of.
      most: How many reads are looked ahead at most.

    Yields:
      A read, and an int64 array of chunks, its own first; None where half of what was said before is still to come.
    """
    line, ahead = iter(tasks), deque[ReadTask]()
    now: dict[int, int] = {}  # by source, the epoch of its next read
    last: dict[int, int] = {}  # and of the last one that was looked at
    num_known = num_done = 0
    while True:
        wanted = min(most, _FIRST + _FASTER * num_done)
        while len(ahead) < wanted and not _is_enough(now, last, num_sources) and (task := next(line, None)):
            ahead.append(task)
            last[task.drawn.first_chunk] = task.epoch
            now.setdefault(task.drawn.first_chunk, task.epoch)
        if not ahead:
            return
        told = None
        if len(ahead) >= 2 * num_known:
            num_known = len(ahead)
            told = np.fromiter((task.chunk for task in ahead), np.int64, num_known)
        task = ahead.popleft()
        now[task.drawn.first_chunk] = task.epoch
        num_known, num_done = num_known - 1, num_done + 1
        yield task, told


def _is_enough(now: dict[int, int], last: dict[int, int], num_sources: int) -> bool:
    return len(now) == num_sources and all(last[source] >= epoch + 2 for source, epoch in now.items())
