"""Threads: a step done ahead of time by several threads, its results in order; and the wait for a late result."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pyloader.deliver.budget import Budget
from pyloader.deliver.inline import close_items, no_more, not_a_stop
from pyloader.deliver.lifecycle import Step, StepsClosed, Wrap
from pyloader.errors import StallError

__all__ = ["StallWatch", "ThreadedMap"]

_log = logging.getLogger("pyloader")

_CALLER = -1  # in place of a thread's number: who asks for the next result, and works itself

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(slots=True)
class _Outcome:
    """The result for one item: a value, an error, or that there are no more items."""

    value: Any = None
    error: BaseException | None = None
    is_end: bool = False


class ThreadedMap(Step, Generic[In, Out]):
    """`map(fn, items)` in order, computed in threads as far ahead as `budget` has room.

    `items` is advanced by one thread at a time, never by two.  A failure of `items` or `fn` is raised in its place:
    after the results before it, and again at every further call.  The user of the results gives back
    what was taken from `budget`.

    Args:
      fn: Called in any of the threads.
      items: What to call it with.
      num_threads: How many begin; `work_with` changes it.
      budget: `weight(item)` is taken before `fn(item)` begins.
      weight: How much an item takes.
      name: What the step is called in thread names and reports: "read".
      describe: What an item is called in reports: a file name.
      watch: What to do when a result is long in coming; None waits for ever.

    Attributes:
      watch: The argument.
      num_threads: How many threads work.
      num_taken: How many results have been taken.
      room_seconds: How long it waited for the next item, or for room for it.
    """

    def __init__(
        self,
        fn: Callable[[In], Out],
        items: Iterable[In],
        *,
        num_threads: int,
        budget: Budget,
        weight: Callable[[In], float],
        name: str,
        describe: Callable[[In], str],
        watch: StallWatch | None = None,
    ) -> None:
        self._fn, self._items, self._budget, self._weight = fn, iter(items), budget, weight
        self._name, self._describe, self.watch, self._own_fn = name, describe, watch, fn
        # Re-entrant: a finaliser may run in a thread that is inside one of these methods.
        self._changed = threading.Condition(threading.RLock())
        self._pulling = threading.Lock()
        self._outcomes: dict[int, _Outcome] = {}
        self._num_pulled = self.num_taken = 0
        self._ended = self._closed = False
        self._doing: dict[int, tuple[str, float]] = {}
        self._busy_seconds = 0.0
        self.room_seconds = 0.0
        self._threads: list[threading.Thread] = []
        self._numbers: set[int] = set()  # of those that work
        self.num_threads = num_threads

    def start(self) -> None:
        """Begin."""
        self.work_with(self.num_threads)

    def work_with(self, num_threads: int) -> None:
        """Go on with so many threads: others begin, or end once they have done their item; with 0 the caller works."""
        with self._changed:
            self.num_threads = num_threads
            self._changed.notify_all()  # whoever waits for threads that end now works himself
            if self._ended:
                return
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            for number in sorted(set(range(num_threads)) - self._numbers):
                name = f"pyloader-{self._name}-{number}"
                thread = threading.Thread(target=self._work, args=(number,), name=name, daemon=True)
                self._threads.append(thread)  # first: Ctrl-C may come while it starts, and whoever closes must know it
                self._numbers.add(number)
                thread.start()

    def __iter__(self) -> Iterator[Out]:
        return self

    def __next__(self) -> Out:
        while (outcome := self._awaited()) is None:
            self._do_one(_CALLER)
        if outcome.is_end:
            raise StopIteration
        if outcome.error is not None:
            raise outcome.error
        value: Out = outcome.value
        return value

    def take_busy_seconds(self) -> float:
        """Return how long the function ran since this was last asked, over all threads."""
        if not self._busy_seconds:  # as for most batches of a chunk nothing is read
            return 0.0
        with self._changed:
            seconds, self._busy_seconds = self._busy_seconds, 0.0
        return seconds

    @property
    def num_busy(self) -> int:
        """How many threads are inside the function."""
        return len(self._doing)

    def native_ids(self) -> list[int]:
        """Return the system's numbers of the threads."""
        return [thread.native_id for thread in self._threads if thread.native_id is not None]

    @property
    def is_ready(self) -> bool:
        """Whether the next result is there."""
        return self._is_ready()

    def activity(self) -> list[str]:
        """Return what each thread is doing, and for how long."""
        now = time.monotonic()
        doing = [f"{self._name}: {what} for {now - since:.0f} s" for what, since in list(self._doing.values())]
        return [*doing, f"{self._name}: {len(self._outcomes)} ready, {self._budget}"]

    def stacks(self) -> list[str]:
        """Return the stack of each thread that is inside `fn`."""
        frames = sys._current_frames()
        return [
            f"{thread.name}:\n{''.join(traceback.format_stack(frames[thread.ident]))}"
            for thread in self._threads
            if thread.ident in frames
        ]

    def trace(self, wrap: Wrap | None) -> None:
        """Call the function as `wrap` makes it, from the next item on; None ends that."""
        self._fn = self._own_fn if wrap is None else wrap(self._name, self._describe, self._own_fn)

    def owns(self, thread: threading.Thread) -> bool:
        """Tell whether `thread` is one of this step's."""
        return thread in self._threads

    def signal_close(self) -> None:
        """Tell the threads to end."""
        self._budget.signal_close()
        with self._changed:
            self._ended = self._closed = True
            self._changed.notify_all()

    def join(self, deadline: float) -> list[str]:
        """Wait for the threads to end until `deadline` (as `time.monotonic` counts).

        Returns:
          What those that are still running are doing.
        """
        for thread in self._threads:
            with contextlib.suppress(RuntimeError):  # Ctrl-C came before it was started
                thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            return self.activity()
        with contextlib.suppress(ValueError):  # the loop's thread is inside of them, and another one closes
            close_items(self._items)
        # What they hold, whole chunks, is freed now, and not when the cycles that lead here are collected.
        self._items, self._fn, self._own_fn, self.watch = iter(()), no_more, no_more, None
        self._outcomes.clear()
        return []

    def _awaited(self) -> _Outcome | None:
        """Wait for the next result, and return it; None where no thread works on it, so that the caller has to."""
        with self._changed:
            if self.watch is None:
                self._changed.wait_for(self._may_go_on)
            else:
                self.watch.wait(self._changed, self._may_go_on)
            if not self._is_ready():
                return None
            outcome = self._outcomes.get(self.num_taken)
            if outcome is None:
                raise StepsClosed
            if not outcome.is_end and outcome.error is None:
                del self._outcomes[self.num_taken]
                self.num_taken += 1
            return outcome

    def _may_go_on(self) -> bool:
        return self._is_ready() or not (self.num_threads or self._is_begun() or self._pulling.locked())

    def _is_ready(self) -> bool:
        return self._closed or self.num_taken in self._outcomes

    def _work(self, number: int) -> None:
        while self._do_one(number):
            pass
        with self._changed:
            self._changed.notify_all()  # whoever waited for this thread to begin an item works himself

    def _do_one(self, number: int) -> bool:
        """Do one item; tell whether there may be another.  A method of its own, so that nothing of it stays alive."""
        pulled = self._pulled(number)
        if pulled is None:
            return False
        place, item = pulled
        begun = time.monotonic()
        try:
            self._doing[number] = (self._describe(item), begun)
            outcome = _Outcome(self._fn(item))
        except BaseException as exc:
            self._finish(place, _Outcome(error=not_a_stop(exc)))
            return False
        finally:
            self._doing.pop(number, None)
        seconds = time.monotonic() - begun
        with self._changed:
            self._busy_seconds += seconds
            self._outcomes[place] = outcome
            self._changed.notify_all()
        return True

    def _pulled(self, number: int) -> tuple[int, In] | None:
        """Return the next item, for which there is room, and its place; None where this thread does no other."""
        is_caller, has_turn = number == _CALLER, False
        try:
            # While one thread waits for room, no other may overtake it: later results would take the room that it
            # needs.  The caller does not wait for that thread, which may wait for what the caller has not taken yet.
            has_turn = self._pulling.acquire(blocking=not is_caller)
            if not has_turn or self._ended or (number >= self.num_threads and self._has_left(number)):
                return None
            if is_caller and self._is_begun():
                return None
            place = self._num_pulled
            asked = time.monotonic()
            try:
                item = next(self._items)
                # The caller is who gives back: it must not wait for room.  It needs no more than there is, since it
                # takes for what it asks for when it has taken all results before that.
                self._budget.take(self._weight(item), may_wait=not is_caller)
                self.room_seconds += time.monotonic() - asked
            except StopIteration:  # or the items were closed meanwhile
                if not self._closed:
                    self._finish(place, _Outcome(is_end=True))
            except StepsClosed:
                if is_caller:
                    raise
            except BaseException as exc:  # the consumer's thread must see everything
                self._finish(place, _Outcome(error=exc))
            else:
                self._num_pulled += 1
                return place, item
            return None
        finally:
            if has_turn:
                self._pulling.release()

    def _is_begun(self) -> bool:
        """Tell whether the next result is there, or a thread is at work on it that has not ended yet."""
        return self.num_taken < self._num_pulled or self._ended

    def _has_left(self, number: int) -> bool:
        """Tell whether a thread ends, since fewer are to work; it is one that works until then."""
        with self._changed:
            if number < self.num_threads:
                return False
            self._numbers.discard(number)
            return True

    def _finish(self, place: int, outcome: _Outcome) -> None:
        with self._changed:
            self._outcomes[place] = outcome
            self._ended = True
            self._changed.notify_all()


