"""Slicing: contiguous parts of a dataset, each [start, stop): one, all of them, or that of one process."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.views import View
from pyloader.options import checked_integer

__all__ = ["PartialDataset", "ShardedDataset", "compute_shard_boundaries", "split_dataset", "split_dataset_by_node"]

Item = TypeVar("Item")


class PartialDataset(View[Item]):
    """Items [start_index, end_index).

    Raises:
      ValueError: the part is empty, or not within the dataset.
    """

    is_thread_safe = True

    def __init__(self, dataset: Dataset[Item], start_index: int, end_index: int) -> None:
        super().__init__(dataset)
        if not 0 <= start_index < end_index <= len(self.dataset):
            what = f"items [{start_index:,}, {end_index:,}) are no stretch of a dataset of {len(self.dataset):,}"
            raise ValueError(f"{what}; give 0 <= start < end <= {len(self.dataset):,}")
        self.start_index, self.end_index = start_index, end_index

    def __len__(self) -> int:
        return self.end_index - self.start_index

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return indices + self.start_index

    @staticmethod
    def split(dataset: Dataset[Item], num_parts: int) -> list[PartialDataset[Item]]:
        """Return the same as `split_dataset`."""
        return split_dataset(dataset, num_parts)

    split_dataset = split


class ShardedDataset(PartialDataset[Item]):
    """One of `num_shards` contiguous parts.

    Args:
      dataset: Whose items.
      num_shards: How many parts there are.
      shard_id: Which one this is, counted from 0.
      drop_remainder: Whether all parts get the same number of items, as training in step needs it: the last
        len % num_shards items are in none of them.  Otherwise the first parts have one more.

    Raises:
      ValueError: there is no such part, or there are fewer items than parts.

    Attributes:
      num_shards, shard_id, drop_remainder: As given.
    """

    is_thread_safe = True

    def __init__(self, dataset: Dataset[Item], num_shards: int, shard_id: int, *, drop_remainder: bool = True) -> None:
        self.num_shards, self.shard_id, self.drop_remainder = num_shards, shard_id, drop_remainder
        bounds = compute_shard_boundaries(num_shards, shard_id, len(dataset), drop_remainder=drop_remainder)
        super().__init__(dataset, *bounds)

    def shard_boundaries(self) -> tuple[int, int]:
        """Return the first index of the part, and the one after its last."""
        return self.start_index, self.end_index


def split_dataset(dataset: Dataset[Item], num_parts: int) -> list[PartialDataset[Item]]:
    """Return the dataset in `num_parts` parts; the first len % num_parts of them have one item more.

    Raises:
      ValueError: there are fewer items than parts.
    """
    num_parts, length = checked_integer("num_parts", num_parts, at_least=1), len(dataset)
    if num_parts > length:
        raise ValueError(f"{length:,} items cannot be split into {num_parts:,} parts; give num_parts<={length}")
    return [PartialDataset(dataset, *_bounds(num_parts, part, length)) for part in range(num_parts)]


def compute_shard_boundaries(
    num_shards: int, shard_id: int, dataset_size: int, *, drop_remainder: bool = True
) -> tuple[int, int]:
    """Return the first index of a part, and the one after its last; the arguments are those of `ShardedDataset`.

    >>> compute_shard_boundaries(3, 0, 10), compute_shard_boundaries(3, 0, 10, drop_remainder=False)
    ((0, 3), (0, 4))

    Raises:
      ValueError: there is no such part, or there are fewer items than parts.
    """
    num_shards = checked_integer("num_shards", num_shards, at_least=1)
    shard_id = checked_integer("shard_id", shard_id, at_least=0)
    if shard_id >= num_shards:
        raise ValueError(f"shard_id must be below num_shards={num_shards}, got {shard_id}")
    if dataset_size < num_shards:
        raise ValueError(f"{dataset_size:,} items are too few for {num_shards:,} shards: one would get nothing")
    return _bounds(num_shards, shard_id, dataset_size - dataset_size % num_shards if drop_remainder else dataset_size)


def split_dataset_by_node(
    dataset: Dataset[Item], *, rank: int, world_size: int, drop_remainder: bool = True
) -> ShardedDataset[Item]:
    """Return the part of process `rank`, counted from 0, of `world_size`.

    The arguments go by name: other libraries have them in either order.
    """
    return ShardedDataset(dataset, world_size, rank, drop_remainder=drop_remainder)


def _bounds(num_parts: int, part: int, length: int) -> tuple[int, int]:
    size, rest = divmod(length, num_parts)
    return part * size + min(part, rest), (part + 1) * size + min(part + 1, rest)
