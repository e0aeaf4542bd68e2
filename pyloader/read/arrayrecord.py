"""ArrayRecord -> raw bytes, or one array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pyloader.columns import Columns
from pyloader.datareader import DataReader
from pyloader.errors import ChunkReadError
from pyloader.memory import RecycledMemory
from pyloader.optional import import_optional

__all__ = ["ArrayRecordReader"]

# In the calling thread: the loader's own readers work side by side already.  (array_record starts its
# pool of 64 threads, idle then, whatever one asks for.)
_OPTIONS = "readahead_buffer_size:1M,max_parallelism:0"


class ArrayRecordReader(DataReader):
    """ArrayRecord files (.arrayrecord, .array_record, .ar).

    Without `dtype` the column "record" is a list of bytes.  With it, one array column: the bytes of a record are the
    numbers of a row, in C order.

    Args:
      dtype: The dtype of the numbers in a record, "<f4" say; None for raw bytes.
      shape: The shape of a row, () for one number.
      name: What the array's column is called.
    """

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
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        if dtype is None and shape:
            raise ValueError(f"shape={shape} needs a dtype as well: dtype='float32'")
        self.dtype = None if dtype is None else np.dtype(dtype)
        if self.dtype is not None and self.dtype.hasobject:
            raise ValueError(f"dtype must be of numbers, got {self.dtype}")
        self.shape, self.name = tuple(shape), name
        self._memory = RecycledMemory()

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read all records.

        Returns:
          {"record": list of bytes}, or {name: array of shape [records, *shape]}, and how many records there are.

        Raises:
          ChunkReadError: the file is cut or damaged; a record has another length than dtype and shape say.
          MissingDependencyError: array_record is not installed.
        """
        records = _read_records(path)
        if self.dtype is None:
            return {"record": records}, len(records)
        array = self._memory.empty((len(records), *self.shape), self.dtype)
        row_bytes = self.dtype.itemsize * math.prod(self.shape)
        view = array.reshape(-1).view(np.uint8).data
        for index, record in enumerate(records):
            if len(record) != row_bytes:
                row = f"{self.dtype} {list(self.shape)}"
                what = f"record {index:,} has {len(record):,} bytes; {row} takes {row_bytes:,}."
                raise ChunkReadError(path, what, "Name the dtype and shape it was written with")
            view[index * row_bytes : (index + 1) * row_bytes] = record
        return {self.name: array.astype(self.dtype.newbyteorder("="), copy=False)}, len(records)


def _read_records(path: str) -> list[bytes]:
    module = import_optional("array_record.python.array_record_module", wanted_by="ArrayRecordReader")
    with open(path, "rb"):
        pass  # so that a file that is missing or forbidden is an OSError, as for any other reader
    try:
        reader = module.ArrayRecordReader(path, _OPTIONS)
        records: list[bytes] = reader.read_all()
        if not reader.ok():  # all that tells when a cut file looks like an empty one
            raise RuntimeError("its footer is missing")
        reader.close()
    except (RuntimeError, ValueError) as exc:
        what = f"is damaged, or no ArrayRecord file ({str(exc).partition(';')[0]})."
        raise ChunkReadError(path, what, "Fetch it again, or max_skipped=1 to go on without it") from exc
    return records
