"""Batches: one iterator over a loader's batches, with a position, and a run that makes them ahead with workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from pyloader.deliver import Budget, Closing, RemoteFunction, Steps
from pyloader.errors import ClosedError, PyLoaderError
from pyloader.indexed.making import STAGES, MakeBatches, group_making
from pyloader.indexed.options import ItemOptions
from pyloader.observe import ProgressBar
from pyloader.plan import ItemPosition, item_groups, item_position_from_state, item_state_of
from pyloader.run.handover import Handover, Pace
from pyloader.run.loop import Loop, State

__all__ = ["Batches", "Progress"]

Batch = TypeVar("Batch")

_GROUP_SECONDS = 0.002


class Progress(NamedTuple):
    """How far a run is, in what the loop has received.

    Attributes:
      items_processed: Rows delivered.
      items_total: Rows of the whole run; None when it is endless.
    """

    items_processed: int
    items_total: int | None


class ItemRun(Handover[ItemPosition]):
    """Batches of items from a position on, until `end_step`.

    Args:
      options: What the loader was told.
      start: Where to begin.
      end_step: The step after the last; None never ends.
      steps: Takes what may have threads and processes.  The caller closes it.
    """

    def __init__(self, options: ItemOptions, start: ItemPosition, end_step: int | None, steps: Steps) -> None:
        super().__init__(start, steps, options.counters, STAGES)
        self._options = options
        # So many batches are made, or in making, beside the one that the loop has.
        limit = options.given.prefetch_size + max(1, options.num_workers)
        threaded = options.num_workers > 0
        # Not quite half of them at a time, so that a group is made while another is handed out; more and smaller ones
        # would have more threads at work than processors, where all are quick.  From processes one by one: what is
        # Python takes its time, and a process that dies takes no good batch with it.
        pace = Pace((limit - 1) // 2 if threaded and not options.in_processes else 1, group_seconds=_GROUP_SECONDS)
        plan = options.plan
        make = group_making(_maker(options, steps), place=plan.place, pace=pace)
        groups = item_groups(plan, start.steps_done, end_step, num_together=pace.num_together)

        self._make_ahead(
            make,
            groups,
            weight=len,
            num_threads=options.num_workers,
            budget=Budget(limit, blocking=threaded),
            describe=lambda group: plan.place(group.step),
            stall_timeout_seconds=options.given.stall_timeout_seconds,
        )

    def _note_left_out(self, left_out: dict[int, str]) -> None:
        options, skipped = self._options, self._options.skipped
        for index, reason in left_out.items():
            skipped.setdefault(f"item {index:,}", reason)
            if len(skipped) <= options.max_skipped:
                continue
            what = f"item {index:,} cannot be loaded ({reason}, {options.plan.place(self.position.steps_done)})"
            note = f"{what}: one more than max_skipped={options.max_skipped}"
            try:
                options.source.take(np.array([index]))  # the error as itself, also where a worker process met it
            except Exception as exc:
                exc.add_note(f"pyloader: {note}")
                raise
            raise PyLoaderError(f"{note}.", "Now it can: try again")


class Batches(Loop[ItemPosition, Batch], Closing, Iterator[Batch], Generic[Batch]):
    """Batches from a position on, to the end of the run.  `iter(loader)` makes one.  Use it from one thread at a time.

    Args:
      options: What the loader was told.
      position: Where to begin.
    """

    def __init__(self, options: ItemOptions, position: ItemPosition) -> None:
        bar = ProgressBar(options.plan.steps_per_epoch) if options.given.progress else None
        super().__init__("iterator", position, options.counters, bar)
        self._options = options
        self._first_step, self._end_step = options.run_around(position)

    def __iter__(self) -> Batches[Batch]:
        self._turn.begin_for()
        return self

    @property
    def position(self) -> ItemPosition:
        """After the latest batch."""
        return self._position

    @property
    def steps_done(self) -> int:
        """How many batches have been delivered, over all epochs; counted on by one that resumes."""
        return self._position.steps_done

    @property
    def epochs_done(self) -> int:
        """How many epochs have been delivered to their end."""
        epoch, _ = self._options.plan.epoch_and_step(self._position.steps_done)
        return epoch - (self._position.steps_done == self._end_step and not self._position.ended)

    def progress(self) -> Progress:
        """Return how many rows of this run have been received, and of how many."""
        before = self._options.plan.rows_before
        first, end = before(self._first_step), self._end_step
        return Progress(before(self._position.steps_done) - first, None if end is None else before(end) - first)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been received, as small JSON; a loader that loads it goes on with the next batch."""
        return item_state_of(self._position, self._options.plan)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the batch after `state`.

        Raises:
          StateError: the state was saved with another dataset or order; the message says what to write.
        """
        position = item_position_from_state(state, self._options.plan)
        with self._turn.moving("load_state_dict()", self._interrupt):
            self._go_to(position)

    def seek(self, step: int) -> None:
        """Go to the batch of a step, counted from 0 over all epochs, in no time."""
        position = self._options.position_at(step)
        with self._turn.moving("seek()", self._interrupt):
            self._go_to(position)

    def _run_from(self, position: ItemPosition, steps: Steps) -> ItemRun:
        if position.steps_done == self._end_step:
            raise StopIteration
        return ItemRun(self._options, position, self._end_step, steps)

    def _epoch_and_step(self) -> tuple[int, int]:
        epoch, step = self._options.plan.epoch_and_step(self._position.steps_done - 1)
        return epoch, step + 1

    def _closed_error(self) -> ClosedError:
        return ClosedError("this iterator is closed.", "Make a new one with iter(loader)")

    def _go_to(self, position: ItemPosition, state: State = State.FRESH) -> None:
        super()._go_to(position, state)
        self._first_step, self._end_step = self._options.run_around(position)


def _maker(options: ItemOptions, steps: Steps) -> MakeBatches:
    if not options.in_processes:
        return options.make
    dataset, plan = options.described_data, options.plan
    remote: MakeBatches = steps.add_awaited(
        RemoteFunction(options.make, doing=lambda group: f"it made a batch of {dataset} ({plan.place(group.step)})")
    )
    return remote
