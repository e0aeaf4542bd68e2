"""Ragged columns on disk, NAME.values.npy and NAME.offsets.npy, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pyloader.errors import SplitError
from pyloader.ragged import Ragged
from pyloader.read.numpy_files import map_npy

__all__ = ["RaggedFile", "ragged_windows"]


@dataclass(frozen=True)
class RaggedFile:
    """A column of rows of unequal length in two files, which are mapped.

    Attributes:
      path: Of the values; errors name it.
      offsets: Of the offsets.
    """

    path: str
    offsets: str
    member = ""
    by_columns = False

    @property
    def name(self) -> str:
        """As the user knows it."""
        return self.path

    @cached_property
    def column(self) -> Ragged:
        """The rows.

        Raises:
          SplitError: the files are damaged, or do not belong together.
        """
        values, offsets = (map_npy(path, error=SplitError) for path in (self.path, self.offsets))
        is_bytes = values.dtype == "S1"
        try:
            return Ragged(values.view(np.uint8) if is_bytes else values, offsets.copy(), is_bytes=is_bytes)
        except (TypeError, ValueError) as exc:
            raise SplitError(self.path, f"and {self.offsets} are no ragged column: {exc}.", "Fetch them again") from exc

    @property
    def shape(self) -> tuple[int, ...]:
        """[rows]."""
        return (len(self.column),)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, on the average."""
        return -(-self.column.nbytes // max(1, len(self.column)))

    def __str__(self) -> str:
        return f"ragged rows of {'bytes' if self.column.is_bytes else self.column.dtype.name}"


def ragged_windows(files: Sequence[RaggedFile], start: int, window: int) -> Iterator[Ragged]:
    """Yield `window` rows at a time from row `start` on, also over the files' borders; at the end what is left."""
    held = files[0].column[:0]
    for file in files:
        column = file.column
        for row in range(start, len(column), window):
            rows = column[row : row + window]
            held = Ragged.concatenate([held, rows]) if len(held) else rows
            if len(held) >= window:
                yield held[:window]
                held = held[window:]
        start = max(0, start - len(column))
    if len(held):
        yield held
