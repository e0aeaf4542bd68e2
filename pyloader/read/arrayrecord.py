"""ArrayRecord -> raw bytes, or one array."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from pyloader.columns import Columns
from pyloader.datareader import DataReader
from pyloader.errors import ChunkReadError, FileError, import_optional
from pyloader.files import Room, named_by_content
from pyloader.machine.memory import RecycledMemory, keep_freed_memory
from pyloader.part import INDEX_AGAIN, Part, row_spans
from pyloader.ragged import Ragged

__all__ = ["ArrayRecordReader", "damaged", "group_size", "opened", "wrong_length"]

# In the calling thread: the loader's own readers work side by side already.  (array_record starts its
# pool of 64 threads, idle then, whatever one asks for.)
_OPTIONS = "readahead_buffer_size:1M,max_parallelism:0"

_RANGE_BYTES = 2**20  # on disk
_JOINED_BYTES = 2**16
_RECORD_BYTES = 41  # a bytes object without its bytes, and its place in a list


class ArrayRecordReader(DataReader):
    """ArrayRecord files (.arrayrecord, .array_record, .ar).

    Without `dtype` the column "record" is a list of bytes.  With it, one array column: the bytes of a record are the
    numbers of a row, in C order.

    Args:
      dtype: The dtype of the numbers in a record, "<f4" say; None for raw bytes.
      shape: The shape of a row, () for one number.
      name: What the array's column is called.
      ragged: Whether raw bytes come as a `Ragged` of bytes.
    """

    is_thread_safe = True
    returns_new_arrays = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        dtype: npt.DTypeLike | None = None,
        shape: tuple[int, ...] = (),
        name: str = "data",
        ragged: bool = False,
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        if dtype is None and shape:
            raise ValueError(f"shape={shape} needs a dtype as well: dtype='float32'")
        self.dtype = None if dtype is None else np.dtype(dtype)
        if self.dtype is not None and self.dtype.hasobject:
            raise ValueError(f"dtype must be of numbers, got {self.dtype}")
        if ragged and dtype is not None:
            raise ValueError("ragged=True is for raw bytes, and dtype says that a record is numbers. Leave one out")
        self.shape, self.name, self.ragged = tuple(shape), name, ragged
        self._memory = RecycledMemory()

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read all records.

        Returns:
          {"record": list of bytes, or a `Ragged` of them}, or {name: array of shape [records, *shape]}; and how many
          records there are.

        Raises:
          ChunkReadError: the file is cut or damaged; a record has another length than dtype and shape say.
          MissingDependencyError: array_record is not installed.
        """
        return self._read_twice(path, None)

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find spans of whole groups, by the file's own index; which bytes they take it does not say.

        Raises:
          ChunkReadError: the file is cut or damaged.
          MissingDependencyError: array_record is not installed.
        """
        with _reading(path) as reader:
            num_records, group = int(reader.num_records()), group_size(reader)
        spans = row_spans(
            num_records, os.path.getsize(path), chunk_bytes=chunk_bytes, chunk_samples=chunk_samples, group=group
        )
        return [Part(first, stop - first, ()) for first, stop in spans]

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read some records.

        Raises:
          ChunkReadError: as `read_file`, or the file has no such records.
        """
        return self._read_twice(path, part)

    def _read_twice(self, path: str, part: Part | None) -> tuple[Columns, int]:
        keep_freed_memory()
        try:
            return self._read(path, part)
        except ChunkReadError:
            # array_record does not tell a disk that fails from damage.  Python does; if all is well by now, it was the
            # disk.
            with open(path, "rb", buffering=0) as file:
                while file.read(_RANGE_BYTES):
                    pass
            return self._read(path, part)

    def _read(self, path: str, part: Part | None) -> tuple[Columns, int]:
        with _reading(path) as reader:
            there = int(reader.num_records())
            begin, end = (0, there) if part is None else (part.first, part.stop)
            if end > there:
                what = f"has {there:,} records, and its index names {begin:,} to {end:,}."
                raise ChunkReadError(path, what, INDEX_AGAIN)
            num_records = end - begin
            room = Room(path)  # records are packed
            if self.ragged:
                parts = [Ragged.from_rows([], dtype=bytes)]
                for _, records in _in_ranges(reader, path, begin, end):
                    parts.append(Ragged.from_rows(records, dtype=bytes))
                    room.take(2 * parts[-1].nbytes)  # once more where they are joined
                return {"record": Ragged.concatenate(parts)}, num_records
            if self.dtype is None:
                found: list[bytes] = []
                for _, records in _in_ranges(reader, path, begin, end):
                    room.take(sum(map(len, records)) + _RECORD_BYTES * len(records))
                    found += records
                return {"record": found}, num_records
            room.take(num_records * self.dtype.itemsize * math.prod(self.shape))
            array = self._memory.empty((num_records, *self.shape), self.dtype)
            row_bytes = self.dtype.itemsize * math.prod(self.shape)
            view = array.reshape(-1).view(np.uint8).data
            step = max(1, _JOINED_BYTES // max(1, row_bytes))
            for start, records in _in_ranges(reader, path, begin, end):
                if set(map(len, records)) != {row_bytes}:
                    raise wrong_length(path, records, range(start, start + len(records)), self.dtype, self.shape)
                for first in range(0, len(records), step):
                    rows = b"".join(records[first : first + step])
                    place = (start - begin + first) * row_bytes
                    view[place : place + len(rows)] = rows
        return {self.name: array.astype(self.dtype.newbyteorder("="), copy=False)}, num_records


def wrong_length(
    path: str,
    records: Sequence[bytes],
    numbers: Sequence[int],
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    error: type[FileError] = ChunkReadError,
) -> FileError:
    """Return the error for the first of these records, by its number, that is no row of this dtype and shape."""
    row_bytes = dtype.itemsize * math.prod(shape)
    number, length = next((n, len(r)) for n, r in zip(numbers, records, strict=True) if len(r) != row_bytes)
    what = f"record {number:,} has {length:,} bytes; {dtype} {list(shape)} takes {row_bytes:,}."
    return error(path, what, "Name the dtype and shape it was written with")


def group_size(reader: Any) -> int:
    """Return how many records an open file has in a group, which is unpacked as a whole."""
    found = re.search(r"group_size:(\d+)", reader.writer_options_string() or "")
    return max(1, int(found[1])) if found else 1  # files from before October 2022 do not say


def opened(path: str, options: str, *, wanted_by: str, **more: Any) -> Any:
    """Return array_record's reader of a file, which has these options.

    Raises:
      RuntimeError, ValueError: it is damaged, or no ArrayRecord file.
      OSError: it is missing or forbidden.
      MissingDependencyError: array_record is not installed.
    """
    module = import_optional("array_record.python.array_record_module", wanted_by=wanted_by)
    with open(path, "rb"):
        pass  # which says why it cannot be opened, as array_record does not
    reader = module.ArrayRecordReader(path, options, **more)
    if not reader.ok():  # all that tells when a cut file looks like an empty one
        raise RuntimeError("its footer is missing: was the writer closed?")
    return reader


def damaged(path: str, exc: Exception, hint: str, error: type[FileError] = ChunkReadError) -> FileError:
    """Return the error for what array_record raised."""
    what = f"is damaged, or no ArrayRecord file ({str(exc).partition(';')[0]})."
    return named_by_content(error(path, what, hint))


@contextmanager
def _reading(path: str) -> Iterator[Any]:
    try:
        reader = opened(path, _OPTIONS, wanted_by="ArrayRecordReader")
        yield reader
        reader.close()
    except (RuntimeError, ValueError) as exc:
        raise damaged(path, exc, "Fetch it again, or max_skipped=1 to go on without it") from exc


def _in_ranges(reader: Any, path: str, begin: int, end: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the records from `begin` to `end`, some whole groups at a time, each time with the first one's index.

    What becomes of them is still in the processor's cache then, and their memory is used again for the next: reading
    all at once takes twice the time, for fresh memory.
    """
    num_records, group = reader.num_records(), group_size(reader)
    step = group * max(1, round(_RANGE_BYTES * num_records / (group * os.path.getsize(path))))
    for start in range(begin, end, step):
        stop = min(end, start + step)
        records: list[bytes] = reader.read(start, stop)
        if len(records) != stop - start:
            raise RuntimeError(f"{len(records):,} records where {stop - start:,} should be")
        yield start, records
