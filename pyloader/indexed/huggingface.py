"""Hugging Face: the rows of a dataset of the `datasets` package."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from pyloader.errors import import_optional
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows

__all__ = ["HuggingFaceDataset"]


class HuggingFaceDataset(Dataset[dict[str, Any]]):
    """The rows of a datasets.Dataset, each a dict.

    Columns of numbers without nulls come as arrays of their own dtype (class labels as int64); all others as lists, of
    what `datasets` decodes.  A dataset with a format (`with_format("numpy")`) gives what that format gives.

    Args:
      dataset: A datasets.Dataset.

    Raises:
      TypeError: it is something else; the message says what to give.
      MissingDependencyError: datasets is not installed.
    """

    def __init__(self, dataset: Any) -> None:
        datasets = import_optional("datasets", wanted_by="HuggingFaceDataset")
        if isinstance(dataset, datasets.DatasetDict):
            first = next(iter(dataset), "train")
            what = f"this is a DatasetDict, with {', '.join(dataset)}"
            raise TypeError(
                f"{what}; choose one: HuggingFaceDataset(dataset[{first!r}]), or from_hub(..., split={first!r})"
            )
        if isinstance(dataset, datasets.IterableDataset):
            raise TypeError("an IterableDataset has no rows by index; load it with streaming=False")
        if not isinstance(dataset, datasets.Dataset):
            raise TypeError(f"HuggingFaceDataset needs a datasets.Dataset, got {type(dataset).__name__}")
        self.dataset = dataset
        numbers = [] if dataset.format["type"] is not None else _number_columns(datasets, dataset)
        others = [name for name in dataset.column_names if name not in numbers]
        self._numbers = dataset.select_columns(numbers).with_format("arrow") if numbers else None
        self._others = dataset.select_columns(others) if others else None
        self._names = dataset.column_names

    @property
    def is_thread_safe(self) -> bool:  # type: ignore[override]
        """Whether several threads may call it at once: unless its format is a function."""
        return bool(self.dataset.format["type"] != "custom")

    @classmethod
    def from_hub(cls, path: str, name: str | None = None, split: str | None = None, **options: Any) -> Self:
        """Load a dataset from the hub, or from its cache.  No code that comes with a dataset is run.

        Args:
          path: Its name on the hub, "stanfordnlp/imdb".
          name: Which of its configurations.
          split: "train", "test[:10%]", ...
          options: Further ones of datasets.load_dataset.

        Raises:
          TypeError: it has several splits, and none was named; or trust_remote_code is asked for.
        """
        if options.pop("trust_remote_code", False):
            raise TypeError(
                "from_hub runs no code from the hub; load it yourself, and write HuggingFaceDataset(dataset)"
            )
        datasets = import_optional("datasets", wanted_by="HuggingFaceDataset")
        return cls(datasets.load_dataset(path, name, split=split, **options))

    def __len__(self) -> int:
        return len(self.dataset)

    def take(self, indices: np.ndarray) -> Rows:
        """Return the rows at `indices`, as columns."""
        rows: dict[str, Any] = {}
        if self._numbers is not None:
            table = self._numbers[indices]
            rows |= {name: _as_array(table.column(name)) for name in table.column_names}
        if self._others is not None:
            rows |= self._others[indices]
        return {name: rows[name] for name in self._names}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} rows of {', '.join(self._names)})"


def _number_columns(datasets: Any, dataset: Any) -> list[str]:
    """Return the columns that are arrays: by the whole table, so that a column is the same in every batch."""
    from pyarrow import types

    names = []
    for name, feature in dataset.features.items():
        column = dataset.data.column(name)
        is_plain = isinstance(feature, datasets.Value | datasets.ClassLabel)
        is_number = types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type)
        if is_plain and is_number and not column.null_count:
            names.append(name)
    return names


def _as_array(column: Any) -> np.ndarray:
    array: np.ndarray = column.to_numpy()
    return array if array.flags.writeable else array.copy()  # it lies in Arrow's memory
