"""Views: datasets whose items are another dataset's, at other indices."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.rows import Rows

__all__ = ["View"]

Item = TypeVar("Item")


class View(Dataset[Item]):
    """A dataset's items in another order, fewer of them, or several times.  Subclass it and write `source_indices`.

    Args:
      dataset: Whose items; anything with len() and [index].
    """

    def __init__(self, dataset: Dataset[Item]) -> None:
        self.dataset: Dataset[Any] = as_dataset(dataset)

    @abstractmethod
    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        """Return where the items at `indices` are in the other dataset; int64, both ways."""

    def take(self, indices: np.ndarray) -> Rows:
        return self.dataset.take_within(self.source_indices(indices))

    def close(self) -> None:
        self.dataset.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dataset!r}, {len(self):,} items)"
