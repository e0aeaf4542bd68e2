"""ArrayRecord files: the rows of arrays, one record each."""

from __future__ import annotations

import functools
import logging
import math
import os
import timeit
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from pyloader.errors import ClosedError, DatasetError
from pyloader.indexed.dataset import FileDataset
from pyloader.indexed.rows import Rows
from pyloader.machine.limits import open_files_share
from pyloader.read.arrayrecord import damaged, group_size, opened, wrong_length

__all__ = ["META_NAME", "ARDataset", "Meta"]

_log = logging.getLogger("pyloader")

META_NAME = "meta.json"

# In the calling thread, without readahead.  With a buffer of 4 KiB scattered records of 3 KiB come 1.6 times as fast as
# with the 32 KiB of array_record's own data source.
_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
_BUFFER_BYTES = 4096

# A list of records is shared out to array_record's threads, which costs more than it gains for so many.
_FEW = 64

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What meta.json says, as `converter` writes it."""

    length: _Count  # how many rows there are
    shape: tuple[_Count, ...]  # the shape of a row
    dtype: str  # the dtype of its numbers, "float32"
    blocks: tuple[str, ...]  # the files, beside it, in the order of their rows


class ARDataset(FileDataset[np.ndarray]):
    """The rows of an array, each a record of ArrayRecord files.

    Rows are reached fastest where records are in groups of one, as `converter` writes them (group_size:1).  With larger
    groups each row that is read alone costs its whole group, which is said once, with the cost; rows of one group that
    are read together are decoded once.

    Of many files those used last stay open, a quarter of what the system allows this process (often 1,024).  Rows in
    random order are read from all files alike: where they cannot all stay open, convert with a larger blocksize.

    Args:
      path: A directory with meta.json; or one file, or several, with dtype and shape.
      dtype: Of the numbers in a record.
      shape: Of a row, () for a single number.

    Raises:
      DatasetError: dtype or shape is missing; a file is damaged; records have another length than they say.
      FileNotFoundError: there is no such file.
      MissingDependencyError: array_record is not installed.
    """

    is_thread_safe = True

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        dtype: npt.DTypeLike | None = None,
        shape: Sequence[int] | None = None,
    ) -> None:
        paths, meta = _files(path)
        if meta is None and (dtype is None or shape is None):
            lacking = " and ".join(name for name, value in (("dtype", dtype), ("shape", shape)) if value is None)
            what = f"does not say what its records are; {lacking} must be given."
            raise DatasetError(paths[0], what, f"Write ARDataset({paths[0]!r}, dtype='float32', shape=(28, 28))")
        self.dtype = np.dtype(meta.dtype if meta is not None and dtype is None else dtype)
        self.shape = tuple(meta.shape if meta is not None and shape is None else shape or ())
        if self.dtype.hasobject:
            raise DatasetError(paths[0], f"cannot hold {self.dtype}.", "Give a dtype of numbers")
        self._row_bytes = self.dtype.itemsize * math.prod(self.shape)
        self._paths = paths
        # A reader may be used by several threads; one that is dropped while a thread uses it lives as long as that.  A
        # forked process opens its own: the position in an open file is shared with the parent.
        self._opened = functools.lru_cache(open_files_share())(lambda file, process: _reader(paths[file]))
        self._is_closed = False
        readers = map(self._reader_of, range(len(paths)))
        counts, group_sizes = zip(*((reader.num_records(), group_size(reader)) for reader in readers), strict=True)
        self._starts = np.cumsum([0, *counts])
        if meta is not None and meta.length != self._starts[-1]:
            what = f"says {meta.length:,} rows, and the files hold {self._starts[-1]:,}."
            raise DatasetError(os.path.dirname(paths[0]), f"{META_NAME} {what}", "Convert the array again")
        self._group_sizes: list[int] = list(group_sizes)
        self._warn_of_groups()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, indices: np.ndarray) -> Rows:
        """Return the rows at `indices`: a new array of shape [n, *self.shape], writable.

        Raises:
          ClosedError: after close().
          DatasetError: a record has another length than dtype and shape say, or cannot be read.
        """
        if self._is_closed:
            raise ClosedError(f"{self!r} is closed.", "Make another one")
        records: list[bytes] = []
        files = np.searchsorted(self._starts, indices, side="right") - 1
        order = np.argsort(files, kind="stable")
        used, first = np.unique(files[order], return_index=True)
        for file, positions in zip(used.tolist(), np.split(order, first[1:]), strict=False):
            within = indices[positions] - self._starts[file]
            found = self._records(file, within)
            if any(len(record) != self._row_bytes for record in found):
                raise wrong_length(self._paths[file], found, within.tolist(), self.dtype, self.shape, DatasetError)
            records += found
        joined = bytearray().join(records)
        rows = np.frombuffer(joined, self.dtype).reshape(len(records), *self.shape)
        if len(used) > 1:
            rows = rows.take(np.argsort(order), axis=0)
        return rows.astype(self.dtype.newbyteorder("="), copy=False)

    def close(self) -> None:
        """Close the files; a running `take` in another thread still ends well."""
        self._is_closed = True
        self._opened.cache_clear()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._paths[0]!r}, {len(self):,} rows of {self.dtype} {list(self.shape)})"

    def _reader_of(self, file: int) -> Any:
        return self._opened(file, os.getpid())

    def _records(self, file: int, indices: np.ndarray) -> list[bytes]:
        reader = self._reader_of(file)
        try:
            if self._group_sizes[file] > 1:
                return _in_ranges(reader, indices, self._group_sizes[file])
            if len(indices) <= _FEW:
                return [reader.read(index, index + 1)[0] for index in indices.tolist()]
            found: list[bytes] = reader.read(indices.tolist())
            return found
        except (RuntimeError, ValueError) as exc:
            what = f"cannot be read ({str(exc).partition(';')[0]})."
            raise DatasetError(self._paths[file], what, "Fetch it again, or convert the array again") from exc

    def _warn_of_groups(self) -> None:
        file = int(np.argmax(self._group_sizes))
        size = self._group_sizes[file]
        if size == 1 or not len(self):
            return
        count = int(self._starts[file + 1] - self._starts[file])
        _, alone = timeit.repeat(lambda: self._records(file, np.array([count // 2])), number=1, repeat=2)
        _, together = timeit.repeat(lambda: self._records(file, np.arange(min(size, count))), number=1, repeat=2)
        _log.warning(
            "%s has its records in groups of %d: a row read alone takes %.0f us here, a row of a whole group %.1f us. "
            "For random access write it with group_size:1, as pyloader.indexed.converter does",
            self._paths[file],
            size,
            alone * 1e6,
            together / min(size, count) * 1e6,
        )


def _files(path: Any) -> tuple[list[str], Meta | None]:
    """Return the files, and what a directory's meta.json says of them."""
    if not isinstance(path, str | os.PathLike):
        paths = [os.fspath(file) for file in path]
        if not paths:
            raise ValueError("ARDataset needs at least one file, got an empty list")
        return paths, None
    if not os.path.isdir(path):
        return [os.fspath(path)], None
    meta_path = Path(path, META_NAME)
    if not meta_path.exists():
        what = f"has no {META_NAME}, which pyloader.indexed.converter writes."
        raise DatasetError(os.fspath(path), what, "Name its files, with dtype= and shape=")
    try:
        meta = msgspec.json.decode(meta_path.read_bytes(), type=Meta)
        np.dtype(meta.dtype)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as exc:
        raise DatasetError(str(meta_path), f"is damaged ({exc}).", "Convert the array again") from exc
    if not meta.blocks or any(Path(block).name != block for block in meta.blocks):
        raise DatasetError(str(meta_path), "must list files beside it, at least one.", "Convert the array again")
    return [os.path.join(path, block) for block in meta.blocks], meta


def _reader(path: str) -> Any:
    try:
        return opened(path, _OPTIONS, wanted_by="ARDataset", file_reader_buffer_size=_BUFFER_BYTES)
    except (RuntimeError, ValueError) as exc:
        hint = "Fetch it again, or write it again and close the writer"
        raise damaged(path, exc, hint, DatasetError) from exc


def _in_ranges(reader: Any, indices: np.ndarray, group_size: int) -> list[bytes]:
    """Read with one request for the wanted rows of each group, so that it is decoded once."""
    wanted, places = np.unique(indices, return_inverse=True)
    ends_a_group = np.flatnonzero(np.diff(wanted // group_size)) + 1
    records: list[bytes] = []
    for group in np.split(wanted, ends_a_group):
        first = int(group[0])
        found = reader.read(first, int(group[-1]) + 1)
        records += [found[index - first] for index in group.tolist()]
    return [records[place] for place in places.tolist()]
