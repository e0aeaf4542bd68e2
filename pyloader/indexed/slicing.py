"""Slicing: a stretch of a dataset, and a dataset cut into stretches."""

from __future__ import annotations

import itertools
from typing import TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.views import View
from pyloader.options import checked_integer

__all__ = ["PartialDataset", "split_dataset"]

Item = TypeVar("Item")


class PartialDataset(View[Item]):
    """Items [start_index, end_index).

    Raises:
      ValueError: the stretch is empty, or not within the dataset.
    """

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


def split_dataset(dataset: Dataset[Item], num_parts: int) -> list[PartialDataset[Item]]:
    """Return the dataset in `num_parts` stretches; the first len % num_parts of them have one item more.

    Raises:
      ValueError: there are fewer items than parts.
    """
    num_parts = checked_integer("num_parts", num_parts, at_least=1)
    if num_parts > len(dataset):
        raise ValueError(
            f"{len(dataset):,} items cannot be split into {num_parts:,} parts; give num_parts<={len(dataset)}"
        )
    cuts = [part * (len(dataset) // num_parts) + min(part, len(dataset) % num_parts) for part in range(num_parts + 1)]
    return [PartialDataset(dataset, start, end) for start, end in itertools.pairwise(cuts)]
