"""HDF5 files -> columns."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns
from pyloader.errors import ChunkReadError, MissingDependencyError, PyLoaderError, import_optional
from pyloader.files import Room, named_by_content
from pyloader.part import Part, joined_ranges
from pyloader.ragged import Ragged
from pyloader.read.array_rows import check_rows_of_part, spans_of_file
from pyloader.read.hdf5_datasets import StoredRows, bytes_beside, datasets_of, row_bytes
from pyloader.read.options import NamedColumnsReader

__all__ = ["Hdf5Reader"]

_PIECE_ROWS = 256  # of unequal length, read at once
_HEAP_BYTES = 2**20  # of strings and rows of unequal length that each part may read
_MOST_TIMES = 4  # or all parts together, as many times the file
_VALUE_BYTES = 57  # of a str without its text, and its place in a list


class Hdf5Reader(NamedColumnsReader):
    """HDF5 files (.h5, .hdf5), by h5py: a dataset is a column.

    Numbers, booleans and dates come as arrays of shape [rows, ...], strings as lists of str, rows of unequal length
    (vlen) as Ragged.  Only the file itself is read: links to other files, data in other files (external, virtual) and
    references are errors.

    h5py lets one thread at a time into HDF5; what is stored in one piece and not packed is read beside it.

    Args:
      columns: The datasets to read, by their paths: ["train/x", "train/y"].  None: all those of the root, which must
        have the same number of rows; single values are passed over.
    """

    is_thread_safe = True

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read the datasets.

        Returns:
          The columns, and how many rows there are.

        Raises:
          ChunkReadError: the file is cut or damaged, lacks one of `columns`, has datasets of several lengths, or one
            that is not read (references, compounds, links to other files, a filter that h5py lacks).
          MissingDependencyError: h5py is not installed, or the package of a filter is not.
        """
        with _reading(path) as file:
            found = datasets_of(file, path, self.columns)
            num_rows = len(next(iter(found.values())))
            return self._rows(found, path, 0, num_rows), num_rows

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find parts that begin where storage chunks begin, in all columns.

        Returns:
          The parts; None where strings or rows of unequal length are much of the file: these do not lie in the order of
          rows, so that each part would read all of them.

        Raises:
          ChunkReadError: as `read_file`.
        """
        with _reading(path) as file:
            found = datasets_of(file, path, self.columns)
            num_rows = len(next(iter(found.values())))
            size = os.path.getsize(path)
            beside = bytes_beside(file, size)
            together = math.lcm(*(1 if data.chunks is None else data.chunks[0] for data in found.values()))
            spans = spans_of_file(
                path,
                num_rows,
                sum(map(row_bytes, found.values())),
                file_bytes=size,
                group=together,
                chunk_bytes=chunk_bytes,
                chunk_samples=chunk_samples,
            )
            is_unequal = any(data.dtype.kind == "O" for data in found.values())
            read_by_each = sum(stop - start for start, stop in beside)
            if is_unequal and read_by_each > _HEAP_BYTES and read_by_each * len(spans) > _MOST_TIMES * size:
                return None
            stored = [StoredRows(data) for data in found.values()]
            return [
                Part(
                    first,
                    stop - first,
                    joined_ranges([*beside, *(place for rows in stored for place in rows.ranges(first, stop))]),
                )
                for first, stop in spans
            ]

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read the part's rows; see `read_file`."""
        with _reading(path) as file:
            found = datasets_of(file, path, self.columns)
            check_rows_of_part(path, part, len(next(iter(found.values()))))
            return self._rows(found, path, part.first, part.stop), part.num_samples

    def _rows(self, found: dict[str, Any], path: str, first: int, stop: int) -> Columns:
        room = Room(path)  # what is packed, or was never written, takes less on disk
        return {name: self._column(data, path, name, first, stop, room) for name, data in found.items()}

    def _column(self, data: Any, path: str, name: str, first: int, stop: int, room: Room) -> Column:
        h5py = import_optional("h5py", wanted_by="Hdf5Reader")
        if h5py.check_string_dtype(data.dtype) is not None:
            return _strings(data, path, name, first, stop, room)
        if (item := h5py.check_vlen_dtype(data.dtype)) is not None:
            return _ragged(data, np.dtype(item).newbyteorder("="), first, stop, room)
        shape = (stop - first, *data.shape[1:])
        dtype = data.dtype.newbyteorder("=")
        room.take(math.prod(shape) * dtype.itemsize)
        array = self._memory.empty(shape, dtype)
        if array.size and not _read_beside(data, path, first, array):
            data.read_direct(array, np.s_[first:stop])
        return array


def _read_beside(data: Any, path: str, first: int, array: np.ndarray) -> bool:
    """Read rows of a dataset that lies in the file as one array does, without h5py's lock; tell whether it does."""
    offset = data.id.get_offset()
    if offset is None or data.chunks is not None or data.dtype != array.dtype or array.dtype.kind not in "biufc":
        return False
    if array.dtype.kind == "b" or data.id.get_storage_size() != data.nbytes:
        return False  # a boolean of HDF5 may be any byte
    target = array.reshape(-1).view(np.uint8).data
    with open(path, "rb", buffering=0) as file:
        file.seek(offset + first * (data.nbytes // len(data)))
        filled = 0
        while filled < len(target) and (count := file.readinto(target[filled:])):
            filled += count
    return filled == len(target)


def _strings(data: Any, path: str, name: str, first: int, stop: int, room: Room) -> list[str]:
    found: list[str] = []
    room.take(_VALUE_BYTES * (stop - first))
    for start in range(first, stop, _PIECE_ROWS):
        values = data[start : min(stop, start + _PIECE_ROWS)].tolist()
        room.take(sum(map(len, values)))
        try:
            found += [value.decode() for value in values]
        except UnicodeDecodeError as exc:
            what = f"holds text in {name!r} that is not UTF-8: {exc.object[:40]!r}."
            raise ChunkReadError(path, what, "Write that dataset as numbers (uint8, vlen), or mend the text") from exc
    return found


def _ragged(data: Any, dtype: np.dtype[Any], first: int, stop: int, room: Room) -> Ragged:
    rows: list[np.ndarray] = []
    room.take(_VALUE_BYTES * (stop - first))
    for start in range(first, stop, _PIECE_ROWS):
        piece = [row.astype(dtype, copy=False) for row in data[start : min(stop, start + _PIECE_ROWS)]]
        room.take(sum(row.nbytes for row in piece))
        rows += piece
    return Ragged.from_rows(rows, dtype=dtype)


@contextmanager
def _reading(path: str) -> Iterator[Any]:
    """Open the file; what h5py raises for damage becomes the package's error."""
    h5py = import_optional("h5py", wanted_by="Hdf5Reader")
    with open(path, "rb"):
        pass  # which says why it cannot be opened, in Python's words
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except (PyLoaderError, MissingDependencyError, MemoryError):
        raise
    except Exception as exc:  # damage makes h5py raise almost anything
        if isinstance(exc, OSError) and exc.errno is not None:
            raise  # the disk's
        what = f"is damaged, or no HDF5 file ({str(exc).strip().rstrip('.')})."
        error = ChunkReadError(path, what, "Fetch it again, or max_skipped=1 to go on without it")
        raise named_by_content(error) from exc