class StallWatch:
    """Waits for a condition: warns once when that takes long, and raises when it takes too long.

    Args:
      warn_after: Seconds of silence before a warning.
      fail_after: Seconds of silence before StallError; None waits for ever.
      activity: Returns what every step is doing.
      stacks: Returns the stacks of the threads that are doing it.
    """

    def __init__(
        self,
        *,
        fail_after: float | None,
        activity: Callable[[], list[str]],
        stacks: Callable[[], list[str]],
        warn_after: float = 60.0,
    ) -> None:
        self._warn_after, self._fail_after = warn_after, fail_after
        self._activity, self._stacks = activity, stacks

    def wait(self, changed: threading.Condition, is_ready: Callable[[], bool]) -> None:
        """Wait until `is_ready()`, called under `changed`, which the caller holds.

        Raises:
          StallError: nothing for `fail_after` seconds.
        """
        begun = time.monotonic()
        warns = self._fail_after is None or self._warn_after < self._fail_after
        if warns:
            if changed.wait_for(is_ready, self._warn_after):
                return
            _log.warning("nothing has arrived for %g s: %s", self._warn_after, "; ".join(self._activity()))
        left = None if self._fail_after is None else self._fail_after - (time.monotonic() - begun)
        if not changed.wait_for(is_ready, left):
            raise StallError(
                f"nothing arrived within stall_timeout_seconds={self._fail_after:g}: {'; '.join(self._activity())}.",
                "The threads are at:\n" + "\n".join(self._stacks()),
            )
