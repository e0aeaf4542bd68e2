"""A random-access dataset whose items are their own numbers, so that a test can say which arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from watching import until_error

from pyloader.indexed import Dataset

ENGINES = pytest.mark.parametrize("num_workers", [0, 1, 3])
RULES = ["keep", "drop", "pad", "wrap"]


class DiskGone(OSError):
    """An error class of the user's."""


class Numbers(Dataset[int]):
    """Item i is i; taking calls `on_take` first."""

    def __init__(self, length: int, on_take: Callable[[np.ndarray], object] = len) -> None:
        self.length, self.on_take = length, on_take

    def __len__(self) -> int:
        return self.length

    def take(self, indices: np.ndarray) -> np.ndarray:
        self.on_take(indices)
        return indices.copy()


def failing_at(number: int, error: BaseException) -> Callable[[np.ndarray], None]:
    """Return an `on_take` that raises `error` when that item is wanted."""

    def on_take(indices: np.ndarray) -> None:
        if number in indices:
            raise error

    return on_take


def ids_of(batches: Iterable[Any]) -> list[list[int]]:
    """Return each batch's numbers."""
    return [(batch["data"] if isinstance(batch, dict) else batch).tolist() for batch in batches]


def flat(lists: Iterable[list[int]]) -> list[int]:
    """Return the numbers of all lists."""
    return [number for numbers in lists for number in numbers]


def drain(batches: Iterable[Any]) -> tuple[list[list[int]], BaseException]:
    """Return the numbers of the batches before the error, and the error."""
    found, error = until_error(batches)
    return ids_of(found), error
