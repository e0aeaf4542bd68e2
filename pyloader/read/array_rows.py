"""Rows that several arrays of one file have together: how many they are, and how they are cut into parts."""

from __future__ import annotations

from collections.abc import Mapping

from pyloader.errors import ChunkReadError
from pyloader.part import INDEX_AGAIN, Part, row_spans

__all__ = ["check_rows_of_part", "common_rows", "spans_of_file"]


def common_rows(path: str, lengths: Mapping[str, int], hint: str) -> int:
    """Return how many rows columns have, by name.

    Raises:
      ChunkReadError: two have different numbers.
    """
    (first, num_rows), *others = lengths.items()
    for name, length in others:
        if length != num_rows:
            what = f"{first!r} has {num_rows:,} rows and {name!r} has {length:,}."
            raise ChunkReadError(path, what, f"Columns must have the same length. {hint}")
    return num_rows


def check_rows_of_part(path: str, part: Part, num_rows: int) -> None:
    """Raise where a part goes beyond the rows that its file has.

    Raises:
      ChunkReadError: so it does.
    """
    if part.stop > num_rows:
        raise ChunkReadError(path, f"has {num_rows:,} rows, and the part ends at {part.stop:,}.", INDEX_AGAIN)


def spans_of_file(
    path: str,
    num_rows: int,
    row_bytes: int,
    *,
    file_bytes: int,
    group: int,
    chunk_bytes: int,
    chunk_samples: int | None,
) -> list[tuple[int, int]]:
    """Return the (first, stop) rows of each part.

    Args:
      path: Named in errors.
      num_rows: How many rows the file says that it has: anything, since rows that were never written take nothing.
      row_bytes: What one takes in memory, on average.
      file_bytes: The size of the file.
      group: A part begins at a multiple of it.
      chunk_bytes: About how many bytes a part has.
      chunk_samples: How many rows it has instead; None goes by bytes.

    Raises:
      ChunkReadError: there would be more parts than the file has bytes.
    """
    num_bytes = num_rows * row_bytes
    num_parts = num_rows // chunk_samples if chunk_samples is not None else num_bytes // chunk_bytes
    if num_parts > file_bytes:
        what = f"says that it has {num_rows:,} rows, in a file of {file_bytes:,} bytes."
        raise ChunkReadError(path, what, "Leave the arrays out that were never written: columns=[...]")
    return row_spans(num_rows, num_bytes, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples, group=group)
