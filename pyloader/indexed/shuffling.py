"""Shuffling: the items in an order that a seed decides."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.views import View
from pyloader.plan.permutation import Permutation
from pyloader.plan.seeds import SHUFFLE

__all__ = ["ShuffledDataset"]

Item = TypeVar("Item")


class ShuffledDataset(View[Item]):
    """All items, each once, in another order.

    Args:
      dataset: Whose items.
      seed: An integer >= 0, or a JAX key.
      key: The same, as loadax called it.
    """

    def __init__(self, dataset: Dataset[Item], seed: Any = 42, *, key: Any = None) -> None:
        super().__init__(dataset)
        self._permutation = Permutation(len(self.dataset), seed if key is None else key, SHUFFLE)

    def __len__(self) -> int:
        return len(self.dataset)

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return self._permutation(indices)
