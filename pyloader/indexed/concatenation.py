"""Concatenation: the items of one dataset after those of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.rows import Rows, assembled_rows

__all__ = ["CombinedDataset"]

Item = TypeVar("Item")


class CombinedDataset(Dataset[Item]):
    """The items of all `datasets`, one after another.  They may be given as a list too."""

    def __init__(self, *datasets: Dataset[Item] | Sequence[Dataset[Item]]) -> None:
        given = datasets[0] if len(datasets) == 1 and isinstance(datasets[0], list | tuple) else datasets
        self.datasets: list[Dataset[Any]] = [as_dataset(dataset) for dataset in given]
        if not self.datasets:
            raise ValueError("CombinedDataset needs at least one dataset")
        self._starts = np.cumsum([0, *map(len, self.datasets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, indices: np.ndarray) -> Rows:
        """Return the items at `indices`, with one `take` on each dataset that has some of them."""
        sources = np.searchsorted(self._starts, indices, side="right") - 1
        parts = []
        for source in np.unique(sources).tolist() or [0]:
            positions = np.flatnonzero(sources == source)
            parts.append((positions, self.datasets[source].take_within(indices[positions] - self._starts[source])))
        return assembled_rows(parts)

    def close(self) -> None:
        for dataset in self.datasets:
            dataset.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.datasets))}, {len(self):,} items)"
