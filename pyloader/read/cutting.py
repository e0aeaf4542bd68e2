"""Where a file of records is cut into parts: at the beginning of a record, by bytes or by number."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyloader.files import bytes_at, num_bytes_of, open_bytes

__all__ = ["BLOCK_BYTES", "Cut", "Cutter", "FileBytes"]

BLOCK_BYTES = 2**16  # read at once where headers are looked for: records in between are passed over


class Cut(NamedTuple):
    """Records of a file, one after another, that are to be a part."""

    first: int  # the first record, counted from 0
    num_samples: int
    start: int  # in bytes of the file
    stop: int
    detail: Any  # what was said where its first record began


class Cutter:
    """Takes the beginnings of all records of a file, in their order, and says where to cut.

    Args:
      chunk_bytes: A part ends with the record that makes it so large.
      chunk_samples: How many records a part has; then bytes do not matter.  None: they do.
    """

    def __init__(self, chunk_bytes: int, chunk_samples: int | None) -> None:
        self._chunk_bytes, self._chunk_samples = chunk_bytes, chunk_samples
        self._cuts: list[Cut] = []
        self._first = self._start = self._count = 0
        self._detail: Any = None

    def record(self, start: int, detail: Any = None) -> None:
        """Take it that a record begins at this byte."""
        if self._chunk_samples is None:
            is_full = self._count > 0 and start - self._start >= self._chunk_bytes
        else:
            is_full = self._count >= self._chunk_samples
        if is_full:
            self._end_part(start)
        if not self._count:
            self._start, self._detail = start, detail
        self._count += 1

    def records(self, starts: np.ndarray) -> None:
        """Take it that records begin at these bytes, none of which has a detail: as `record` for each."""
        done = 0
        while done < len(starts):
            self.record(int(starts[done]))
            done += 1
            if self._chunk_samples is None:
                end = int(np.searchsorted(starts, self._start + self._chunk_bytes))
            else:
                end = done + self._chunk_samples - self._count
            more = max(0, min(end, len(starts)) - done)
            self._count += more
            done += more

    def cuts(self, stop: int) -> list[Cut]:
        """Return all parts; the last record ends at this byte."""
        if self._count:
            self._end_part(stop)
        return self._cuts

    def _end_part(self, stop: int) -> None:
        self._cuts.append(Cut(self._first, self._count, self._start, stop, self._detail))
        self._first, self._count = self._first + self._count, 0


class FileBytes:
    """Gives bytes of a file by their place, and reads a block at once: for headers that lie far apart.

    Use it in `with`.
    """

    def __init__(self, path: str) -> None:
        self._file, self.size = open_bytes(path), num_bytes_of(path)
        self._start, self._block = 0, b""

    def __enter__(self) -> FileBytes:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def stretch(self, start: int, num_bytes: int) -> bytes:
        """Return so many bytes from this place on, of which none is kept for later; fewer at the end of the file."""
        return bytes_at(self._file, start, num_bytes)

    def __call__(self, start: int, num_bytes: int) -> bytes:
        """Return so many bytes from this place on; fewer at the end of the file."""
        at = start - self._start
        if at < 0 or at + num_bytes > len(self._block):
            self._start, at = start, 0
            self._block = bytes_at(self._file, start, max(num_bytes, BLOCK_BYTES))
        return self._block[at : at + num_bytes]
