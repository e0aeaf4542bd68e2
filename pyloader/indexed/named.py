"""Named streams: several datasets side by side, each under its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.rows import Rows

__all__ = ["NamedStreams", "check_lengths"]


class NamedStreams(Dataset[dict[str, Any]]):
    """Dicts, of one item from each of `streams`, which have the same length: {"image": ..., "label": ...}.

    Raises:
      ValueError: there are none, or they have different lengths.
    """

    def __init__(self, streams: Mapping[str, Dataset[Any]]) -> None:
        self.streams = {name: as_dataset(dataset) for name, dataset in streams.items()}
        check_lengths(self.streams)

    def __len__(self) -> int:
        return len(next(iter(self.streams.values())))

    def take(self, indices: np.ndarray) -> Rows:
        """Return the rows of every stream under its name, arrays as arrays."""
        return {name: dataset.take_within(indices) for name, dataset in self.streams.items()}

    def close(self) -> None:
        for dataset in self.streams.values():
            dataset.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.streams!r})"


def check_lengths(datasets: Mapping[str, Dataset[Any]]) -> None:
    """Raise unless there are datasets, all of the same length.

    Raises:
      ValueError: the message names two that differ.
    """
    if not datasets:
        raise ValueError("there is no dataset; give at least one")
    (first, dataset), *others = datasets.items()
    for name, other in others:
        if len(other) != len(dataset):
            what = f"{first} has {len(dataset):,} items and {name} has {len(other):,}"
            raise ValueError(f"{what}; what belongs together must have the same length")
