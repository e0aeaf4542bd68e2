"""Mixing: several datasets interleaved, in a ratio that holds exactly.

Which dataset comes at which step is a function of the step.  The pattern repeats: in each period every dataset has its
share of the steps, spread evenly, and each goes on where it left off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows, rows_by_source
from pyloader.indexed.several import SeveralDatasets
from pyloader.options import checked_integer

__all__ = ["MixedDataset", "largest_remainder"]

Item = TypeVar("Item")

_PERIOD = 10_000


class MixedDataset(SeveralDatasets[Item]):
    """Items of several datasets in the ratio of their weights.

    >>> list(MixedDataset([[1, 2, 3, 4], ["a", "b"]], weights=[2, 1]))
    [1, 'a', 2, 3, 'b', 4]

    Args:
      datasets: Each starts over at its end.  None may be empty.
      weights: One for each, above 0.  Integers with a sum of up to 10,000 hold exactly; others are rounded to
        ten-thousandths by largest remainder.
      length: How many items; None for as many as there are until a dataset would start over.

    Raises:
      ValueError: the numbers of datasets and weights differ; a dataset is empty; a weight is not above 0, or so small
        that it would never come.
    """

    def __init__(
        self, datasets: Sequence[Dataset[Item]], weights: Sequence[float], *, length: int | None = None
    ) -> None:
        super().__init__(datasets)
        if len(self.datasets) != len(weights) or not self.datasets:
            raise ValueError(f"mix needs one weight for each dataset, got {len(self.datasets)} and {len(weights)}")
        for index, dataset in enumerate(self.datasets):
            if not len(dataset):
                raise ValueError(f"dataset {index} of the mix is empty; leave it out")
        self._counts = _counts(weights)
        self._pattern, self._earlier = _pattern(self._counts)
        self._length = self._until_one_ends() if length is None else checked_integer("length", length, at_least=0)

    def __len__(self) -> int:
        return self._length

    def take(self, indices: np.ndarray) -> Rows:
        """Return the items at `indices`, with one `take` on each dataset that has some of them."""
        periods, steps = np.divmod(indices, len(self._pattern))

        def taken(source: int, positions: np.ndarray) -> Rows:
            counted = periods[positions] * self._counts[source] + self._earlier[steps[positions]]
            return self.datasets[source].take_within(counted % len(self.datasets[source]))

        return rows_by_source(self._pattern[steps], taken)

    def _until_one_ends(self) -> int:
        ends = []
        for source, dataset in enumerate(self.datasets):
            periods, rest = divmod(len(dataset), int(self._counts[source]))
            ends.append(periods * len(self._pattern) + int(np.flatnonzero(self._pattern == source)[rest]))
        return min(ends)


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
    sources = np.repeat(np.arange(len(counts)), counts)
    earlier = np.concatenate([np.arange(count) for count in counts])
    order = np.argsort((earlier + 0.5) / counts[sources], kind="stable")
    return sources[order], earlier[order]
