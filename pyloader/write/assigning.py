"""What a row of the dump holds decides to which output it goes, and whether it stays: before its values are changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from pyloader.columns import Columns
from pyloader.write.holdout import assignment, hashes_of_rows, hashes_of_samples, samples_of
from pyloader.write.media import MEDIA
from pyloader.write.request import Request
from pyloader.write.rows import Rows
from pyloader.write.unique import FirstRows, UniqueRows, keys_of_samples

__all__ = ["Assignment", "Came"]


@dataclass(frozen=True, slots=True)
class Came:
    """Where some rows came from, and where they go.

    Attributes:
      lines: int64 array of shape [number of rows]: their lines, or rows, from 1.
      outputs: int64 array of the same shape: the index of each row's output; None where all go to the first, or where
        the bytes of the finished row decide.
      keys: As `keys_of_samples` gives them; None where nobody looks at them.
    """

    lines: np.ndarray
    outputs: np.ndarray | None = None
    keys: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Came:
        """Return what is said of some of the rows: int64 array of indices."""
        found = [None if values is None else values[rows] for values in (self.outputs, self.keys)]
        return Came(self.lines[rows], *found)


class Assignment:
    """Looks at rows as they stand in the dump.

    Args:
      request: What the user asked for.
      input_format: One of INPUT_FORMATS.
      holdout_rule: 1 or 2, as `pyloader.write.holdout` has them.
      unique: Which rows stay of those with the same key; None keeps all.
    """

    def __init__(self, request: Request, input_format: str, holdout_rule: int, unique: UniqueRows | None) -> None:
        self._request, self._unique = request, unique
        # The same image is the same sample, whatever it is called.
        self._holdout_by = request.holdout_by or (MEDIA[input_format].column if input_format in MEDIA else None)
        self._columns = list(request.unique or ()) if unique is not None and unique.wants_keys else []
        self._assigns = bool(request.holdout) and holdout_rule > 1 and not self._columns
        # Of files whose columns are read one by one the holdout looks at those that are kept, or at the one it is by.
        is_by_column = input_format in ("parquet", "arrow", "npy", "npz") and request.columns is not None
        self._passed_over = set(request.looked_at).difference(request.columns or ()) if is_by_column else set()

    def of_lines(self, rows: Rows, numbers: np.ndarray) -> Came:
        """Look at JSON lines, which came from the lines `numbers` of their file."""
        return self._came(numbers, lambda: msgspec.json.Decoder().decode_lines(rows.data))

    def of_columns(self, columns: Callable[[], Columns], numbers: np.ndarray) -> Came:
        """Look at rows as columns; `columns` is called where they are looked at."""
        return self._came(numbers, lambda: samples_of(columns()))

    def _came(self, numbers: np.ndarray, samples: Callable[[], Iterable[Mapping[str, Any]]]) -> Came:
        outputs = keys = None
        if self._assigns and len(numbers):
            looked_at = samples()
            if self._passed_over and self._holdout_by is None:
                looked_at = (
                    {name: value for name, value in sample.items() if name not in self._passed_over}
                    for sample in looked_at
                )
            outputs = assignment(hashes_of_samples(looked_at, self._holdout_by), self._request.holdout or {})
        if self._columns and len(numbers):
            keys = keys_of_samples(samples(), self._columns)
        return Came(numbers, outputs, keys)

    def first_of_each(self, came: Came) -> np.ndarray | None:
        """Return which of the next rows stay, int64 array of indices; None where all do."""
        if self._unique is None or not len(came.lines):
            return None
        kept = self._unique.kept(came.keys, len(came.lines))
        return kept if len(kept) < len(came.lines) else None

    def check_end(self, name: str) -> None:
        """See to it that these were the rows whose keys were compared; `name` is for the error."""
        if isinstance(self._unique, FirstRows):
            self._unique.check_end(name)

    def parted(self, rows: Rows, outputs: np.ndarray | None) -> list[tuple[str, Rows]]:
        """Return finished rows by output, where `outputs` says which; None looks at their bytes."""
        names = self._request.outputs
        if not self._request.holdout:
            return [(names[0], rows)]
        if outputs is None:
            outputs = assignment(hashes_of_rows(rows), self._request.holdout)
        return [(name, rows.take(np.flatnonzero(outputs == index))) for index, name in enumerate(names)]
