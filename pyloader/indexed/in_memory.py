"""In memory: lists, arrays and columns of them, and numbers that need no memory at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows, num_rows, taken_rows
from pyloader.machine.memory import RecycledMemory
from pyloader.thread_safety import is_thread_safe

__all__ = ["InMemoryDataset", "RangeDataset", "as_dataset"]

Item = TypeVar("Item")


class InMemoryDataset(Dataset[Item]):
    """The items of a list, an array, or any other sequence; or of columns, whose items are dicts.

    Args:
      items: Is not copied.  Of a dict, name -> list or array, all of the same length.

    Raises:
      TypeError: it has no length, or no items by index.
      ValueError: columns have different lengths.
    """

    def __init__(self, items: Sequence[Item] | np.ndarray | dict[str, Any]) -> None:
        if isinstance(items, dict):
            lengths = {name: len(column) for name, column in items.items()}
            if len(set(lengths.values())) != 1:
                raise ValueError(f"columns must be of one length, got {lengths or 'none'}")
        elif not (hasattr(items, "__len__") and hasattr(items, "__getitem__")) or isinstance(items, str):
            what = f"items must be a list, an array or a dict of them, got {type(items).__name__}"
            raise TypeError(f"{what}; write InMemoryDataset(list(items))")
        self.items = items
        self._memory = RecycledMemory()

    @property
    def is_thread_safe(self) -> bool:  # type: ignore[override]
        """Whether several threads may call it at once: where what holds its items may be called so."""
        return isinstance(self.items, dict | list | tuple | np.ndarray) or is_thread_safe(self.items)

    def __len__(self) -> int:
        return num_rows(self.items) if isinstance(self.items, dict) else len(self.items)

    def take(self, indices: np.ndarray) -> Rows:
        return taken_rows(self.items, indices, self._memory)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} items)"


class RangeDataset(Dataset[int]):
    """The integers start, start + step, ..., below end.

    Args:
      start: The first; alone, the end, and the first is 0.
      end: The first that is not there any more.
      step: At least 1.

    Raises:
      ValueError: there is none, or step is below 1.
    """

    is_thread_safe = True

    def __init__(self, start: int, end: int | None = None, step: int = 1) -> None:
        start, end = (0, start) if end is None else (start, end)
        if step < 1 or start >= end:
            raise ValueError(f"RangeDataset({start}, {end}, {step}) needs start < end and a step of at least 1")
        self._range = range(start, end, step)

    def __len__(self) -> int:
        return len(self._range)

    def take(self, indices: np.ndarray) -> list[int]:
        numbers: list[int] = (self._range.start + indices * self._range.step).tolist()
        return numbers

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._range.start}, {self._range.stop}, {self._range.step})"


def as_dataset(source: Any) -> Dataset[Any]:
    """Return `source`, or the dataset of what it holds: a list, an array, columns, anything with len() and [index]."""
    return source if isinstance(source, Dataset) else InMemoryDataset(source)
