"""Mixing: several datasets interleaved, in a ratio that holds exactly.

Which dataset comes at which step is a function of the step.  The pattern repeats: it is a period of the schedule of
mixtures (`plan/schedule.py`), in which every dataset has its share of the steps, and each goes on where it left off.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows, rows_by_source
from pyloader.indexed.several import SeveralDatasets
from pyloader.options import checked_integer, checked_word
from pyloader.plan import Mark, Schedule, Shares

__all__ = ["MixedDataset", "largest_remainder"]

Item = TypeVar("Item")

_PERIOD = 10_000
_log = logging.getLogger("pyloader")


class MixedDataset(SeveralDatasets[Item]):
    """Items of several datasets in the ratio of their weights: each is within one item of its share at every index.

    >>> list(MixedDataset([[1, 2, 3, 4], ["a", "b"]], weights=[2, 1]))
    [1, 2, 'a', 3, 4, 'b']

    Args:
      datasets: None may be empty.
      weights: One for each, above 0.  Integers with a sum of up to 10,000 hold exactly; others are rounded to
        ten-thousandths by largest remainder.
      length: How many items, where a dataset starts over at its end; None goes by `on_exhausted`.
      on_exhausted: "stop": as many items as there are until a dataset would start over.  "drop": all items; where a
        dataset ends the others go on, in the ratio of their weights.  None is "stop", with a line in the log that says
        how many items are left out.

    Raises:
      ValueError: the numbers of datasets and weights differ; a dataset is empty; a weight is not above 0, or so small
        that it would never come.
    """

    is_thread_safe = True

    def __init__(
        self,
        datasets: Sequence[Dataset[Item]],
        weights: Sequence[float],
        *,
        length: int | None = None,
        on_exhausted: str | None = None,
    ) -> None:
        super().__init__(datasets)
        if len(self.datasets) != len(weights) or not self.datasets:
            raise ValueError(f"mix needs one weight for each dataset, got {len(self.datasets)} and {len(weights)}")
        for index, dataset in enumerate(self.datasets):
            if not len(dataset):
                raise ValueError(f"dataset {index} of the mix is empty; leave it out")
        rule = checked_word("on_exhausted", on_exhausted or "stop", "stop", "drop")
        if length is not None and on_exhausted is not None:
            raise ValueError("length= says that datasets start over, and on_exhausted= that they do not: give one")
        self._stretches = _stretches(_counts(weights), list(map(len, self.datasets)), is_all=rule == "drop")
        self._length = self._stretches[-1].stop if length is None else checked_integer("length", length, at_least=0)
        left_out = sum(map(len, self.datasets)) - self._length
        if length is None and on_exhausted is None and left_out:
            what = (
                "a mix has %s items, until a dataset ends; %s of the others are left out. on_exhausted='drop' has all"
            )
            _log.warning(what, f"{self._length:,}", f"{left_out:,}")

    def __len__(self) -> int:
        return self._length

    def take(self, indices: np.ndarray) -> Rows:
        """Return the items at `indices`, with one `take` on each dataset that has some of them."""
        starts = [stretch.start for stretch in self._stretches]
        of = np.searchsorted(starts, indices, side="right") - 1
        source, place = np.empty((2, len(indices)), np.int64)
        for number in np.unique(of):
            mine = of == number
            source[mine], place[mine] = self._stretches[number].places(indices[mine])

        def taken(dataset: int, positions: np.ndarray) -> Rows:
            return self.datasets[dataset].take_within(place[positions] % len(self.datasets[dataset]))

        return rows_by_source(source, taken)


@dataclass(frozen=True)
class _Stretch:
    """Items from `start` up to `stop`, where a dataset ends; a pattern, over and over."""

    start: int
    stop: int
    before: np.ndarray  # int64 [datasets]: how many items of each came before
    counts: np.ndarray  # int64 [datasets]: how many come in a period
    pattern: np.ndarray  # int64 [period]: which dataset comes
    earlier: np.ndarray  # int64 [period]: how many of the same came earlier in the period

    def places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which dataset each item is of, and which of its items, counted on where it starts over."""
        periods, steps = np.divmod(indices - self.start, len(self.pattern))
        source = self.pattern[steps]
        return source, self.before[source] + periods * self.counts[source] + self.earlier[steps]


def _stretches(counts: np.ndarray, sizes: Sequence[int], *, is_all: bool) -> list[_Stretch]:
    """Return the stretches of a mix, up to the first dataset's end or to that of all."""
    found: list[_Stretch] = []
    start, before = 0, np.zeros(len(counts), np.int64)
    while (left := np.flatnonzero(before < sizes)).size and (is_all or not found):
        mine = np.zeros_like(counts)
        mine[left] = counts[left] // np.gcd.reduce(counts[left])
        pattern, earlier = _pattern(mine)
        ends = []
        for source in left.tolist():
            periods, rest = divmod(int(sizes[source] - before[source]), int(mine[source]))
            ends.append(periods * len(pattern) + int(np.flatnonzero(pattern == source)[rest]))
        length = min(ends)
        found.append(_Stretch(start, start + length, before, mine, pattern, earlier))
        periods, rest = divmod(length, len(pattern))
        before = before + periods * mine + np.bincount(pattern[:rest], minlength=len(counts))
        start += length
    return found


def largest_remainder(weights: Sequence[float], total: int) -> np.ndarray:
    """Return how `total` is shared out in the ratio of `weights`: int64 array, each within 1 of its share.

    Every share is rounded down, and what is left goes to those that lost most; of equals, to the first.
    """
    shares = np.asarray(weights, np.float64) / math.fsum(weights) * total
    counts = np.floor(shares).astype(np.int64)
    losers = np.argsort(counts - shares, kind="stable")[: total - int(counts.sum())]
    counts[losers] += 1
    return counts


def _counts(weights: Sequence[float]) -> np.ndarray:
    """Return how often each dataset comes in a period."""
    for weight in weights:
        if not (weight > 0 and math.isfinite(weight)):
            raise ValueError(f"weights must be above 0, got {weight}")
    if all(float(weight).is_integer() for weight in weights) and sum(weights) <= _PERIOD:
        whole = np.array(weights, np.int64)
        return whole // np.gcd.reduce(whole)  # type: ignore[no-any-return]
    counts = largest_remainder(weights, _PERIOD)
    if not counts.all():
        lost = weights[int(np.argmin(counts))]
        raise ValueError(f"the weight {lost} is less than 1/{_PERIOD:,} of all, and would never come; leave it out")
    return counts


def _pattern(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each step of a period, which dataset comes, and how many of the same came earlier in the period."""
    whole = int(counts.sum())
    shares = Shares((0,), (tuple(counts.tolist()),), whole)
    schedule = Schedule(
        shares=shares, share=1, rows=(1,) * len(counts), on_exhausted="repeat", last_batch="drop", num_steps=whole
    )
    rows = np.array([mark.rows for mark in schedule.marks(Mark.first(len(counts)))])
    pattern = np.argmax(np.diff(rows, axis=0, prepend=0), axis=1)
    return pattern, rows[np.arange(whole), pattern] - 1
