"""Items: which part of a sampler's line makes which batch, and the state of a loop over items.

A batch is a function of its step.  Each global batch is a part of the line, and rank r of R takes the r-th share of it,
so that the global batches are the same for every number of ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyloader.errors import StateError
from pyloader.plan.keys import row_keys
from pyloader.plan.order import order_digest
from pyloader.plan.position import ItemPosition
from pyloader.plan.samplers import Sampler
from pyloader.plan.state import STATE_VERSION, UNCHANGED, check_complete, check_same_order
from pyloader.plan.steps import LAST_BATCH_RULES, steps_per_epoch

__all__ = ["ITEM_RULES", "ItemGroup", "ItemPlan", "item_groups", "item_position_from_state", "item_state_of"]

ITEM_RULES = (*LAST_BATCH_RULES, "span")

_PLANNED_TOGETHER = 4096  # indices: computing a few at a time costs as much as a few thousand


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPlan:
    """How a line is cut into batches."""

    sampler: Sampler  # whose line it is
    batch_size: int  # samples in a batch of one rank
    # "keep", "drop", "pad" or "wrap" an epoch's last rows when they make no whole batch; or "span": an epoch begins in
    # the batch in which the one before it ends
    last_batch: str
    rank: int = 0  # which rank's batches, from 0
    world_size: int = 1  # how many ranks there are
    key_seed: int | None = None  # the seed of the rows' keys; None where nobody asks for them
    # Counted once: every batch asks for them.
    global_batch_size: int = field(init=False)  # samples in a batch over all ranks
    steps_per_epoch: int | None = field(init=False)  # how many batches an epoch has; None when batches span epochs

    def __post_init__(self) -> None:
        size, rule = self.batch_size * self.world_size, self.last_batch
        steps = None if rule == "span" else steps_per_epoch(self.sampler.length, size, rule)
        object.__setattr__(self, "global_batch_size", size)
        object.__setattr__(self, "steps_per_epoch", steps)

    @property
    def last_step(self) -> int:
        """The last step that a run may begin at: its rows, and many after them, have numbers that NumPy can hold."""
        return 2**62 // max(self.global_batch_size, self.sampler.length)

    def epoch_and_step(self, step: int) -> tuple[int, int]:
        """Return in which epoch a batch begins, and as which of its steps."""
        if self.last_batch == "span":
            epoch, place = divmod(step * self.global_batch_size, self.sampler.length)
            return epoch, -(-place // self.global_batch_size)
        return divmod(step, self._steps())

    def place(self, step: int) -> str:
        """Return where a batch is, in words."""
        return "epoch {}, step {}".format(*self.epoch_and_step(step))

    def rows_before(self, step: int) -> int:
        """Return how many rows this rank's batches before `step` have."""
        if self.last_batch != "keep":
            return step * self.batch_size
        epoch, place = divmod(step, self._steps())
        return epoch * self.sampler.length + place * self.batch_size

    def num_dropped(self, step: int) -> int:
        """Return how many rows that would be this rank's are left out after a batch: none but after an epoch's last."""
        if self.last_batch != "drop" or (step + 1) % self._steps():
            return 0
        left_out = self.sampler.length % self.global_batch_size
        return min(max(0, left_out - self.rank * self.batch_size), self.batch_size)

    def indices(self, step: int) -> tuple[np.ndarray, int]:
        """Return a batch's indices, int64 of shape [rows], and how many of them are samples, not filling."""
        start, size, length = self._line_start(step), self.batch_size, self.sampler.length
        if self._is_whole(step):
            return self._line(start, start + size), size
        epoch_start = step // self._steps() * length
        places = np.arange(start, start + size) - epoch_start
        num_samples = max(0, min(length - int(places[0]), size))
        if self.last_batch == "keep":
            places = places[:num_samples]
        elif self.last_batch == "pad":
            places = np.minimum(places, length - 1)
        else:  # "wrap": the rows before this global batch
            places = np.where(places < length, places, (places - self.global_batch_size) % length)
        low, high = int(places.min()), int(places.max()) + 1
        return self._line(epoch_start + low, epoch_start + high)[places - low], num_samples

    def keys(self, step: int, indices: np.ndarray, num_samples: int) -> np.ndarray:
        """Return the keys of a batch's rows, uint64 of shape [rows].

        A row that fills up has the key of its place, beyond those of all samples: not that of the row it repeats.
        """
        assert self.key_seed is not None
        places = self._line_start(step) + np.arange(len(indices))
        if self.last_batch == "span":
            return row_keys(indices, seed=self.key_seed, epoch=places // self.sampler.length)
        epoch = step // self._steps()
        is_sample = np.arange(len(indices)) < num_samples
        numbers = np.where(is_sample, indices, places - epoch * self.sampler.length)
        return row_keys(numbers, seed=self.key_seed, epoch=epoch)

    def batches(self, step: int, end_step: int | None) -> Iterator[tuple[int, np.ndarray, int]]:
        """Yield (step, indices, number of samples among them) for the batches from `step` on."""
        together = max(1, _PLANNED_TOGETHER // self.batch_size) if self.world_size == 1 else 1
        while end_step is None or step < end_step:
            last = step + together - 1
            if together > 1 and (end_step is None or last < end_step) and self._are_one_range(step, last):
                start = self._line_start(step)
                joined = self._line(start, start + together * self.batch_size)
                for place in range(0, len(joined), self.batch_size):
                    yield step, joined[place : place + self.batch_size], self.batch_size
                    step += 1
            else:
                yield step, *self.indices(step)
                step += 1

    def _line(self, start: int, stop: int) -> np.ndarray:
        """Return what the sampler says of positions [start, stop), once that is known to be indices of items."""
        found, length = np.asarray(self.sampler.indices(start, stop)), self.sampler.length
        name = type(self.sampler).__name__
        if found.dtype.kind not in "iu" or found.shape != (stop - start,):
            shown = f"{found.dtype} of shape {list(found.shape)}"
            raise TypeError(
                f"{name}.indices({start}, {stop}) must return integers of shape [{stop - start}], got {shown}"
            )
        found = found.astype(np.int64, copy=False)
        # Read without their sign, negative ones are larger than any length.
        if np.maximum.reduce(found.view(np.uint64)) >= length:
            outside = found[(found < 0) | (found >= length)][0]
            raise IndexError(f"{name}.indices({start}, {stop}) has {outside}, and there are items 0 to {length - 1:,}")
        return found

    def _steps(self) -> int:
        steps = self.steps_per_epoch
        assert steps is not None
        return steps

    def _line_start(self, step: int) -> int:
        place = self.rank * self.batch_size
        if self.last_batch == "span":
            return step * self.global_batch_size + place
        epoch, step_of_epoch = divmod(step, self._steps())
        return epoch * self.sampler.length + step_of_epoch * self.global_batch_size + place

    def _is_whole(self, step: int) -> bool:
        """Tell whether this rank's batch needs no filling, and lacks nothing."""
        if self.last_batch == "span":
            return True
        epoch_end = (step // self._steps() + 1) * self.sampler.length
        return self._line_start(step) + self.batch_size <= epoch_end

    def _are_one_range(self, step: int, last: int) -> bool:
        if self.last_batch == "span":
            return True
        return step // self._steps() == last // self._steps() and self._is_whole(last)


@dataclass(slots=True)  # not frozen: that doubles what making one costs, and there is one for each batch
class ItemGroup:
    """Consecutive batches that are taken together."""

    step: int  # of the first
    indices: np.ndarray  # of all their rows, int64 of shape [rows]
    sizes: list[int]  # how many rows each batch has
    num_samples: list[int]  # how many of each batch's rows are samples, not filling
    num_dropped: list[int]  # how many rows are left out after each batch, by the rule for an epoch's last
    keys: np.ndarray | None = None  # of all their rows, uint64 of shape [rows]; None where nobody asks

    def __len__(self) -> int:
        return len(self.sizes)

    def split(self) -> list[ItemGroup]:
        """Return its batches, each as a group of its own."""
        stops = np.cumsum(self.sizes)[:-1]
        keys = [None] * len(self.sizes) if self.keys is None else np.split(self.keys, stops)
        parts = zip(np.split(self.indices, stops), self.sizes, self.num_samples, self.num_dropped, keys, strict=True)
        return [
            ItemGroup(self.step + k, rows, [size], [number], [dropped], key)
            for k, (rows, size, number, dropped, key) in enumerate(parts)
        ]


def item_groups(
    plan: ItemPlan, step: int, end_step: int | None, *, num_together: Callable[[], int]
) -> Iterator[ItemGroup]:
    """Yield the batches from `step` to `end_step`, `num_together()` at a time; it may answer otherwise each time."""
    waiting: list[tuple[int, np.ndarray, int]] = []
    for batch in plan.batches(step, end_step):
        waiting.append(batch)
        if len(waiting) >= num_together():
            yield _together(plan, waiting)
            waiting = []
    if waiting:
        yield _together(plan, waiting)


def _together(plan: ItemPlan, batches: list[tuple[int, np.ndarray, int]]) -> ItemGroup:
    parts = [indices for _, indices, _ in batches]
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
    keys = None if plan.key_seed is None else np.concatenate([plan.keys(*batch) for batch in batches])
    return ItemGroup(
        step=batches[0][0],
        indices=joined,
        sizes=[len(part) for part in parts],
        num_samples=[number for _, _, number in batches],
        num_dropped=[plan.num_dropped(step) for step, _, _ in batches],
        keys=keys,
    )


def item_state_of(position: ItemPosition, plan: ItemPlan) -> dict[str, Any]:
    """Return the state at `position`: JSON of less than 2 KB, the same on all ranks.

    It holds nothing that the order does not depend on: no worker counts, no prefetch_size, no num_epochs, no rank.
    """
    where = {"version": STATE_VERSION, "step": position.steps_done, "ended": position.ended}
    return {**where, **_order(plan), "order_digest": order_digest()}


def item_position_from_state(state: Mapping[str, Any], plan: ItemPlan) -> ItemPosition:
    """Return the position that `state` holds.

    Raises:
      StateError: the state was saved under another order, or is none.
    """
    mine = _order(plan)
    check_complete(state, ["step", "ended", *mine, "order_digest"])
    check_same_order(state, mine, remedy=lambda differing: "Make them the same")
    step, ended = state["step"], state["ended"]
    if type(step) is not int or step < 0 or type(ended) is not bool:
        what = f"the state has step={step!r}, ended={ended!r}."
        raise StateError(what, UNCHANGED)
    if step > plan.last_step:
        raise StateError(f"the state has step={step}, farther than any run comes.", UNCHANGED)
    return ItemPosition(step, ended)


def _order(plan: ItemPlan) -> dict[str, Any]:
    return {
        "length": plan.sampler.length,
        "sampler": plan.sampler.identity,
        "global_batch_size": plan.global_batch_size,
        "last_batch": plan.last_batch,
    }
