"""Batches: one iterator over a loader's batches, with a position and workers of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from pyloader.deliver import Steps
from pyloader.errors import ClosedError
from pyloader.indexed.options import Recipe
from pyloader.indexed.run import Run
from pyloader.observe import ProgressBar
from pyloader.options import checked_integer
from pyloader.plan import ItemPosition, item_position_from_state, item_state_of
from pyloader.run.loop import Loop, State

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


class Batches(Loop[ItemPosition, Batch], Iterator[Batch], Generic[Batch]):
    """Batches from a position on, to the end of the run.  `iter(loader)` makes one.  Use it from one thread at a time.

    Args:
      recipe: What the loader was told.
      position: Where to begin.
    """

    def __init__(self, recipe: Recipe, position: ItemPosition) -> None:
        bar = ProgressBar(recipe.plan.steps_per_epoch) if recipe.progress else None
        super().__init__("iterator", position, recipe.counters, bar)
        self._recipe = recipe
        self._first_step, self._end_step = recipe.run_around(position)

    def __iter__(self) -> Batches[Batch]:
        self._turn.begin_for()
        return self

    def __enter__(self) -> Batches[Batch]:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

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
        epoch, _ = self._recipe.plan.epoch_and_step(self._position.steps_done)
        return epoch - (self._position.steps_done == self._end_step and not self._position.ended)

    def progress(self) -> Progress:
        """Return how many rows of this run have been received, and of how many."""
        before = self._recipe.plan.rows_before
        first, end = before(self._first_step), self._end_step
        return Progress(before(self._position.steps_done) - first, None if end is None else before(end) - first)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been received, as small JSON; whoever loads it goes on with the next batch."""
        return item_state_of(self._position, self._recipe.plan)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the batch after `state`.

        Raises:
          StateError: the state was saved with another dataset or order; the message says what to write.
        """
        position = item_position_from_state(state, self._recipe.plan)
        with self._turn.moving("load_state_dict()", self._interrupt):
            self._go_to(position)

    def seek(self, step: int) -> None:
        """Go to the batch of a step, counted from 0 over all epochs, in no time."""
        last = self._recipe.plan.last_step
        position = ItemPosition(checked_integer("step", step, at_least=0, at_most=last), ended=True)
        with self._turn.moving("seek()", self._interrupt):
            self._go_to(position)

    def _run_from(self, position: ItemPosition, steps: Steps) -> Run:
        if position.steps_done == self._end_step:
            raise StopIteration
        return Run(self._recipe, position, self._end_step, steps)

    def _epoch_and_step(self) -> tuple[int, int]:
        epoch, step = self._recipe.plan.epoch_and_step(self._position.steps_done - 1)
        return epoch, step + 1

    def _closed_error(self) -> ClosedError:
        return ClosedError("this iterator is closed.", "Make a new one with iter(loader)")

    def _go_to(self, position: ItemPosition, state: State = State.FRESH) -> None:
        super()._go_to(position, state)
        self._first_step, self._end_step = self._recipe.run_around(position)
