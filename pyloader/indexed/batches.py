"""Batches: one iterator over a loader's batches, with a position and threads of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import tqdm

from pyloader.deliver import Slots, StallWatch, Steps, end_with, map_in_order
from pyloader.errors import ClosedError
from pyloader.indexed.making import Made, Pace, piece_making
from pyloader.indexed.planning import BatchPlan, Piece, pieces
from pyloader.indexed.positions import Position, position_from_state, state_of
from pyloader.indexed.rows import Rows
from pyloader.options import checked_integer

__all__ = ["Batches", "Progress", "Recipe"]

Batch = TypeVar("Batch")


class Progress(NamedTuple):
    """How far a run is, in what the loop has received.

    Attributes:
      items_processed: Rows delivered.
      items_total: Rows of the whole run; None when it is endless.
    """

    items_processed: int
    items_total: int | None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a loader's iterators have in common.

    Attributes:
      plan: Which rows make which batch.
      take: Takes rows.
      finish: Makes a batch of its rows.
      num_epochs: How many epochs a run has; None never ends.
      num_workers: Threads; 0 does everything in the caller's.
      prefetch_size: How many batches may wait for the loop.
      stall_timeout_seconds: Seconds of silence before StallError; None waits for ever.
      progress: Whether to show a bar.
    """

    plan: BatchPlan
    take: Callable[[np.ndarray], Rows]
    finish: Callable[[Rows], Any]
    num_epochs: int | None
    num_workers: int
    prefetch_size: int
    stall_timeout_seconds: float | None
    progress: bool

    @property
    def run_steps(self) -> int | None:
        """How many batches a run has; None when it is endless."""
        steps = self.plan.steps_per_epoch
        return None if steps is None or self.num_epochs is None else steps * self.num_epochs

    def run_around(self, position: Position) -> tuple[int, int | None]:
        """Return the first step, and the step after the last, of the run that goes on at `position`."""
        if self.run_steps is None:
            return 0, None
        number, place = divmod(position.step, self.run_steps)
        if place == 0 and number and not position.ended:
            number -= 1  # its last batch has been received, and its end has not
        return number * self.run_steps, (number + 1) * self.run_steps


class Batches(Iterator[Batch], Generic[Batch]):
    """Batches from a position on, to the end of the run.  `iter(loader)` makes one.  Use it from one thread at a time.

    Args:
      recipe: What the loader was told.
      position: Where to begin.
    """

    def __init__(self, recipe: Recipe, position: Position) -> None:
        self._recipe, self._position = recipe, position
        self._run: _Run | None = None
        self._end_run: Callable[[], None] | None = None
        self._bar: tqdm.tqdm | None = None
        self._failure: Exception | None = None
        self._is_closed = False
        self._first_step, self._end_step = recipe.run_around(position)

    def __iter__(self) -> Batches[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._is_closed:
            raise ClosedError("this iterator is closed.", "Make a new one with iter(loader)")
        if self._failure is not None:
            raise self._failure
        position = self._position
        step = position.step
        if step == self._end_step:
            self._position = Position(step, ended=True)
            self._stop_run()
            raise StopIteration
        try:
            run = self._run or self._begin_run()
            batch: Batch = run.next_batch()
            self._position = Position(step + 1)
            if self._recipe.progress:
                self._show_progress()
            return batch
        except BaseException as exc:
            # After Ctrl-C the next call begins a new run from the same position; after an error it repeats the error.
            self._failure = exc if isinstance(exc, Exception) else None
            self._position = position
            self._stop_run()
            raise

    def __enter__(self) -> Batches[Batch]:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def position(self) -> Position:
        """After the latest batch."""
        return self._position

    @property
    def steps_done(self) -> int:
        """How many batches have been delivered, over all epochs; counted on by one that resumes."""
        return self._position.step

    @property
    def epochs_done(self) -> int:
        """How many epochs have been delivered to their end."""
        epoch, _ = self._recipe.plan.epoch_and_step(self._position.step)
        return epoch - (self._position.step == self._end_step and not self._position.ended)

    def progress(self) -> Progress:
        """Return how many rows of this run have been received, and of how many."""
        before = self._recipe.plan.rows_before
        first, end = before(self._first_step), self._end_step
        return Progress(before(self._position.step) - first, None if end is None else before(end) - first)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been received, as small JSON; whoever loads it goes on with the next batch."""
        return state_of(self._position, self._recipe.plan)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the batch after `state`.

        Raises:
          StateError: the state was saved with another dataset or order; the message says what to write.
        """
        self._go_to(position_from_state(state, self._recipe.plan))

    def seek(self, step: int) -> None:
        """Go to the batch of a step, counted from 0 over all epochs, in no time."""
        self._go_to(Position(checked_integer("step", step, at_least=0), ended=True))

    def close(self) -> None:
        """End the threads.  The position stays; batches cannot be had any more."""
        self._is_closed = True
        self._stop_run()

    def _begin_run(self) -> _Run:
        steps = Steps()
        self._end_run = end_with(self, steps)  # before anything starts, since Ctrl-C may come at any moment
        self._run = _Run(self._recipe, self._position.step, self._end_step, steps)
        return self._run

    def _stop_run(self) -> None:
        self._run = None
        if self._end_run is not None:
            self._end_run()
        self._end_run = None
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _go_to(self, position: Position) -> None:
        self._stop_run()
        self._position, self._failure = position, None
        self._first_step, self._end_step = self._recipe.run_around(position)

    def _show_progress(self) -> None:
        done = self._position.step - self._first_step
        if self._bar is None:
            total = None if self._end_step is None else self._end_step - self._first_step
            self._bar = tqdm.tqdm(total=total, initial=done - 1, unit=" batches", disable=None)
        self._bar.update()


class _Run:
    """The threads that make batches ahead, and those that are made."""

    def __init__(self, recipe: Recipe, step: int, end_step: int | None, steps: Steps) -> None:
        # So many batches are made, or in making, beside the one that the loop has.
        limit = recipe.prefetch_size + max(1, recipe.num_workers)
        threaded = recipe.num_workers > 0
        # Half of them at a time, so that a piece is made while another is handed out.
        pace = Pace(limit // 2 if threaded else 1)
        plan = recipe.plan
        self.steps = steps
        self._slots = Slots(limit, blocking=threaded)
        self._ready: deque[Any] = deque()
        self._piece_size = 0
        self._error: Exception | None = None
        self._making = self.steps.add(
            map_in_order(
                piece_making(
                    recipe.take, recipe.finish, adds_mask=plan.last_batch == "pad", place=plan.place, pace=pace
                ),
                pieces(plan, step, end_step, num_together=pace.num_together),
                num_threads=recipe.num_workers,
                slots=self._slots,
                weight=_num_batches,
                name="batch",
                describe=lambda piece: plan.place(piece.step),
                watch=StallWatch(
                    fail_after=recipe.stall_timeout_seconds, activity=self.steps.activity, stacks=self.steps.stacks
                ),
            )
        )

    def next_batch(self) -> Any:
        if not self._ready:
            self._await_piece()
        batch = self._ready.popleft()
        if not self._ready:  # all of the piece is the loop's from here on
            self._slots.give_back(self._piece_size)
        return batch

    def _await_piece(self) -> None:
        self.steps.check_process()
        if self._error is not None:
            raise self._error
        made: Made = next(self._making)
        self._ready.extend(made.batches)
        self._piece_size, self._error = len(made.batches), made.error
        if not self._ready and self._error is not None:
            raise self._error


def _num_batches(piece: Piece) -> int:
    return len(piece.sizes)
