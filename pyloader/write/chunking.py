"""Rows -> chunk files: cut while they come, or gathered from the segments of all units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pyloader.write.rows import Rows
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
            parts = [*self._full, *self._rows]
            lengths = np.concatenate([rows.lengths() for rows in parts])
            ends = np.cumsum(lengths)
            middle = max(1, int(np.searchsorted(ends, ends[-1] / 2, side="right")))
            # One large row at the border can make a half too large; then the last chunk stays small.
            if all(self._sizes.rows_that_fit(half, 0, 0) == len(half) for half in (lengths[:middle], lengths[middle:])):
                self._full, self._rows = _parted(parts, middle)
        yield from filter(None, (self._full, self._rows))
        self._full, self._rows = [], []


def _parted(parts: Sequence[Rows], row: int) -> tuple[list[Rows], list[Rows]]:
    """Return the rows before a row, and those from it on, without a copy of any."""
    before: list[Rows] = []
    after: list[Rows] = []
    for rows in parts:
        border = min(max(0, row), len(rows))
        before += [rows.slice(0, border)] if border else []
        after += [rows.slice(border, len(rows))] if border < len(rows) else []
        row -= len(rows)
    return before, after


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
            with closing(Frames(directory / file, is_keyed=is_keyed)) as frames:
                if is_keyed:
                    found += list(frames.read(part.bucket))
                else:
                    yield from (rows for rows, _ in frames.read(part.bucket, part.start, part.stop))
        if found:
            rows = sorted_rows(found, part.start, part.stop)
            found.clear()
            yield rows
