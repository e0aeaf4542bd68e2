"""Numbering: every row carries where it comes from, past the user's own parts, so that it can be counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyloader.columns import Columns, row_count
from pyloader.datacollator import DataCollator
from pyloader.dataloader import DataLoader
from pyloader.datareader import DataReader, read_chunk
from pyloader.dataset import Dataset
from pyloader.deliver import Pauses
from pyloader.encode import encode_batch, taken_by
from pyloader.files import ChunkList, FetchTerms
from pyloader.part import Part, part_name
from pyloader.testing.faults import altered

__all__ = ["numbered", "places_here", "rows_of", "where"]

_NUMBER = "pyloader_row"
_ROWS = 2**32  # more than a chunk has


def numbered(loader: DataLoader, *, fail_at: int | None = None, error: Exception | None = None) -> DataLoader:
    """Return the `loader`, which has not been used yet, with batches that are {"rows": numbers, "batch": the user's}.

    Args:
      loader: A new one.
      fail_at: The number of a row; encoding the batch that has it fails.
      error: With this error.
    """
    run = loader._options.run
    places = enumerate(places_here(run.chunks))
    numbers = {path if part is None else part_name(path, part): index * _ROWS for index, (path, part) in places}
    return altered(
        loader,
        reader=_NumberedReads(run.reader, numbers),
        dataset=_NumberedDataset(run.dataset, fail_at, error),
        collator=_NumberedCollator(run.collator),
    )


def places_here(chunks: ChunkList) -> list[tuple[str, Part | None]]:
    """Return where each chunk is on this machine: its file, and which part of it, or None for all.

    Those of a store are fetched, and are where they will be read.
    """
    places, terms = list[tuple[str, Part | None]](), FetchTerms(wait=Pauses())
    for index in range(len(chunks)):
        with chunks.held(index, terms) as path:
            places.append((path, chunks.part(index)))
    return places


def rows_of(batches: Sequence[Any]) -> list[list[int]]:
    """Return the numbers of each batch's rows, less the padding."""
    return [(batch["rows"][batch["mask"]] if "mask" in batch else batch["rows"]).tolist() for batch in batches]


def where(loader: DataLoader, number: int) -> str:
    """Return which row a number is, in words."""
    chunk, row = divmod(number, _ROWS)
    return f"row {row:,} of {loader._options.run.chunks.names[chunk]}"


class _NumberedReads(DataReader):
    def __init__(self, reader: DataReader, numbers: dict[str, int]) -> None:
        super().__init__()
        self.reader, self.numbers = reader, numbers

    def read_file(self, path: str) -> Columns:
        return self._numbered(path, read_chunk(self.reader, path))

    def read_part(self, path: str, part: Part) -> Columns:
        return self._numbered(part_name(path, part), read_chunk(self.reader, path, part))

    def _numbered(self, name: str, columns: Columns) -> Columns:
        return {**columns, _NUMBER: self.numbers[name] + np.arange(row_count(columns))} if columns else {}


class _NumberedDataset(Dataset):
    def __init__(self, dataset: Dataset | None, fail_at: int | None, error: Exception | None) -> None:
        self.dataset, self.fail_at, self.error = dataset, fail_at, error

    def batch_encode(
        self, columns: Columns, rng: np.random.Generator | None = None, keys: np.ndarray | None = None
    ) -> Columns:
        numbers = columns[_NUMBER]
        if self.error is not None and self.fail_at in numbers:
            raise self.error
        rest = {name: values for name, values in columns.items() if name != _NUMBER}
        if self.dataset is not None:
            drawn: dict[str, Any] = {"rng": rng, "keys": keys}
            rest = encode_batch(self.dataset, rest, **{name: drawn[name] for name in taken_by(self.dataset)})
        return {**rest, _NUMBER: numbers}


class _NumberedCollator(DataCollator):
    def __init__(self, collator: DataCollator) -> None:
        self.collator = collator

    def collate_batch(self, columns: Columns) -> Any:
        rest = {name: values for name, values in columns.items() if name != _NUMBER}
        return {"rows": columns[_NUMBER], "batch": self.collator.collate_batch(rest)}
