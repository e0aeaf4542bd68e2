"""Several datasets: side by side, as tuples or under names, or one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.rows import Rows, items_of, rows_by_source

__all__ = ["CombinedDataset", "NamedStreams", "SeveralDatasets", "ZippedDataset"]

Item = TypeVar("Item")


class SeveralDatasets(Dataset[Item]):
    """A dataset that is made of others, and closed with them.

    Args:
      datasets: Anything with len() and [index].
    """

    def __init__(self, datasets: Sequence[Any]) -> None:
        self.datasets: list[Dataset[Any]] = list(map(as_dataset, datasets))

    def close(self) -> None:
        for dataset in self.datasets:
            dataset.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.datasets))}, {len(self):,} items)"


class NamedStreams(SeveralDatasets[dict[str, Any]]):
    """Dicts, of one item from each of `streams`, which have the same length: {"image": ..., "label": ...}.

    >>> NamedStreams({"x": [1, 2], "y": ["a", "b"]})[1]
    {'x': 2, 'y': 'b'}

    Raises:
      ValueError: there are none, or they have different lengths.
    """

    is_thread_safe = True

    def __init__(self, streams: Mapping[str, Dataset[Any]]) -> None:
        super().__init__(list(streams.values()))
        self.streams = dict(zip(streams, self.datasets, strict=True))
        _check_lengths(self.streams)

    def __len__(self) -> int:
        return len(self.datasets[0])

    def take(self, indices: np.ndarray) -> Rows:
        """Return the rows of every stream under its name, arrays as arrays."""
        return {name: dataset.take_within(indices) for name, dataset in self.streams.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.streams!r})"


class ZippedDataset(SeveralDatasets[tuple[Any, ...]]):
    """Tuples, of one item from each of `datasets`, which have the same length.

    Arrays stay arrays when they are given names instead: `NamedStreams`.

    Raises:
      ValueError: they have different lengths.
    """

    is_thread_safe = True

    def __init__(self, *datasets: Dataset[Any]) -> None:
        super().__init__(datasets)
        _check_lengths({f"dataset {index}": dataset for index, dataset in enumerate(self.datasets)})

    def __len__(self) -> int:
        return len(self.datasets[0])

    def take(self, indices: np.ndarray) -> list[tuple[Any, ...]]:
        return list(zip(*(items_of(dataset.take_within(indices)) for dataset in self.datasets), strict=True))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.datasets))})"


class CombinedDataset(SeveralDatasets[Item]):
    """The items of all `datasets`, one after another.  They may be given as a list too."""

    is_thread_safe = True

    def __init__(self, *datasets: Dataset[Item] | Sequence[Dataset[Item]]) -> None:
        super().__init__(datasets[0] if len(datasets) == 1 and isinstance(datasets[0], list | tuple) else datasets)
        if not self.datasets:
            raise ValueError("CombinedDataset needs at least one dataset")
        self._starts = np.cumsum([0, *map(len, self.datasets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, indices: np.ndarray) -> Rows:
        """Return the items at `indices`, with one `take` on each dataset that has some of them."""

        def taken(source: int, positions: np.ndarray) -> Rows:
            return self.datasets[source].take_within(indices[positions] - self._starts[source])

        return rows_by_source(np.searchsorted(self._starts, indices, side="right") - 1, taken)


def _check_lengths(datasets: Mapping[str, Dataset[Any]]) -> None:
    """Raise unless there are datasets, all of the same length."""
    if not datasets:
        raise ValueError("there is no dataset; give at least one")
    (first, dataset), *others = datasets.items()
    for name, other in others:
        if len(other) != len(dataset):
            what = f"{first} has {len(dataset):,} items and {name} has {len(other):,}"
            raise ValueError(f"{what}; what belongs together must have the same length")
