"""loadax 0.2.1: random access, one sample at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import loadax
import numpy as np
from workloads import Data


class Rows(loadax.Dataset):  # type: ignore[misc]
    """Rows of memory-mapped arrays."""

    def __init__(self, data: Data) -> None:
        self.image, self.label = (data.array(name)[: data.num_samples] for name in ("image", "label"))

    def __len__(self) -> int:
        return len(self.label)

    def get(self, index: int) -> tuple[np.ndarray, int] | None:
        return (self.image[index], self.label[index]) if index < len(self) else None


def epochs(data: Data, *, num_workers: int) -> Iterator[Any]:
    rows = loadax.ShuffledDataset(Rows(data), jax.random.PRNGKey(0))
    builder = loadax.DataloaderBuilder(loadax.Batcher(_stack)).batch_size(data.batch_size)
    batches = builder.workers(num_workers).prefetch(2).build(rows)
    while True:
        yield batches


def _stack(samples: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*samples, strict=True)
    return np.stack(images), np.array(labels)
