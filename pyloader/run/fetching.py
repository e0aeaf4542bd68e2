"""Fetching: the chunks of a store come to this machine ahead of reading, and are kept there while they are read."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator
from threading import Lock

import numpy as np

from pyloader.deliver import Budget, InlineMap, Pauses, Step, Steps, StepsClosed, ThreadedMap, at_once, map_in_order
from pyloader.files import FetchTerms, Pinned, StoredChunks
from pyloader.observe import Counters
from pyloader.plan import MixedStreams, Position, ReadTask, with_upcoming
from pyloader.run.options import RunOptions

__all__ = ["Fetching"]

_FIRST_SECONDS = 1.0


class Fetching(Step):
    """Fetches the chunks of a run, several at a time, in the order in which they are read.

    Args:
      options: The run's; its chunks are in a store.
      stored: These chunks.
      start: Where the run begins.
      end_epoch: The first epoch that is not read; None never ends.
      steps: Takes the step that fetches ahead.
      counters: What is counted.
    """

    def __init__(
        self,
        options: RunOptions,
        stored: StoredChunks,
        start: Position,
        end_epoch: int | None,
        steps: Steps,
        counters: Counters,
    ) -> None:
        self._options, self._stored, self._steps, self._counters = options, stored, steps, counters
        num_fetches, self._user = stored.num_fetches(), stored.user
        self._num_fetches = num_fetches if options.num_readers else 0
        # All fetches share what the network gives: until the first segment's chunks are here, no others come with them,
        # and then others only little by little, so that the next ones are not late.
        self._num_first = min(num_fetches, options.mixed_chunks)
        self._budget = Budget(self._num_first)
        self._is_wide_at = time.monotonic() + _FIRST_SECONDS
        self._lock = Lock()
        self._ahead: dict[int, deque[Pinned | Exception]] = {}
        self._start, self._end_epoch, self._num_planned, self._num_done = start, end_epoch, 0, 0
        self._num_ahead = 0
        self._step: InlineMap[ReadTask, ReadTask] | ThreadedMap[ReadTask, ReadTask] | None = None
        counters.busy_seconds.setdefault("fetch", 0.0)
        steps.add(self)
        self._terms = FetchTerms(
            wait=steps.add_awaited(Pauses()), note_bytes=self._count_bytes, note_retry=self._count_retry
        )

    def ahead(self, tasks: Iterable[ReadTask]) -> Iterable[ReadTask]:
        """Yield the tasks, each when its chunk is here.  Without threads a chunk is fetched when it is read."""
        planned = self._foreseen(tasks)
        if not self._num_fetches:
            return planned
        self._step = self._steps.add(
            map_in_order(
                self._fetch_ahead,
                planned,
                num_threads=self._num_fetches,
                budget=self._budget,
                name="fetch",
                describe=lambda task: self._options.chunks.path(task.chunk),
            )
        )
        return self._step

    def take_busy_seconds(self) -> float:
        """Return how long chunks were fetched ahead since this was last asked, over all threads."""
        return 0.0 if self._step is None else self._step.take_busy_seconds()

    @property
    def num_at_once(self) -> int:
        """How many chunks may come at the same time now, or lie here unread."""
        return int(self._budget.limit)

    def _foreseen(self, tasks: Iterable[ReadTask]) -> Iterator[ReadTask]:
        """Yield the tasks; from time to time the cache is told what is read from there on."""
        if self._stored.options.offline:
            yield from tasks
            return
        keys, streams = self._stored.keys, self._options.streams
        if isinstance(streams, MixedStreams):
            told = with_upcoming(tasks, len(streams.sources))
        else:
            told = self._by_epoch(tasks)
        for task, chunks in told:
            if chunks is not None:
                self._user.foresee(keys[chunks].reshape(-1), first=self._num_planned * keys.shape[1])
            self._num_planned += 1
            yield task

    def _by_epoch(self, tasks: Iterable[ReadTask]) -> Iterator[tuple[ReadTask, np.ndarray | None]]:
        """Yield the tasks, the first of each epoch with the chunks that this epoch and the next will read."""
        epoch = -1
        for task in tasks:
            chunks = None
            if task.epoch != epoch:
                epoch = task.epoch
                start = self._start if epoch == self._start.epoch else Position(epoch)
                end_epoch = epoch + 2 if self._end_epoch is None else min(epoch + 2, self._end_epoch)
                reads = self._options.streams.read_tasks(start=start, end_epoch=end_epoch)
                chunks = np.fromiter((read.chunk for read in reads), np.int64)
            yield task, chunks

    def _fetch_ahead(self, task: ReadTask) -> ReadTask:
        found: Pinned | Exception
        try:
            found = self._hold(task.chunk)
        except StepsClosed:
            raise
        except Exception as exc:  # what that means is decided when the chunk is read
            found = exc
        with self._lock:
            self._ahead.setdefault(task.chunk, deque()).append(found)
            self._num_ahead += 1
            wider = self._num_first + self._num_ahead // self._num_first
        self._widen(wider)
        return task

    @contextlib.contextmanager
    def held(self, index: int) -> Iterator[str]:
        """Give the path of a chunk on this machine, and keep it there inside of this."""
        found = self._take(index)
        if found is None:  # without threads, or after a failure: the loop's own thread only waits, and Ctrl-C is heard
            [found] = at_once(lambda each, _: self._hold(each), [index], num_threads=1, name="fetch")
        if isinstance(found, Exception):
            raise found
        try:
            yield str(found.path)
        finally:
            found.release()
            with self._lock:
                self._num_done += 1
                self._user.advance(self._num_done * self._stored.keys.shape[1])

    def drop(self, index: int) -> None:
        """Release what was fetched of a chunk that will not be read."""
        found = self._take(index)
        if isinstance(found, Pinned):
            found.release()

    def join(self, deadline: float) -> list[str]:
        """Release all that was fetched and not read.  Steps are joined from the last to the first: nobody reads now."""
        for index in list(self._ahead):
            while self._ahead.get(index):
                self.drop(index)
        return []

    def _take(self, index: int) -> Pinned | Exception | None:
        with self._lock:
            waiting = self._ahead.get(index)
            found = waiting.popleft() if waiting else None
            if waiting is not None and not waiting:
                del self._ahead[index]
        if found is not None:
            self._budget.give_back()
        return found

    def _hold(self, index: int) -> Pinned:
        found = self._stored.hold(index, self._terms)
        with self._lock:
            self._counters.cache_hits += found.was_there
            self._counters.cache_misses += not found.was_there
        return found

    def _count_bytes(self, num_bytes: int) -> None:
        self._terms.wait(0)  # raises when the steps are closed: what comes is not wanted any more
        with self._lock:
            self._counters.fetched_bytes += num_bytes
        if time.monotonic() > self._is_wide_at:  # large chunks, each at the rate of its connection
            self._widen(self._num_fetches)

    def _widen(self, num_fetches: int) -> None:
        """Let so many chunks come at the same time, if that is more than before."""
        self._budget.widen(min(num_fetches, self._num_fetches))

    def _count_retry(self) -> None:
        with self._lock:
            self._counters.num_fetch_retries += 1
