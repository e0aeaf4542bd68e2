"""Caching: what has been read once stays in memory."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows, taken_rows
from pyloader.indexed.views import DerivedDataset

__all__ = ["CachedDataset"]

Item = TypeVar("Item")


class CachedDataset(DerivedDataset[Item]):
    """The same items, each taken from `dataset` when it is first read, and kept.

    In the end it takes the memory of all items that were read.
    """

    def __init__(self, dataset: Dataset[Item]) -> None:
        super().__init__(dataset)
        self._is_kept = np.zeros(len(self.dataset), bool)
        self._kept: dict[str, Any] = {}

    def take(self, indices: np.ndarray) -> Rows:
        missing = np.unique(indices[~self._is_kept[indices]])
        if missing.size or not self._kept:
            rows = self.dataset.take_within(missing)
            # setdefault: of several threads that come first, all go on with the same.
            kept = self._kept.setdefault("rows", _room_for(rows, len(self)))
            _put(kept, missing, rows)
            self._is_kept[missing] = True  # after the rows: another thread that sees it finds them
        return taken_rows(self._kept["rows"], indices)


def _room_for(rows: Rows, length: int) -> Any:
    if isinstance(rows, dict):
        return {name: _room_for(column, length) for name, column in rows.items()}
    if isinstance(rows, np.ndarray):
        return np.empty((length, *rows.shape[1:]), rows.dtype)  # takes memory where it is written to, only
    return [None] * length


def _put(kept: Any, indices: np.ndarray, rows: Any) -> None:
    if isinstance(kept, dict):
        for name, column in kept.items():
            _put(column, indices, rows[name])
    elif isinstance(kept, np.ndarray):
        kept[indices] = rows
    else:
        for index, row in zip(indices.tolist(), rows, strict=True):
            kept[index] = row
