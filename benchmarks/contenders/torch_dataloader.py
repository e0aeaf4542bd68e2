"""torch DataLoader, over datasets as people write them (`__getitem__`), and over ones that fetch a batch at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch.utils.data
from workloads import WINDOW, Data, encode_text


class Rows(torch.utils.data.Dataset[Any]):
    """Rows of memory-mapped arrays, as tensors."""

    def __init__(self, data: Data) -> None:
        self.data = data
        if data.kind == "tokens":
            self.values = data.tokens().reshape(-1, WINDOW)
            self.ids = np.arange(len(self.values))
        else:
            self.values, self.ids = data.array("image"), data.array("label")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self._usable(self.values[index])), int(self.ids[index])

    def _usable(self, values: np.ndarray) -> np.ndarray:
        """A copy, and of tokens one that an embedding takes: int64."""
        return values.astype(np.int64) if self.data.kind == "tokens" else np.array(values)


class RowsTogether(Rows):
    """The same, a batch at a time."""

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        values = self.values[indices]
        if self.data.kind == "tokens":
            values = values.astype(np.int64)
        return torch.from_numpy(values), torch.from_numpy(self.ids[indices])


class Lines(torch.utils.data.IterableDataset[Any]):
    """Lines of files, each encoded; the workers share the files."""

    def __init__(self, data: Data) -> None:
        self.paths = sorted(data.chunks.iterdir())

    def __iter__(self) -> Iterator[Any]:
        import json

        worker = torch.utils.data.get_worker_info()
        paths = self.paths if worker is None else self.paths[worker.id :: worker.num_workers]
        for path in paths:
            with open(path, "rb") as file:
                for line in file:
                    row = json.loads(line)
                    yield encode_text(row["text"]), row["id"]


def as_it_is(batch: Any) -> Any:
    return batch


def epochs(data: Data, *, fetch: str, num_workers: int, loader: Callable[..., Any] | None = None) -> Iterator[Any]:
    datasets = {"__getitem__": Rows, "__getitems__": RowsTogether, "lines": Lines}
    batches = (loader or torch.utils.data.DataLoader)(
        datasets[fetch](data),
        batch_size=data.batch_size,
        shuffle=None if fetch == "lines" else True,
        num_workers=num_workers,
        collate_fn=as_it_is if fetch == "__getitems__" else None,
        persistent_workers=num_workers > 0,
    )
    while True:
        yield batches
