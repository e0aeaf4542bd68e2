"""A run: batches of items from a step on, made ahead by workers."""

from __future__ import annotations

import numpy as np

from pyloader.deliver import Budget, RemoteFunction, Steps
from pyloader.errors import PyLoaderError
from pyloader.indexed.making import STAGES, MakeBatches, Pace, group_making
from pyloader.indexed.options import Recipe
from pyloader.plan import ItemPosition, item_groups
from pyloader.run.handover import Handover

__all__ = ["Run"]


class Run(Handover[ItemPosition]):
    """Batches of items from a position on, until `end_step`.

    Args:
      recipe: What the loader was told.
      start: Where to begin.
      end_step: The step after the last; None never ends.
      steps: Takes what may have threads and processes.  Whoever made it closes it.
    """

    def __init__(self, recipe: Recipe, start: ItemPosition, end_step: int | None, steps: Steps) -> None:
        super().__init__(start, steps, recipe.counters, STAGES)
        self._recipe = recipe
        # So many batches are made, or in making, beside the one that the loop has.
        limit = recipe.prefetch_size + max(1, recipe.num_workers)
        threaded = recipe.num_workers > 0
        # Not quite half of them at a time, so that a group is made while another is handed out; more and smaller ones
        # would have more threads at work than processors, where all are quick.  From processes one by one: what is
        # Python takes its time, and a process that dies takes no good batch with it.
        pace = Pace((limit - 1) // 2 if threaded and not recipe.in_processes else 1)
        plan = recipe.plan
        make = group_making(_maker(recipe, steps), place=plan.place, pace=pace)
        groups = item_groups(plan, start.steps_done, end_step, num_together=pace.num_together)

        self._make_ahead(
            make,
            groups,
            weight=lambda group: len(group.sizes),
            num_threads=recipe.num_workers,
            budget=Budget(limit, blocking=threaded),
            describe=lambda group: plan.place(group.step),
            stall_timeout_seconds=recipe.stall_timeout_seconds,
        )

    def _note_left_out(self, left_out: dict[int, str]) -> None:
        recipe, skipped = self._recipe, self._recipe.skipped
        for index, reason in left_out.items():
            skipped.setdefault(f"item {index:,}", reason)
            if len(skipped) <= recipe.max_skipped:
                continue
            what = f"item {index:,} cannot be loaded ({reason}, {recipe.plan.place(self.position.steps_done)})"
            note = f"{what}: one more than max_skipped={recipe.max_skipped}"
            try:
                recipe.source.take(np.array([index]))  # the error as itself, also where a worker process met it
            except Exception as exc:
                exc.add_note(f"pyloader: {note}")
                raise
            raise PyLoaderError(f"{note}.", "Now it can: try again")


def _maker(recipe: Recipe, steps: Steps) -> MakeBatches:
    if not recipe.in_processes:
        return recipe.make
    dataset, plan = recipe.shown["dataset"], recipe.plan
    remote: MakeBatches = steps.add_awaited(
        RemoteFunction(recipe.make, doing=lambda group: f"it made a batch of {dataset} ({plan.place(group.step)})")
    )
    return remote
