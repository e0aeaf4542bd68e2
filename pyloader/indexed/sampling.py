"""Sampling: some items, drawn at random; an index is the same item whenever it is read."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.views import View
from pyloader.options import checked_integer
from pyloader.plan.permutation import Permutation
from pyloader.plan.seeds import SAMPLE, mixed_bits, seed_number

__all__ = ["SampledDataset", "SampledDatasetWithReplacement", "SampledDatasetWithoutReplacement"]

Item = TypeVar("Item")


class SampledDatasetWithoutReplacement(View[Item]):
    """Different items, in random order.

    Args:
      dataset: Whose items.
      sample_size: How many, at most len(dataset).
      seed: An integer >= 0, or a JAX key.
      key: The same, as loadax called it.

    Raises:
      ValueError: sample_size is below 0, or more than there are.
    """

    def __init__(self, dataset: Dataset[Item], sample_size: int, seed: Any = 42, *, key: Any = None) -> None:
        super().__init__(dataset)
        self._size = checked_integer("sample_size", sample_size, at_least=0)
        if self._size > len(self.dataset):
            what = f"sample_size={sample_size:,} is more than the {len(self.dataset):,} items"
            raise ValueError(f"{what}; sample with replacement=True, or fewer")
        self._permutation = Permutation(len(self.dataset), seed if key is None else key, SAMPLE)

    def __len__(self) -> int:
        return self._size

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return self._permutation(indices)


SampledDataset = SampledDatasetWithoutReplacement


class SampledDatasetWithReplacement(View[Item]):
    """Items drawn one by one from all of them, so that one may come several times.

    Args:
      dataset: Whose items; at least one.
      sample_size: How many.
      seed: An integer >= 0, or a JAX key.
      key: The same, as loadax called it.

    Raises:
      ValueError: sample_size is below 0, or there is nothing to draw from.
    """

    def __init__(self, dataset: Dataset[Item], sample_size: int, seed: Any = 42, *, key: Any = None) -> None:
        super().__init__(dataset)
        self._size = checked_integer("sample_size", sample_size, at_least=0)
        self._seed = seed_number(seed if key is None else key)
        if self._size and not len(self.dataset):
            raise ValueError("the dataset has no items to draw from")

    def __len__(self) -> int:
        return self._size

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        bits = mixed_bits(indices, self._seed, SAMPLE)
        return (bits % np.uint64(len(self.dataset))).astype(np.int64)
