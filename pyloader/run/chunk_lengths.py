"""Chunk lengths: how long the rows of chunks are, read without reading more than says it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from pyloader.columns import Columns
from pyloader.datareader import DataReader, read_chunk
from pyloader.deliver import Pauses
from pyloader.errors import ReadFileError
from pyloader.files import ChunkList, as_listed
from pyloader.files.fetching import FetchTerms
from pyloader.read import NumpyReader
from pyloader.read.numpy_files import can_be_mapped
from pyloader.shuffle import row_lengths

__all__ = ["lengths_by", "lengths_of_rows", "read_lengths"]

_KEPT_CHUNKS = 64  # 8 bytes a row


def read_lengths(
    chunks: ChunkList, reader: DataReader, index: int, lengths: Callable[[str, Columns], np.ndarray]
) -> np.ndarray:
    """Return what `lengths` makes of a chunk's path and its columns.

    Raises:
      Exception: the chunk cannot be read, or what `lengths` raises.
    """
    with chunks.held(index, FetchTerms(wait=Pauses())) as path, as_listed(chunks, index, path):
        if type(reader) is NumpyReader and can_be_mapped(path):  # then only what says the lengths is read
            reader = NumpyReader(mmap=True, name=reader.name)
        return lengths(path, read_chunk(reader, path, chunks.part(index)))


def lengths_by(column: str, path: str, columns: Columns) -> np.ndarray:
    """Return how long each row of a chunk is in a column, int64 of shape [rows].

    Raises:
      ReadFileError: there is no such column, or it has no lengths.
    """
    try:
        return row_lengths(columns, column)
    except ValueError as exc:
        raise ReadFileError(path, str(exc), "Name a column of rows, or of their lengths: bucket_by=") from exc


def lengths_of_rows(chunks: ChunkList, reader: DataReader, column: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what tells how long rows are in a column, int64 of shape [rows]: of rows [rows, 2], chunk and row."""
    of_chunk = lru_cache(_KEPT_CHUNKS)(lambda index: read_lengths(chunks, reader, index, partial(lengths_by, column)))

    def lengths_of(rows: np.ndarray) -> np.ndarray:
        found = np.empty(len(rows), np.int64)
        for chunk in np.unique(rows[:, 0]).tolist():
            mine = rows[:, 0] == chunk
            found[mine] = of_chunk(chunk)[rows[mine, 1]]
        return found

    return lengths_of
