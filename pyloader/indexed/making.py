"""Making: the rows of several batches are taken at once, and each batch is made of its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from pyloader.errors import CollateError, CoverageError
from pyloader.indexed.collating import columns_of_items
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows, num_rows, sliced_rows
from pyloader.plan import ItemGroup, ItemPosition
from pyloader.run.handover import MadeGroup, Pace
from pyloader.run.replacements import with_replacements

__all__ = ["STAGES", "MadeItems", "MakeBatches", "group_making", "made_batches"]

STAGES = ("take", "transform", "collate")


@dataclass(slots=True, kw_only=True)
class MadeItems(MadeGroup[ItemPosition]):
    """What was made of a group of items.

    Attributes:
      batches: In order; those that the loop has are not among them.
    """

    batches: deque[Any] = field(default_factory=deque)

    def batch(self, number: int) -> Any:
        """Return the next batch, and hold it no longer."""
        return self.batches.popleft()

    def after(self, position: ItemPosition, number: int) -> ItemPosition:
        """Return the position after the next batch."""
        return ItemPosition(position.steps_done + 1)

    def extend(self, other: MadeItems) -> None:
        """Add the batches that follow."""
        self.sizes += other.sizes
        self.batches += other.batches
        self.seconds = tuple(mine + theirs for mine, theirs in zip(self.seconds, other.seconds, strict=True))
        self.num_dropped += other.num_dropped
        self.num_filled += other.num_filled
        self.num_stand_ins += other.num_stand_ins
        self.left_out = [*(self.left_out or ()), *(other.left_out or ({},))]


# Makes all batches of a group, or raises.
MakeBatches: TypeAlias = "Callable[[ItemGroup], MadeItems]"


def made_batches(
    source: Dataset[Any],
    transform: Callable[..., Any] | None,
    collate: Callable[[Any], Any] | None,
    adds_mask: bool,
    skips: bool,
    group: ItemGroup,
) -> MadeItems:
    """Make all batches of a group, here or in another process.

    Args:
      source: Rows are taken from it.
      transform: Changes a batch's rows; gets their `keys` too, where the group has them.  None changes nothing.
      collate: Makes the batch of them.  None leaves them as they are.
      adds_mask: Whether each batch gets a bool "mask", which is False on filling.
      skips: Whether an item that cannot be taken is left out, where the group is a single batch.
      group: Which rows make which batches.

    Raises:
      CoverageError: `source` returned another number of rows.
      Exception: whatever one of them raised.
    """
    begun = time.perf_counter()
    num_rows = len(group.indices)
    bad: dict[int, Exception] = {}
    if skips and len(group.sizes) == 1:
        rows, _, bad = with_replacements(lambda some, _: _taken(source, group.indices[some]), num_rows)
    else:
        rows = _taken(source, group.indices)
    made = MadeItems(
        sizes=group.sizes, num_dropped=sum(group.num_dropped), num_filled=num_rows - sum(group.num_samples)
    )
    if bad:
        made.left_out = [{int(group.indices[row]): f"{type(exc).__name__}: {exc}" for row, exc in bad.items()}]
        made.num_stand_ins = sum(row < group.num_samples[0] for row in bad)  # not of those that fill up
    taking, transforming, collating = time.perf_counter() - begun, 0.0, 0.0
    start = 0
    for size, num_samples in zip(group.sizes, group.num_samples, strict=True):
        begun = time.perf_counter()
        stop = start + size
        mine = rows if len(group.sizes) == 1 else sliced_rows(rows, start, stop)
        if adds_mask:
            mask = np.arange(size) < num_samples
            mask[list(bad)] = False
            mine = _with_mask(mine, mask)
        if transform is not None:
            mine = transform(mine) if group.keys is None else transform(mine, keys=group.keys[start:stop])
        transformed = time.perf_counter()
        made.batches.append(mine if collate is None else collate(mine))
        transforming += transformed - begun
        collating += time.perf_counter() - transformed
        start = stop
    made.seconds = (taking, transforming, collating)
    return made


def group_making(make: MakeBatches, *, place: Callable[[int], str], pace: Pace) -> Callable[[ItemGroup], MadeItems]:
    """Return the function that makes the batches of a group as far as they can be made.

    Args:
      make: Makes all of them.
      place: Says where in the run a step is, for errors.
      pace: Is told how long groups take.
    """

    def make_single(group: ItemGroup) -> MadeItems:
        try:
            return make(group)
        except StopIteration as exc:  # it would end the run without a word
            raise RuntimeError(f"StopIteration was raised while a batch was made ({place(group.step)})") from exc
        except Exception as exc:
            exc.add_note(f"pyloader: while a batch was made ({place(group.step)})")
            raise

    def one_by_one(group: ItemGroup) -> MadeItems:
        made = MadeItems(sizes=[], seconds=(0.0,) * len(STAGES))
        try:
            for single in group.split():
                try:
                    made.extend(make_single(single))
                except Exception as exc:
                    made.error = exc
                    break
            return made
        finally:
            del made  # the error's traceback holds this frame, which must not hold the error

    def make_group(group: ItemGroup) -> MadeItems:
        begun, is_single = time.perf_counter(), len(group.sizes) == 1
        try:
            made = make_single(group) if is_single else make(group)
        except Exception:
            if is_single:
                raise
            made = one_by_one(group)  # those before the one that failed are good, and are to come before the error
        made.weight = len(group.sizes)  # also of those that failed
        pace.made(len(group.sizes), time.perf_counter() - begun)
        return made

    return make_group


def _taken(source: Dataset[Any], indices: np.ndarray) -> Rows:
    rows = source.take_within(indices)  # the plan has seen to it that they are
    if (found := num_rows(rows)) != len(indices):
        what = f"take was asked for {len(indices):,} rows and returned {found:,}."
        raise CoverageError(what, "It must return every row")
    return rows


def _with_mask(rows: Rows, is_sample: np.ndarray) -> Rows:
    if isinstance(rows, list):
        rows = columns_of_items(rows) or rows
    if not isinstance(rows, dict):
        what = "last_batch='pad' adds a column 'mask', and the batches have no columns."
        raise CollateError(what, 'Give the dataset a name: DataLoader({"data": dataset}, ...)')
    if "mask" in rows:
        raise CollateError("last_batch='pad' adds a column 'mask', and the dataset has one.", "Give it another name")
    return {**rows, "mask": is_sample}
