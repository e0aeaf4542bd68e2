"""The keys of rows, of which only the first of each is to stay: 128 bits of the values of some columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import xxhash

from pyloader.errors import SplitError
from pyloader.write.holdout import canonical_encoder, value_of
from pyloader.write.segments import Frames

__all__ = ["Dropped", "FirstRows", "RowKeys", "UniqueRows", "first_rows", "keys_of_samples"]


class Dropped(NamedTuple):
    """Where it is written which rows of a unit are dropped.

    Attributes:
      files: The files of all units' rows that are dropped.
      bucket: That of this unit in each.
      num_rows: How many rows the unit has, with those that are dropped.
    """

    files: tuple[str, ...]
    bucket: int
    num_rows: int


class RowKeys:
    """Notes the keys of rows, and keeps none of them.

    Attributes:
      num_rows: So far.
      found: uint64 arrays of shape [rows, 3]: key, key, and the row's place; without the rows that have no key.
    """

    wants_keys = True

    def __init__(self) -> None:
        self.num_rows = 0
        self.found: list[np.ndarray] = []

    def kept(self, keys: np.ndarray | None, num_rows: int) -> np.ndarray:
        """Take the keys of some rows, as `keys_of_samples` gives them; return no row."""
        assert keys is not None
        places = np.arange(self.num_rows, self.num_rows + num_rows, dtype=np.uint64)
        self.found.append(np.column_stack([keys[:, :2], places])[keys[:, 2] == 1])
        self.num_rows += num_rows
        return np.empty(0, np.int64)


class FirstRows:
    """Keeps the rows that are not dropped.

    Args:
      dropped: Their places in the unit, ascending.
      num_rows: How many rows the unit has.
    """

    wants_keys = False

    def __init__(self, dropped: np.ndarray, num_rows: int) -> None:
        self._dropped, self._num_rows, self._place = dropped, num_rows, 0

    def kept(self, keys: np.ndarray | None, num_rows: int) -> np.ndarray:
        """Return which of the next rows stay: int64 array of indices."""
        first, self._place = self._place, self._place + num_rows
        low, high = np.searchsorted(self._dropped, [first, self._place])
        return np.setdiff1d(np.arange(num_rows), self._dropped[low:high] - first, assume_unique=True)

    def check_end(self, name: str) -> None:
        """Compare the rows with those whose keys were noted.

        Raises:
          SplitError: they are others.
        """
        if self._place != self._num_rows:
            what = f"gave {self._place:,} rows, and {self._num_rows:,} when their keys were looked for."
            raise SplitError(name, what, "Let --where depend on nothing but the row, and nobody change the dump")


UniqueRows: TypeAlias = RowKeys | FirstRows


def keys_of_samples(samples: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> np.ndarray:
    """Return the keys of rows: uint64 array of shape [rows, 3]: two halves, and 1, or 0 where a value is null.

    Values are equal as they are for the holdout.

    Args:
      samples: The rows of the dump, with all its columns.
      columns: Those that make the key.

    Raises:
      SplitError: a sample lacks one of them.
    """
    encode, digests, has_key = canonical_encoder(), [], []
    for sample in samples:
        values = [value_of(sample, name, "--unique") for name in columns]
        digests.append(xxhash.xxh3_128_digest(encode(values)))
        has_key.append(all(value is not None for value in values))
    halves = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2)
    return np.column_stack([halves.astype(np.uint64), np.array(has_key, np.uint64)])


def first_rows(directory: Path, dropped: Dropped | None) -> FirstRows | None:
    """Return what keeps the rows of a unit that are not dropped; None where all are kept.

    Raises:
      SplitError: a file is damaged.
    """
    if dropped is None:
        return None
    found = [np.empty(0, np.int64)]
    for file in dropped.files:
        frames = Frames(directory / file, is_keyed=False)
        try:
            found += [np.frombuffer(rows.data, "<i8") for rows, _ in frames.read(dropped.bucket)]
        finally:
            frames.close()
    return FirstRows(np.sort(np.concatenate(found)), dropped.num_rows)
