"""Mapping: a function of each item, or of each batch of them; and what was computed once, kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows, items_of, sliced_rows, taken_rows
from pyloader.indexed.views import DerivedDataset
from pyloader.options import checked_integer
from pyloader.thread_safety import is_thread_safe

__all__ = ["CachedDataset", "MappedBatchDataset", "MappedDataset"]

Item = TypeVar("Item")
Out = TypeVar("Out")


class MappedDataset(DerivedDataset[Out], Generic[Item, Out]):
    """fn(item) for every item, computed when it is read."""

    def __init__(self, dataset: Dataset[Item], fn: Callable[[Item], Out]) -> None:
        super().__init__(dataset)
        self._fn = fn

    @property
    def is_thread_safe(self) -> bool:  # type: ignore[override]
        """Whether several threads may call it at once: where its function may be called so."""
        return is_thread_safe(self._fn)

    def take(self, indices: np.ndarray) -> list[Any]:
        return list(map(self._fn, items_of(self.dataset.take_within(indices))))

    def __repr__(self) -> str:  # without the length, which may take a while
        return f"{type(self).__name__}({self.dataset!r}, {_name_of(self._fn)})"


class MappedBatchDataset(DerivedDataset[Out]):
    """fn(rows) for every batch of consecutive rows, computed when it is read.

    >>> list(MappedBatchDataset(list("abcde"), "".join, batch_size=2))
    ['ab', 'cd', 'e']

    Args:
      dataset: Whose items.
      fn: Gets rows as `take` gives them: an array, a list, or a dict of them.
      batch_size: How many rows a batch has; the last may have fewer.
    """

    def __init__(self, dataset: Dataset[Any], fn: Callable[[Any], Out], batch_size: int = 32) -> None:
        super().__init__(dataset)
        self._fn = fn
        self._batch_size = checked_integer("batch_size", batch_size, at_least=1)

    @property
    def is_thread_safe(self) -> bool:  # type: ignore[override]
        """Whether several threads may call it at once: where its function may be called so."""
        return is_thread_safe(self._fn)

    def __len__(self) -> int:
        return -(-len(self.dataset) // self._batch_size)

    def take(self, indices: np.ndarray) -> list[Any]:
        starts = indices * self._batch_size
        sizes = np.minimum(self._batch_size, len(self.dataset) - starts)
        ends = np.cumsum(sizes)
        # All rows of all batches at once: the start of each, repeated, and the place within it.
        rows = self.dataset.take_within(np.repeat(starts - ends + sizes, sizes) + np.arange(sizes.sum()))
        return [
            self._fn(sliced_rows(rows, end - size, end))
            for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)
        ]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dataset!r}, {_name_of(self._fn)}, batch_size={self._batch_size})"


class CachedDataset(DerivedDataset[Item]):
    """The same items, each taken from `dataset` when it is first read, and kept.

    In the end it takes the memory of all items that were read.
    """

    is_thread_safe = True

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


def _name_of(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", None) or repr(fn)
