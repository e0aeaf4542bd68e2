"""Splitting: items to train on and items to test with, told apart by a hash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import xxhash

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.rows import items_of
from pyloader.indexed.views import View
from pyloader.plan.seeds import SPLIT, mixed_bits, seed_number

__all__ = ["ChosenDataset", "train_test_split"]

Item = TypeVar("Item")

_READ_TOGETHER = 1024


class ChosenDataset(View[Item]):
    """The items at `chosen`, an int64 array of indices, in that order."""

    def __init__(self, dataset: Dataset[Item], chosen: np.ndarray) -> None:
        super().__init__(dataset)
        self._chosen = chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return self._chosen.take(indices)


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
    for start in range(0, len(source), _READ_TOGETHER):
        indices = np.arange(start, min(start + _READ_TOGETHER, len(source)))
        hashed = indices if key is None else _hashes(list(map(key, items_of(source.take_within(indices)))))
        parts.append(mixed_bits(hashed, seed_number(seed), SPLIT) < np.uint64(fraction * 2**64))
    is_test = np.concatenate(parts)
    return ChosenDataset(source, np.flatnonzero(~is_test)), ChosenDataset(source, np.flatnonzero(is_test))


def _hashes(keys: list[Any]) -> np.ndarray:
    for key in keys:
        if not isinstance(key, str | int | bytes | np.integer):
            raise TypeError(f"key(item) must be a str, int or bytes, got {type(key).__name__}")
    texts = [key if isinstance(key, bytes) else str(key).encode("utf-8", "surrogateescape") for key in keys]
    return np.fromiter(map(xxhash.xxh3_64_intdigest, texts), np.uint64, len(texts))
