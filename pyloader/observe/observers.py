"""Observers: functions that are called every so many batches, or seconds, in the loop's own thread."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Observers"]

_log = logging.getLogger("pyloader")


@dataclass(slots=True, eq=False)
class _Observer:
    observe: Callable[[], None]
    every_steps: float
    every_seconds: float
    next_step: float = 0
    next_time: float = 0.0
    latest: int = 0  # the number of batches when it was called
    at_end: Callable[[], None] | None = None  # called when a run ends


class Observers:
    """Says when the next of several functions is due, so that a batch costs two comparisons.

    Attributes:
      due_step: The number of batches delivered at which one is due.
      due_time: The time at which one is due, as `time.perf_counter` counts.
    """

    def __init__(self) -> None:
        self._all: list[_Observer] = []
        self.due_step = self.due_time = math.inf

    def add(
        self,
        observe: Callable[[], None],
        *,
        every_steps: float = math.inf,
        every_seconds: float = math.inf,
        first_step: int = 0,
        at_end: Callable[[], None] | None = None,
    ) -> Callable[[], None]:
        """Call a function every so many batches or seconds, the first time after the next batch.

        Args:
          observe: The function.
          every_steps: After how many batches.
          every_seconds: After how many seconds instead.
          first_step: How many batches there must be before it is called.
          at_end: What is called when a run ends; None calls `observe`, where there is a batch that it has not seen.

        Returns:
          A function that ends it.
        """
        observer = _Observer(observe, every_steps, every_seconds, first_step, at_end=at_end)
        self._all.append(observer)
        self._look_ahead()

        def remove() -> None:
            if observer in self._all:
                self._all.remove(observer)
                self._look_ahead()

        return remove

    def call_due(self, num_steps: int, now: float) -> None:
        """Call those that are due.  One that fails is not called again, and its error is a warning in the log."""
        for observer in list(self._all):
            by_step, by_time = observer.every_steps < math.inf, observer.every_seconds < math.inf
            if not ((by_step and num_steps >= observer.next_step) or (by_time and now >= observer.next_time)):
                continue
            # At whole multiples, whenever it began, so that runs that resume have the same ones.
            observer.next_step = (num_steps // observer.every_steps + 1) * observer.every_steps if by_step else math.inf
            observer.next_time = now + observer.every_seconds
            self._call(observer, num_steps, observer.observe)
        self._look_ahead()

    def call_last(self, num_steps: int) -> None:
        """Call those that have not been called since the latest batch: the run has ended."""
        for observer in list(self._all):
            if observer.at_end is not None:
                self._call(observer, num_steps, observer.at_end)
            elif observer.latest < num_steps:
                self._call(observer, num_steps, observer.observe)

    def _call(self, observer: _Observer, num_steps: int, call: Callable[[], None]) -> None:
        observer.latest = num_steps
        try:
            call()
        except Exception:  # what looks on must not end the run
            _log.warning("an observer of the loader failed, and is not called again", exc_info=True)
            if observer in self._all:
                self._all.remove(observer)
            self._look_ahead()

    def _look_ahead(self) -> None:
        by_step = (observer.next_step for observer in self._all if observer.every_steps < math.inf)
        by_time = (observer.next_time for observer in self._all if observer.every_seconds < math.inf)
        self.due_step, self.due_time = min(by_step, default=math.inf), min(by_time, default=math.inf)
