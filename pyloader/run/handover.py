"""Handover: batches are made in groups, ahead of the loop, and handed to it one by one.

    planned groups -> make (in threads, in order, within budget) -> batch after batch -> the loop

Every loader uses this; what a group is, and how it is made, is the loader's own.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from pyloader.deliver import (
    FREE,
    HELD,
    LONG_SECONDS,
    UNTRIED,
    WAITING,
    Budget,
    LockProbe,
    StallWatch,
    Steps,
    map_in_order,
    probe_lock,
)
from pyloader.observe import Counters
from pyloader.run.thread_counts import ThreadCounts, ThreadTrials
from pyloader.shuffle import EpochEnd

__all__ = ["Handover", "MadeGroup", "Pace"]

Place = TypeVar("Place")  # a position
In = TypeVar("In")


@dataclass(slots=True, kw_only=True)
class MadeGroup(ABC, Generic[Place]):
    """Batches that were made together.  Holds no reference to its input, so that the chunks can be freed."""

    sizes: list[int]  # how many rows each batch has
    seconds: tuple[float, ...] = ()  # how long each stage took
    num_dropped: int = 0  # how many rows that follow it are left out, by the rule for an epoch's last batch
    num_filled: int = 0  # how many of its rows were repeated, by the same rule
    num_stand_ins: int = 0  # how many of its rows stand in for samples that are left out
    # for each batch, what is left out of it, by number, and why; None when nothing is
    left_out: list[dict[int, Any]] | None = None
    # the numbers of the samples whose places its rows have, uint64 of shape [rows], STAND_IN set in those of rows that
    # stand in or fill up; None unless numbered
    samples: np.ndarray | None = None
    # those of its batches, uint64 of shape [num_batches, 4], of a mixture [1, sources, 4]; None unless audited
    digests: np.ndarray | None = None
    chunks: tuple[int, ...] = ()  # which chunks its rows are of, with those that they were mixed with; () if unknown
    error: BaseException | None = None  # what the batch after its last one failed with; None when all were made
    weight: float = 0.0  # how much of the budget it has
    # gives back its share of the bytes; None when they are not bounded
    give_back_bytes: Callable[[], None] | None = None

    @property
    def num_rows(self) -> int:
        """How many rows all its batches have."""
        return sum(self.sizes)

    @abstractmethod
    def batch(self, number: int) -> Any:
        """Return a batch; each is asked for once, in order."""

    @abstractmethod
    def after(self, position: Place, number: int) -> Place:
        """Return the position after this batch; `position` is that before it."""

    def release(self) -> None:
        """Drop what the batches were made of: the loop has all of them."""


class Pace:
    """How many batches are taken together: as many as are quickly made.

    It changes no batch.  Threads that read and write it at once do no harm.

    Args:
      at_most: The most of them.
      group_seconds: How long they may take to make, about: far above what handing over costs, far below what anyone
        waits for.
    """

    def __init__(self, at_most: int, *, group_seconds: float) -> None:
        self._at_most, self._group_seconds = at_most, group_seconds
        self._num_together = 1

    def num_together(self) -> int:
        """Return how many batches the next group is to have."""
        return self._num_together

    def made(self, num_batches: int, seconds: float) -> None:
        """Note how long a group took."""
        fitting = int(self._group_seconds * num_batches / max(seconds, 1e-9))
        self._num_together = max(1, min(self._at_most, fitting))


class Handover(ABC, Generic[Place]):
    """Batches from a position on, each with the position after it.

    An error is raised after the batches before it.  What is left out of a batch is noted when the loop asks for that
    batch; everything else is counted with the last batch of its group.

    Args:
      position: Of the first batch.
      steps: Takes the steps that may have threads.  The caller closes it.
      counters: What is counted along the way.
      stages: What the seconds of a group are counted as.
      trials: Chooses the numbers of threads; None where they stay.

    Attributes:
      steps: The argument.
      position: After the latest batch.
    """

    _making: Any  # an iterator, as `map_in_order` returns it
    _budget: Budget
    _probe: LockProbe | None

    def __init__(
        self,
        position: Place,
        steps: Steps,
        counters: Counters,
        stages: tuple[str, ...],
        trials: ThreadTrials | None = None,
    ) -> None:
        self.position, self.steps = position, steps
        self._trials = trials
        self._counters, self._stages = counters, stages
        counters.stages = stages
        self._group: MadeGroup[Place] | None = None  # the latest
        self._waited = self._came = 0.0  # how long the loop waited for it, and when it came
        self._next = self._num_batches = 0  # which of its batches comes next, and how many it has

    def next_batch(self) -> tuple[Any, int]:
        """Return the next batch and how many rows it has, and move `position` behind it.

        Raises:
          StopIteration: there is none.
          Exception: what making it failed with.
        """
        if self._next == self._num_batches:
            self._await_group()
        group, number = self._group, self._next
        assert group is not None
        if group.left_out is not None and group.left_out[number]:
            self._note_left_out(group.left_out[number])
        batch, size = group.batch(number), group.sizes[number]
        self._next = number + 1
        self.position = group.after(self.position, number)
        if self._next == self._num_batches:
            self._finish(group)
        return batch, size

    @property
    def digest(self) -> np.ndarray | None:
        """The digest of the latest batch's samples, uint64 of shape [4], or [sources, 4]; None unless audited."""
        return None if self._group is None or self._group.digests is None else self._group.digests[self._next - 1]

    def _make_ahead(
        self,
        make: Callable[[In], MadeGroup[Place] | EpochEnd],
        planned: Iterable[In],
        *,
        weight: Callable[[In], float],
        num_threads: int,
        budget: Budget,
        describe: Callable[[In], str],
        stall_timeout_seconds: float | None,
        may_change: bool = False,
    ) -> None:
        """Begin to make groups, as far ahead as `budget` has room; what is made has the weight of what was planned."""
        self._budget = budget
        self._probe = LockProbe() if num_threads else None
        self._watch = StallWatch(
            fail_after=stall_timeout_seconds, activity=self.steps.activity, stacks=self.steps.stacks
        )
        self._making = self.steps.add(
            map_in_order(
                make,
                planned,
                num_threads=num_threads,
                may_change=may_change,
                budget=budget,
                weight=weight,
                name="batch",
                describe=describe,
                watch=self._watch,
            )
        )

    def _await_group(self) -> None:
        if self._group is not None and self._group.error is not None:
            raise self._group.error
        begun = time.perf_counter()
        probe = self._probe
        if probe is not None and begun >= probe.due and self._may_look(probe, begun):
            self._look_at_lock(probe)
        while isinstance(group := next(self._making), EpochEnd):
            self._end_epoch(group)
        counters = self._counters
        self._came = time.perf_counter()
        self._waited = self._came - begun
        counters.waited(self._waited, group.chunks)
        for stage, seconds in zip(self._stages, group.seconds, strict=True):
            counters.busy_seconds[stage] += seconds
        self._has_come(group)
        if (trials := self._trials) is not None and not trials.is_fixed:
            self._try(trials, group.num_rows)
        self._group, self._next, self._num_batches = group, 0, len(group.sizes)
        if not group.sizes:
            raise group.error

    def _try(self, trials: ThreadTrials, num_rows: int) -> None:
        """Count a group for the trials, and go on with the threads that they choose."""
        if trials.group_came(
            self._came,
            waited=self._waited,
            rows=num_rows,
            num_chunks=self._num_read(),
            busy_seconds=self._counters.busy_seconds,
        ):
            self._work_with(trials.now)

    def _num_read(self) -> int:
        """Return how many chunks have been read."""
        raise NotImplementedError

    def _work_with(self, threads: ThreadCounts) -> None:
        """Go on with so many threads."""
        self._making.work_with(threads.workers)

    def _may_look(self, probe: LockProbe, now: float) -> bool:
        """Tell whether the loop hardly loses the time that a probe takes: where batches come fast, it would."""
        are_slow = max(self._waited, now - self._came) >= LONG_SECONDS
        return are_slow and (now >= probe.due_when_ready or not self._making.is_ready)

    def _look_at_lock(self, probe: LockProbe) -> None:
        """Count whether the interpreter's lock is held by the step that alone is at work."""
        steps = self._steps_ahead()
        working = {name: step for name, step in steps.items() if step.num_busy}
        threads, num_busy = [number for step in steps.values() for number in step.native_ids()], _num_busy(working)
        found = probe_lock(threads, num_busy=num_busy) if working else UNTRIED
        # Of two that are at work, either may have been what was found; but where it is waiting, both are.  Who held it
        # may have come to the end of that meanwhile.
        goes_on = _num_busy(working) == num_busy
        if found == HELD:
            goes_on = working.keys() >= {name for name, step in steps.items() if step.num_busy}
        if found == WAITING or (found != UNTRIED and len(working) == 1 and goes_on):
            for name in working:
                self._counters.note_lock(name, FREE if found == WAITING else found)
        probe.postpone(found)

    def _steps_ahead(self) -> dict[str, Any]:
        """Return the steps that have threads, by name: several stages share those that make batches."""
        return {"batch": self._making}

    def _finish(self, group: MadeGroup[Place]) -> None:
        """Give back what a group took: the loop has all of its batches."""
        group.release()
        self._budget.give_back(group.weight)
        if group.give_back_bytes is not None:
            group.give_back_bytes()
        if group.num_dropped or group.num_filled or group.num_stand_ins:
            self._counters.dropped += group.num_dropped
            self._counters.filled += group.num_filled
            self._counters.stand_ins += group.num_stand_ins

    def _has_come(self, group: Any) -> None:
        """Count what only this kind of group has."""

    def _end_epoch(self, end: EpochEnd) -> None:
        """Check that an epoch was delivered whole, and go on to the next; where the groups have such ends."""
        raise NotImplementedError

    @abstractmethod
    def _note_left_out(self, left_out: dict[int, Any]) -> None:
        """Note what is left out of the batch at `position`.

        Raises:
          Exception: it is more than may be left out.
        """


def _num_busy(steps: dict[str, Any]) -> int:
    return sum(step.num_busy for step in steps.values())
