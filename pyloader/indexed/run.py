"""A run: batches from a step on, made ahead by workers, and handed over one by one."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np

from pyloader.deliver import RemoteFunction, Slots, StallWatch, Steps, map_in_order
from pyloader.errors import PyLoaderError
from pyloader.indexed.making import STAGES, Made, MakeBatches, Pace, piece_making
from pyloader.indexed.options import Recipe
from pyloader.plan import item_groups as pieces

__all__ = ["Run"]


class Run:
    """Batches from `step` on, until `end_step`.

    Args:
      recipe: What the loader was told.
      step: Of the first batch.
      end_step: The step after the last; None never ends.

      steps: What may have threads and processes, to be closed.

    Attributes:
      steps: The same.
    """

    def __init__(self, recipe: Recipe, step: int, end_step: int | None, steps: Steps) -> None:
        self._recipe = recipe
        # So many batches are made, or in making, beside the one that the loop has.
        limit = recipe.prefetch_size + max(1, recipe.num_workers)
        threaded = recipe.num_workers > 0
        # Not quite half of them at a time, so that a piece is made while another is handed out; more and smaller ones
        # would have more threads at work than processors, where all are quick.  From processes one by one: what is
        # Python takes its time, and a process that dies takes no good batch with it.
        pace = Pace((limit - 1) // 2 if threaded and not recipe.in_processes else 1)
        plan = recipe.plan
        self.steps = steps
        self._slots = Slots(limit, blocking=threaded)
        self._made: Made | None = None
        self._ready: deque[Any] = deque()  # its batches that have not been delivered: nothing holds the others
        self._place = 0  # which of its batches comes next
        self._making = self.steps.add(
            map_in_order(
                piece_making(self._maker(), place=plan.place, pace=pace),
                pieces(plan, step, end_step, num_together=pace.num_together),
                num_threads=recipe.num_workers,
                slots=self._slots,
                weight=lambda piece: len(piece.sizes),
                name="batch",
                describe=lambda piece: plan.place(piece.step),
                watch=StallWatch(
                    fail_after=recipe.stall_timeout_seconds, activity=self.steps.activity, stacks=self.steps.stacks
                ),
            )
        )

    def next_batch(self) -> Any:
        """Return the next batch.

        Raises:
          StopIteration: there is none.
          Exception: what making it failed with.
        """
        if not self._ready:
            self._await_piece()
        made = self._made
        assert made is not None
        place = self._place
        if made.skipped[place]:
            self._skip(made.skipped[place], made.piece.step + place)
        batch = self._ready.popleft()
        self._place += 1
        if not self._ready:  # all of the piece is the loop's from here on
            self._slots.give_back(len(made.piece.sizes))
        counters, size = self._recipe.counters, made.piece.sizes[place]
        counters.num_dropped += self._recipe.plan.num_dropped(made.piece.step + place)
        counters.num_filled += size - made.piece.num_samples[place]
        counters.num_stand_ins += len(made.skipped[place])
        counters.delivered(size)
        return batch

    def _maker(self) -> MakeBatches:
        recipe = self._recipe
        if not recipe.in_processes:
            return recipe.make
        dataset, plan = recipe.shown["dataset"], recipe.plan
        remote: MakeBatches = self.steps.add_awaited(
            RemoteFunction(recipe.make, doing=lambda piece: f"it made a batch of {dataset} ({plan.place(piece.step)})")
        )
        return remote

    def _await_piece(self) -> None:
        self.steps.check_process()
        if self._made is not None and self._made.error is not None:
            raise self._made.error
        begun = time.perf_counter()
        made: Made = next(self._making)
        counters = self._recipe.counters
        counters.waited(time.perf_counter() - begun)
        for stage, seconds in zip(STAGES, made.seconds, strict=True):
            counters.busy_seconds[stage] += seconds
        self._made, self._place = made, 0
        self._ready.extend(made.batches)
        made.batches.clear()
        if not self._ready and made.error is not None:
            raise made.error

    def _skip(self, reasons: dict[int, str], step: int) -> None:
        """Note what is left out of a batch.

        Raises:
          Exception: what the first item beyond `max_skipped` fails with.
        """
        recipe, skipped = self._recipe, self._recipe.skipped
        for index, reason in reasons.items():
            skipped.setdefault(f"item {index:,}", reason)
            if len(skipped) <= recipe.max_skipped:
                continue
            what = f"item {index:,} cannot be loaded ({reason}, {recipe.plan.place(step)})"
            note = f"{what}: one more than max_skipped={recipe.max_skipped}"
            try:
                recipe.source.take(np.array([index]))  # the error as itself, also where a worker process met it
            except Exception as exc:
                exc.add_note(f"pyloader: {note}")
                raise
            raise PyLoaderError(f"{note}.", "Now it can: try again")
