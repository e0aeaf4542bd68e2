"""What the footer of a Parquet file says of its columns: whether pyarrow can look at it without ending the process."""

from __future__ import annotations

import io
from typing import Any

from pyloader.errors import import_optional

__all__ = ["check_columns"]


def check_columns(footer: Any, file_bytes: int) -> None:
    """Raise where `footer.row_group(i).column(j)` would end the process: pyarrow catches no error there.

    It does where it plans reads.  So it plans those of all columns, of a file that refuses the first read.

    Args:
      footer: As pyarrow gives it.
      file_bytes: The size of its file.

    Raises:
      ArrowException, OSError: what is said of a column contradicts itself.
    """
    parquet = import_optional("pyarrow.parquet", wanted_by="ParquetReader")
    source = _Unread(file_bytes)
    with parquet.ParquetFile(source, metadata=footer, pre_buffer=True) as opened:
        try:
            next(iter(opened.iter_batches(use_threads=False)), None)
        except OSError:
            if not source.was_asked:
                raise


class _Unread(io.RawIOBase):
    """A file of some size that refuses to be read, and notes that it was asked to."""

    def __init__(self, num_bytes: int) -> None:
        self._num_bytes, self._place = num_bytes, 0
        self.was_asked = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._place = offset + (0, self._place, self._num_bytes)[whence]
        return self._place

    def read(self, size: int = -1, /) -> bytes:
        self.was_asked = True
        raise OSError("is not read here")
