"""Filtering: the items for which a function says yes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import tqdm

from pyloader.deliver import Once
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import items_of
from pyloader.indexed.views import View

__all__ = ["FilteredDataset"]

Item = TypeVar("Item")

_READ_TOGETHER = 1024


class FilteredDataset(View[Item]):
    """The items for which `pred(item)` is true.

    When it is first used, every item is read once, and the indices are kept: 8 bytes for each that stays.

    Args:
      dataset: Whose items.
      pred: Called once for each item.
      progress: Whether a bar is shown meanwhile, on stderr; None for on terminals only.
    """

    def __init__(self, dataset: Dataset[Item], pred: Callable[[Item], bool], *, progress: bool | None = None) -> None:
        super().__init__(dataset)
        self._pred, self._progress = pred, progress
        self._kept = Once(self._find)

    def __len__(self) -> int:
        return len(self._kept())

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return self._kept().take(indices)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dataset!r})"  # without the length, which may take a while

    def _find(self) -> np.ndarray:
        total = len(self.dataset)
        hidden = None if self._progress is None else not self._progress
        kept = [np.empty(0, np.int64)]
        with tqdm.tqdm(total=total, desc="filter", unit=" items", disable=hidden) as bar:
            for start in range(0, total, _READ_TOGETHER):
                indices = np.arange(start, min(start + _READ_TOGETHER, total))
                stays = [bool(self._pred(item)) for item in items_of(self.dataset.take_within(indices))]
                kept.append(indices[np.array(stays, bool)])
                bar.update(len(indices))
        return np.concatenate(kept)
