"""Batches: one iterator over a loader's batches, with a position and workers of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from pyloader.deliver import SlotsClosed, Steps, Turn, end_with, this_thread
from pyloader.errors import ClosedError, ConcurrentUseError
from pyloader.indexed.options import Recipe
from pyloader.indexed.run import Run
from pyloader.observe import ProgressBar
from pyloader.options import checked_integer
from pyloader.plan import ItemPosition as Position
from pyloader.plan import item_position_from_state as position_from_state
from pyloader.plan import item_state_of as state_of

__all__ = ["Batches", "Progress"]

Batch = TypeVar("Batch")


class Progress(NamedTuple):
    """How far a run is, in what the loop has received.

    Attributes:
      items_processed: Rows delivered.
      items_total: Rows of the whole run; None when it is endless.
    """

    items_processed: int
    items_total: int | None


class Batches(Iterator[Batch], Generic[Batch]):
    """Batches from a position on, to the end of the run.  `iter(loader)` makes one.  Use it from one thread at a time.

    Args:
      recipe: What the loader was told.
      position: Where to begin.
    """

    def __init__(self, recipe: Recipe, position: Position) -> None:
        self._recipe, self._position = recipe, position
        self._run: Run | None = None
        self._end_run: Callable[[], None] | None = None
        self._bar = ProgressBar(recipe.plan.steps_per_epoch) if recipe.progress else None
        self._failure: Exception | None = None
        self._turn = Turn("iterator")
        self._is_closed = False
        self._first_step, self._end_step = recipe.run_around(position)

    def __iter__(self) -> Batches[Batch]:
        self._turn.begin_for()
        return self

    def __next__(self) -> Batch:
        turn, position = self._turn, self._position
        me = this_thread()
        try:
            if turn.take(0, me) != me or turn.moved is not None:
                turn.refuse(me)
            batch = self._next_batch(position)
            turn.leave()
            return batch
        except BaseException as exc:
            if not isinstance(exc, Exception):  # Ctrl-C, wherever it came: the batch has not been received
                self._go_to(position)
            turn.leave_if_mine()
            raise

    def _next_batch(self, position: Position) -> Batch:
        if self._is_closed:
            raise self._closed_error()
        if self._failure is not None:
            raise self._failure
        step = position.steps_done
        if step == self._end_step:
            self._position = Position(step, ended=True)
            self._stop_run()
            self._turn.end_for()
            raise StopIteration
        self._recipe.counters.requested()
        try:
            run = self._run or self._begin_run()
            batch: Batch
            batch, num_rows = run.next_batch()
            self._recipe.counters.delivered(num_rows)
            self._position = Position(step + 1)
            if self._bar is not None:
                epoch, step_of_epoch = self._recipe.plan.epoch_and_step(step)
                self._bar.step(epoch, step_of_epoch + 1, self._recipe.counters)
            return batch
        except SlotsClosed:
            self._position = position
            self._stop_run()
            raise self._turn.interrupted() or self._closed_error() from None
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
        return self._position.steps_done

    @property
    def epochs_done(self) -> int:
        """How many epochs have been delivered to their end."""
        epoch, _ = self._recipe.plan.epoch_and_step(self._position.steps_done)
        return epoch - (self._position.steps_done == self._end_step and not self._position.ended)

    def progress(self) -> Progress:
        """Return how many rows of this run have been received, and of how many."""
        before = self._recipe.plan.rows_before
        first, end = before(self._first_step), self._end_step
        return Progress(before(self._position.steps_done) - first, None if end is None else before(end) - first)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been received, as small JSON; whoever loads it goes on with the next batch."""
        return state_of(self._position, self._recipe.plan)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the batch after `state`.

        Raises:
          StateError: the state was saved with another dataset or order; the message says what to write.
        """
        position = position_from_state(state, self._recipe.plan)
        with self._turn.moving("load_state_dict()", self._interrupt):
            self._go_to(position)

    def seek(self, step: int) -> None:
        """Go to the batch of a step, counted from 0 over all epochs, in no time."""
        last = self._recipe.plan.last_step
        position = Position(checked_integer("step", step, at_least=0, at_most=last), ended=True)
        with self._turn.moving("seek()", self._interrupt):
            self._go_to(position)

    def close(self) -> None:
        """End the workers.  The position stays; batches cannot be had any more, also in a thread that waits for one."""
        self._is_closed = True
        self._stop_run()

    def _begin_run(self) -> Run:
        steps = Steps()
        self._end_run = end_with(self, steps)  # before anything starts, since Ctrl-C may come at any moment
        run = self._run = Run(self._recipe, self._position, self._end_step, steps)
        if self._is_closed or self._turn.interruption is not None:  # meanwhile, by another thread
            steps.close()
            raise SlotsClosed
        return run

    def _closed_error(self) -> ClosedError:
        return ClosedError("this iterator is closed.", "Make a new one with iter(loader)")

    def _interrupt(self, error: ConcurrentUseError) -> None:
        self._turn.interruption = error
        if (run := self._run) is not None:
            run.steps.interrupt()

    def _stop_run(self) -> None:
        self._run = None
        if (end_run := self._end_run) is not None:
            end_run()
        self._end_run = None
        if self._bar is not None:
            self._bar.close()

    def _go_to(self, position: Position) -> None:
        self._stop_run()
        self._position, self._failure = position, None
        self._first_step, self._end_step = self._recipe.run_around(position)
