"""Rows on their way from a dump to a chunk: one stretch of bytes, and where each row ends in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ORDERED = 2**15  # rows that are put in order at a time

__all__ = ["Rows", "join_rows", "ordered_rows"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows, each a string of bytes.

    Attributes:
      data: All rows, one after another.  A slice of rows looks into the same memory: large blocks are dear to copy.
      ends: int64 array of shape [number of rows]: where in `data` each ends; ascending, the last is len(data).
      width: The bytes of every row when all have the same, as rows of arrays do; 0 when they differ.
    """

    data: bytes | memoryview
    ends: np.ndarray
    width: int = 0

    @classmethod
    def of_lines(cls, data: bytes | memoryview) -> Rows:
        """Return the lines of `data`, each with its newline; the last must have one too."""
        return cls(data, np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1)

    @classmethod
    def of_pieces(cls, pieces: Sequence[bytes]) -> Rows:
        """Return one row for each of `pieces`."""
        return cls(b"".join(pieces), np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces))))

    @classmethod
    def of_width(cls, data: bytes | memoryview, width: int) -> Rows:
        """Return the rows of `data`, each of `width` bytes, at least 1."""
        return cls(data, np.arange(width, len(data) + 1, width, dtype=np.int64), width)

    def __len__(self) -> int:
        return len(self.ends)

    def slice(self, start: int, stop: int) -> Rows:
        """Return rows [start, stop)."""
        if start == 0 and stop >= len(self):
            return self
        ends = self.ends[start:stop]
        first = int(self.ends[start - 1]) if start else 0
        last = int(ends[-1]) if len(ends) else first
        return Rows(memoryview(self.data)[first:last], ends - first, self.width)

    def take(self, order: np.ndarray) -> Rows:
        """Return the rows that `order` (int64 array of row indices) names, in that order."""
        return ordered_rows([self], order)

    def lengths(self) -> np.ndarray:
        """Return the bytes of each row, an int64 array of shape [number of rows]."""
        return np.diff(self.ends, prepend=0)

    def pieces(self) -> list[bytes]:
        """Return each row's bytes."""
        ends, data = self.ends.tolist(), bytes(self.data)
        return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all `parts`, at least one, one after another."""
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(len(part.data) for part in parts[:-1])])
    ends = np.concatenate([part.ends + offset for part, offset in zip(parts, offsets, strict=True)])
    return Rows(b"".join(part.data for part in parts), ends, parts[0].width)


def ordered_rows(parts: Sequence[Rows], order: np.ndarray) -> Rows:
    """Return the rows that `order` (int64 array of row indices) names, in that order, of all `parts` together."""
    if parts[0].width:
        rows = join_rows(parts)
        table = np.frombuffer(rows.data, np.uint8).reshape(-1, rows.width)
        return Rows.of_width(table[order].tobytes(), rows.width)
    pieces = [piece for rows in parts for piece in rows.pieces()]
    lengths = np.concatenate([rows.lengths() for rows in parts])[order]
    # Some at a time: a list of all numbers would take more than short rows do.
    some = [order[start : start + _ORDERED] for start in range(0, len(order), _ORDERED)]
    data = b"".join([b"".join([pieces[row] for row in rows.tolist()]) for rows in some])
    return Rows(data, np.cumsum(lengths))
