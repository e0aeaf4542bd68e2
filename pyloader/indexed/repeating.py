"""Repeating: the items several times over."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.views import View
from pyloader.options import checked_integer

__all__ = ["RepeatedDataset"]

Item = TypeVar("Item")


class RepeatedDataset(View[Item]):
    """All items, then all of them again, `times` over."""

    def __init__(self, dataset: Dataset[Item], times: int) -> None:
        super().__init__(dataset)
        self._times = checked_integer("times", times, at_least=1)

    def __len__(self) -> int:
        return len(self.dataset) * self._times

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return indices % len(self.dataset)
