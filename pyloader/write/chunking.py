"""Rows -> chunk files: cut while they come, or gathered from the segments of all units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pyloader.write.rows import Rows, join_rows
from pyloader.write.segments import Frames, sorted_rows
from pyloader.write.sizes import ChunkSizes

__all__ = ["ChunkCutter", "Part", "gathered"]


class ChunkCutter:
    """Cuts rows into chunks as they come, none larger than was asked for.  A chunk is a list of parts.

    Args:
      sizes: How large chunks are.
      evens_out: Whether the last chunk is held back as long as more rows may come: where it would be under half the
        size, it and the one before share their rows evenly.
    """

    def __init__(self, sizes: ChunkSizes, *, evens_out: bool = False) -> None:
        self._sizes, self._evens_out = sizes, evens_out
        self._full: list[Rows] = []
        self._rows: list[Rows] = []
        self._num_rows = self._num_bytes = 0

    def add(self, rows: Rows) -> Iterator[list[Rows]]:
        """Take rows; yield the chunks that are whole by now."""
        while len(rows):
            fits = self._sizes.rows_that_fit(rows.lengths(), self._num_rows, self._num_bytes)
            if fits:
                part, rows = rows.slice(0, fits), rows.slice(fits, len(rows))
                self._rows.append(part)
                self._num_rows += len(part)
                self._num_bytes += len(part.data)
            if self._full and (len(rows) or self._sizes.are_half_full(self._num_rows, self._num_bytes)):
                yield self._full
                self._full = []
            if len(rows):
                self._full, self._rows = self._rows, []
                self._num_rows = self._num_bytes = 0
                if not self._evens_out:
                    yield self._full
                    self._full = []

    def end(self) -> Iterator[list[Rows]]:
        """Yield what is left, at most two chunks."""
        if self._full and self._rows:
            rows = join_rows([*self._full, *self._rows])
            middle = max(1, int(np.searchsorted(rows.ends, rows.ends[-1] / 2, side="right")))
            halves = [rows.slice(0, middle), rows.slice(middle, len(rows))]
            # One large row at the border can make a half too large; then the last chunk stays small.
            if all(self._sizes.rows_that_fit(half.lengths(), 0, 0) == len(half) for half in halves):
                self._full, self._rows = [halves[0]], [halves[1]]
        yield from filter(None, (self._full, self._rows))
        self._full, self._rows = [], []


class Part(NamedTuple):
    """Rows of a chunk that are read together.

    Attributes:
      files: The files that they are in.
      bucket: Their bucket in these.
      start: The first of the bucket's rows that the chunk has, in their final order.
      stop: The row after the last one.
    """

    files: tuple[str, ...]
    bucket: int
    start: int
    stop: int


def gathered(directory: Path, parts: Sequence[Part], *, is_keyed: bool) -> Iterator[Rows]:
    """Yield the rows of a chunk; one bucket is in memory at a time, where rows have keys.

    Args:
      directory: Where the files are.
      parts: What the chunk is made of.
      is_keyed: Whether rows have keys, whose order is that of the chunk; otherwise they come as they lie.

    Raises:
      SplitError: a file is damaged.
    """
    for part in parts:
        found = []
        for file in part.files:
            frames = Frames(directory / file, is_keyed=is_keyed)
            try:
                if is_keyed:
                    found += list(frames.read(part.bucket))
                else:
                    yield from (rows for rows, _ in frames.read(part.bucket, part.start, part.stop))
            finally:
                frames.close()
        if found:
            yield sorted_rows(found).slice(part.start, part.stop)
            found.clear()
