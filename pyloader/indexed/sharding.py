"""Sharding: each of several processes has its own part of a dataset."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.views import View
from pyloader.options import checked_integer

__all__ = ["ShardedDataset", "compute_shard_boundaries", "split_dataset_by_node"]

Item = TypeVar("Item")


class ShardedDataset(View[Item]):
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

    def __init__(self, dataset: Dataset[Item], num_shards: int, shard_id: int, *, drop_remainder: bool = True) -> None:
        super().__init__(dataset)
        self.num_shards, self.shard_id, self.drop_remainder = num_shards, shard_id, drop_remainder
        self._boundaries = compute_shard_boundaries(
            num_shards, shard_id, len(self.dataset), drop_remainder=drop_remainder
        )

    def __len__(self) -> int:
        start, end = self._boundaries
        return end - start

    def source_indices(self, indices: np.ndarray) -> np.ndarray:
        return indices + self._boundaries[0]

    def shard_boundaries(self) -> tuple[int, int]:
        """Return the first index of the part, and the one after its last."""
        return self._boundaries


def compute_shard_boundaries(
    num_shards: int, shard_id: int, dataset_size: int, *, drop_remainder: bool = True
) -> tuple[int, int]:
    """Return the first index of a part, and the one after its last; the arguments are those of `ShardedDataset`.

    Raises:
      ValueError: there is no such part, or there are fewer items than parts.
    """
    num_shards = checked_integer("num_shards", num_shards, at_least=1)
    shard_id = checked_integer("shard_id", shard_id, at_least=0)
    if shard_id >= num_shards:
        raise ValueError(f"shard_id must be below num_shards={num_shards}, got {shard_id}")
    if dataset_size < num_shards:
        raise ValueError(f"{dataset_size:,} items are too few for {num_shards:,} shards: one would get nothing")
    size, rest = divmod(dataset_size, num_shards)
    if drop_remainder:
        return shard_id * size, (shard_id + 1) * size
    return shard_id * size + min(shard_id, rest), (shard_id + 1) * size + min(shard_id + 1, rest)


def split_dataset_by_node(
    dataset: Dataset[Item], *, rank: int, world_size: int, drop_remainder: bool = True
) -> ShardedDataset[Item]:
    """Return the part of process `rank`, counted from 0, of `world_size`.

    The arguments go by name: other libraries have them in either order.
    """
    return ShardedDataset(dataset, world_size, rank, drop_remainder=drop_remainder)
