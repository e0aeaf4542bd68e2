"""Rows put aside by a task, in one file: those of an output, and of a range of keys, together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyloader.files import chunk_bytes
from pyloader.write.rows import Rows, ordered_rows
from pyloader.write.segments import SegmentWriter, bucket_of

__all__ = ["PENDING_BYTES", "ROW_BYTES", "RowsAside"]

# Rows of a task that wait in memory to be put aside.
PENDING_BYTES = 2**24
ROW_BYTES = 96  # of a row while rows are put in order, beside its own: a bytes object, and its places in lists


class RowsAside:
    """Puts rows aside.

    Args:
      path: The file; it is made where there are rows.
      num_outputs: Of which there are rows.
      num_ranges: Into how many ranges of keys those of an output are parted; 1 where rows have no keys.
      first: The first of these ranges, among all.
      total: How many ranges there are in all; 0 where rows have no keys.

    Attributes:
      counts: Of each output, how many rows of each range were put aside.
    """

    def __init__(self, path: Path, *, num_outputs: int, num_ranges: int, first: int, total: int) -> None:
        self._path, self._first, self._total = path, first, total
        self.counts = [[0] * num_ranges for _ in range(num_outputs)]
        self._waiting: list[list[tuple[Rows, np.ndarray | None]]] = [[] for _ in range(num_outputs)]
        self._num_bytes = 0
        self._segments: SegmentWriter | None = None

    def take(self, index: int, rows: Rows, keys: np.ndarray | None) -> None:
        """Take rows of the output of that index; `keys` are uint64, one for each row.

        Raises:
          WriteError: the disk is full.
        """
        self._waiting[index].append((rows, keys))
        self._num_bytes += len(rows.data) + ROW_BYTES * len(rows)
        if self._num_bytes >= PENDING_BYTES:
            self._put()

    def close(self) -> tuple[str, int]:
        """Put aside what waits; return the name of the file, and its size: ("", 0) when there were no rows."""
        self._put()
        if self._segments is None:
            return "", 0
        self._segments.close(by_bucket=bool(self._total))
        return self._path.name, chunk_bytes(self._path)

    def abandon(self) -> None:
        """Remove what was put aside."""
        if self._segments is not None:
            self._segments.abandon()

    def _put(self) -> None:
        for index, waiting in enumerate(self._waiting):
            if waiting:
                self._segments = self._segments or SegmentWriter(self._path)
                self._put_output(self._segments, index, waiting)
                waiting.clear()
        self._num_bytes = 0

    def _put_output(self, segments: SegmentWriter, index: int, waiting: list[tuple[Rows, np.ndarray | None]]) -> None:
        counts = self.counts[index]
        if not self._total:
            for rows, _ in waiting:
                segments.append(index, rows)
                counts[0] += len(rows)
            return
        keys = np.concatenate([keys for _, keys in waiting if keys is not None])
        ranges = (bucket_of(keys, self._total) - self._first).astype(np.uint16)  # of two bytes it is a radix sort
        order = np.argsort(ranges, kind="stable")
        rows, keys = ordered_rows([rows for rows, _ in waiting], order), keys[order]
        stops = np.cumsum(np.bincount(ranges, minlength=len(counts))).tolist()
        for number, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
            if start < stop:
                segments.append(index * len(counts) + number, rows.slice(start, stop), keys[start:stop])
                counts[number] += stop - start
