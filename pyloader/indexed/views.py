"""Views: datasets whose items are another dataset's, at other indices."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.rows import Rows
from pyloader.options import checked_integer
from pyloader.plan.permutation import Permutation
from pyloader.plan.seeds import SAMPLE, SHUFFLE, mixed_bits, seed_number

__all__ = [
    "DerivedDataset",
    "RepeatedDataset",
    "SampledDatasetWithReplacement",
    "SampledDatasetWithoutReplacement",
    "ShuffledDataset",
    "View",
]

Item = TypeVar("Item")


class DerivedDataset(Dataset[Item]):
    """A dataset that is made of one other, has its length, and is closed with it.

    Args:
      dataset: Anything with len() and [index].
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset: Dataset[Any] = as_dataset(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def close(self) -> None:
        self.dataset.close()

    def __repr__(self) -> str:  # without the length, which may take a while
        return f"{type(self).__name__}({self.dataset!r})"


class View(DerivedDataset[Item]):
    """A dataset's items in another order, fewer of them, or several times.  Subclass it and write `source_indices`."""

    @abstractmethod
    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        """Return where the items at `indices` are in the other dataset; int64, both ways."""

    def take(self, indices: np.ndarray) -> Rows:
        return self.dataset.take_within(self.source_indices(indices))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dataset!r}, {len(self):,} items)"


class RepeatedDataset(View[Item]):
    """All items, then all of them again, `times` over."""

    is_thread_safe = True

    def __init__(self, dataset: Dataset[Item], times: int) -> None:
        super().__init__(dataset)
        self._times = checked_integer("times", times, at_least=1)

    def __len__(self) -> int:
        return len(self.dataset) * self._times

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return indices % len(self.dataset)


class ShuffledDataset(View[Item]):
    """All items, each once, in another order.

    Args:
      dataset: Whose items.
      seed: An integer >= 0, or a JAX key.
      key: The same, as loadax called it.
    """

    is_thread_safe = True

    def __init__(self, dataset: Dataset[Item], seed: Any = 42, *, key: Any = None) -> None:
        super().__init__(dataset)
        self._permutation = Permutation(len(self.dataset), seed if key is None else key, SHUFFLE)

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return self._permutation(indices)


class _Sample(View[Item]):
    """Items drawn at random: the same index is always the same item."""

    def __init__(self, dataset: Dataset[Item], sample_size: int, seed: Any = 42, *, key: Any = None) -> None:
        super().__init__(dataset)
        self._size = checked_integer("sample_size", sample_size, at_least=0)
        self._draw_from(len(self.dataset), seed if key is None else key)

    @abstractmethod
    def _draw_from(self, num_items: int, seed: Any) -> None:
        """Prepare to draw."""

    def __len__(self) -> int:
        return self._size


class SampledDatasetWithoutReplacement(_Sample[Item]):
    """Different items, in random order.

    Args:
      dataset: Whose items.
      sample_size: How many, at most len(dataset).
      seed: An integer >= 0, or a JAX key.
      key: The same, as loadax called it.

    Raises:
      ValueError: sample_size is below 0, or more than there are.
    """

    is_thread_safe = True

    def _draw_from(self, num_items: int, seed: Any) -> None:
        if self._size > num_items:
            what = f"sample_size={self._size:,} is more than the {num_items:,} items"
            raise ValueError(f"{what}; sample with replacement=True, or fewer")
        self._permutation = Permutation(num_items, seed, SAMPLE)

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return self._permutation(indices)


class SampledDatasetWithReplacement(_Sample[Item]):
    """Items drawn one by one from all of them, so that one may come several times.

    Args:
      dataset: Whose items; at least one.
      sample_size: How many.
      seed: An integer >= 0, or a JAX key.
      key: The same, as loadax called it.

    Raises:
      ValueError: sample_size is below 0, or there is nothing to draw from.
    """

    is_thread_safe = True

    def _draw_from(self, num_items: int, seed: Any) -> None:
        self._seed = seed_number(seed)
        if self._size and not num_items:
            raise ValueError("the dataset has no items to draw from")

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        bits = mixed_bits(indices, self._seed, SAMPLE)
        return (bits % np.uint64(len(self.dataset))).astype(np.int64)
