"""loaderx 0.1.7: random access over .npy, endless."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import loaderx
from workloads import Data


def epochs(data: Data) -> Iterator[Any]:
    files = (loaderx.NPDataset(data.root / f"{name}.npy") for name in ("image", "label"))
    batches = iter(loaderx.DataLoader(*files, batch_size=data.batch_size))
    while True:
        yield _epoch(batches, -(-data.num_samples // data.batch_size))


def _epoch(batches: Iterator[Any], num_batches: int) -> Iterator[Any]:
    for _ in range(num_batches):
        batch = next(batches)
        yield batch["data"], batch["label"]
