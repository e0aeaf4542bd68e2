"""Fetching: the chunks of a store come to this machine ahead of reading, and are kept there while they are read."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from threading import Lock

from pyloader.deliver import Budget, Pauses, Steps, StepsClosed, map_in_order
from pyloader.files import Fetch, HeldChunk, StoredChunks
from pyloader.observe import Counters
from pyloader.plan import ReadTask
from pyloader.run.options import RunOptions

__all__ = ["Fetching"]

NUM_FETCHES = 8  # chunks that are fetched at the same time, or wait to be read


class Fetching:
    """Fetches a run's chunks.

    Args:
      options: The run's; its chunks are in a store.
      steps: Takes the step that fetches ahead.
      counters: What is counted.
    """

    def __init__(self, options: RunOptions, stored: StoredChunks, steps: Steps, counters: Counters) -> None:
        self._stored, self._steps, self._counters, self._names = stored, steps, counters, options.chunks.names
        self._num_threads = NUM_FETCHES if options.num_workers else 0
        self._budget = Budget(NUM_FETCHES)
        self._lock = Lock()
        self._ahead: dict[int, deque[HeldChunk | Exception]] = {}
        pauses = steps.add_awaited(Pauses())
        self._how = Fetch(wait=pauses, note_bytes=self._count_bytes, note_retry=self._count_retry)

    def ahead(self, tasks: Iterable[ReadTask]) -> Iterable[ReadTask]:
        """Yield the tasks, each when its chunk is here.  Without threads a chunk is fetched when it is read."""
        if not self._num_threads:
            return tasks
        return self._steps.add(
            map_in_order(
                self._fetch_ahead,
                tasks,
                num_threads=self._num_threads,
                budget=self._budget,
                name="fetch",
                describe=lambda task: self._names[task.chunk],
            )
        )

    def _fetch_ahead(self, task: ReadTask) -> ReadTask:
        found: HeldChunk | Exception
        try:
            found = self._stored.hold(task.chunk, self._how)
        except StepsClosed:
            raise
        except Exception as exc:  # whoever reads the chunk decides what that means
            found = exc
        with self._lock:
            self._ahead.setdefault(task.chunk, deque()).append(found)
        return task

    @contextlib.contextmanager
    def held(self, index: int) -> Iterator[str]:
        """Give the path of a chunk on this machine, and keep it there inside of this."""
        found = self._take(index)
        if found is None:
            found = self._stored.hold(index, self._how)
        if isinstance(found, Exception):
            raise found
        try:
            yield found.path
        finally:
            found.release()

    def drop(self, index: int) -> None:
        """Let go of what was fetched of a chunk that will not be read."""
        found = self._take(index)
        if isinstance(found, HeldChunk):
            found.release()

    def _take(self, index: int) -> HeldChunk | Exception | None:
        with self._lock:
            found = self._ahead[index].popleft() if self._ahead.get(index) else None
        if found is not None:
            self._budget.give_back()
        return found
