"""Zipping: items that stand at the same index, together."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.named import check_lengths
from pyloader.indexed.rows import items_of

__all__ = ["ZippedDataset"]


class ZippedDataset(Dataset[tuple[Any, ...]]):
    """Tuples, of one item from each of `datasets`, which have the same length.

    Arrays stay arrays when they are given names instead: `NamedStreams`.

    Raises:
      ValueError: they have different lengths.
    """

    def __init__(self, *datasets: Dataset[Any]) -> None:
        self.datasets = [as_dataset(dataset) for dataset in datasets]
        check_lengths({f"dataset {index}": dataset for index, dataset in enumerate(self.datasets)})

    def __len__(self) -> int:
        return len(self.datasets[0])

    def take(self, indices: np.ndarray) -> list[tuple[Any, ...]]:
        return list(zip(*(items_of(dataset.take_within(indices)) for dataset in self.datasets), strict=True))

    def close(self) -> None:
        for dataset in self.datasets:
            dataset.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.datasets))})"
