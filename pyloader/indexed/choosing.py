"""Choosing: the items for which a function says yes, and items to train on and to test with, told apart by a hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import tqdm
import xxhash

from pyloader.deliver import Once
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.rows import items_of
from pyloader.indexed.views import View
from pyloader.plan.seeds import SPLIT, mixed_bits, seed_number

__all__ = ["ChosenDataset", "FilteredDataset", "train_test_split"]

Item = TypeVar("Item")

_READ_TOGETHER = 1024


class ChosenDataset(View[Item]):
    """The items at `chosen`, an int64 array of indices, in that order."""

    is_thread_safe = True

    def __init__(self, dataset: Dataset[Item], chosen: np.ndarray) -> None:
        super().__init__(dataset)
        self._chosen = chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return self._chosen.take(indices)


class FilteredDataset(View[Item]):
    """The items for which `pred(item)` is true.

    When it is first used, every item is read once, and the indices are kept: 8 bytes for each that stays.

    Args:
      dataset: Whose items.
      pred: Called once for each item.
      progress: Whether a bar is shown meanwhile, on stderr; None for on terminals only.
    """

    is_thread_safe = True

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
        hidden = None if self._progress is None else not self._progress
        kept = [np.empty(0, np.int64)]
        with tqdm.tqdm(total=len(self.dataset), desc="filter", unit=" items", disable=hidden) as bar:
            for indices in _stretches(len(self.dataset)):
                stays = [bool(self._pred(item)) for item in items_of(self.dataset.take_within(indices))]
                kept.append(indices[np.array(stays, bool)])
                bar.update(len(indices))
        return np.concatenate(kept)


def train_test_split(
    dataset: Dataset[Item],
    fraction: float = 0.1,
    *,
    seed: Any = 42,
    key: Callable[[Item], str | int | bytes] | None = None,
) -> tuple[ChosenDataset[Item], ChosenDataset[Item]]:
    """Return (train, test).

    Each item goes where its hash says, whatever the others are: a dataset that grows moves none of them across.  The
    indices are kept, 8 bytes an item.

    Args:
      dataset: Whose items.
      fraction: About how much of it goes to test, in (0, 1).
      seed: An integer >= 0, or a JAX key.
      key: What is hashed of an item; equal keys stay together.  Every item is read once.  None for the index.

    Raises:
      ValueError: fraction is not in (0, 1).
      TypeError: a key is no str, int or bytes.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be in (0, 1), got {fraction}; 0.1 puts a tenth aside for testing")
    source = as_dataset(dataset)
    parts = [np.zeros(0, bool)]
    for indices in _stretches(len(source)):
        hashed = indices if key is None else _hashes(list(map(key, items_of(source.take_within(indices)))))
        parts.append(mixed_bits(hashed, seed_number(seed), SPLIT) < np.uint64(fraction * 2**64))
    is_test = np.concatenate(parts)
    return ChosenDataset(source, np.flatnonzero(~is_test)), ChosenDataset(source, np.flatnonzero(is_test))


def _stretches(length: int) -> Iterator[np.ndarray]:
    """Yield all indices, some at a time."""
    for start in range(0, length, _READ_TOGETHER):
        yield np.arange(start, min(start + _READ_TOGETHER, length))


def _hashes(keys: list[Any]) -> np.ndarray:
    for key in keys:
        if not isinstance(key, str | int | bytes | np.integer):
            raise TypeError(f"key(item) must be a str, int or bytes, got {type(key).__name__}")
    texts = [key if isinstance(key, bytes) else str(key).encode("utf-8", "surrogateescape") for key in keys]
    return np.fromiter(map(xxhash.xxh3_64_intdigest, texts), np.uint64, len(texts))
