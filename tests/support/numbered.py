"""Chunks whose samples are numbered, so that a test can say which arrived, how often, and in which order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyloader import DataLoader, DataReader, Part


class NumberedReader(DataReader):
    """Reads a chunk that says "START COUNT": samples START .. START + COUNT - 1; or a part of it.

    Args:
      text: Adds a column of strings, so that batches are collated and not sliced.
    """

    def __init__(self, *, text: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.text = text

    def read_file(self, path: str) -> tuple[dict[str, Any], int]:
        start, count = map(int, Path(path).read_text().split())
        return self._samples(start, count)

    def read_part(self, path: str, part: Part) -> tuple[dict[str, Any], int]:
        start, count = map(int, Path(path).read_text().split())
        assert part.stop <= count
        return self._samples(start + part.first, part.num_samples)

    def _samples(self, start: int, count: int) -> tuple[dict[str, Any], int]:
        ids = np.arange(start, start + count)
        columns: dict[str, Any] = {"id": ids, "row": np.stack([ids, -ids], axis=1).astype(np.float32)}
        if self.text:
            columns["text"] = [f"sample {number}" for number in ids.tolist()]
        return columns, count


class NotingReader(NumberedReader):
    """Notes in `read` the path of each chunk before reading it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.read: list[str] = []

    def read_file(self, path: str) -> tuple[dict[str, Any], int]:
        self.read.append(path)
        return super().read_file(path)


def write_chunks(directory: Path, counts: Sequence[int]) -> Path:
    """Write chunks of so many samples, numbered from 0 on, and return their directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for index, (start, count) in enumerate(zip(itertools.accumulate(counts, initial=0), counts, strict=False)):
        (directory / f"chunk-{index:04d}.numbered").write_text(f"{start} {count}")
    return directory


def loader_of(directory: Path, *, text: bool = False, **options: Any) -> DataLoader:
    """Return a loader of numbered chunks."""
    return DataLoader(NumberedReader(text=text), data_dir=directory, **options)


def ids_of(batches: Iterable[Any]) -> list[list[int]]:
    """Return each batch's sample numbers, having checked that its columns belong together."""
    found = []
    for batch in batches:
        ids = batch["id"].tolist()
        assert batch["row"].tolist() == [[number, -number] for number in ids]
        assert "text" not in batch or batch["text"] == [f"sample {number}" for number in ids]
        found.append(ids)
    return found


def numbers_of_latest(loader: Any) -> np.ndarray:
    """Return the numbers of the samples whose places the rows of the latest batch have, as its group has them."""
    group, number = loader._run._group, loader._run._next
    return np.split(group.samples, np.cumsum(group.sizes))[number - 1]
