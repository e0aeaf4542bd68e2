"""An object of a store as a file: read from any place on, by as few requests as that takes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from pyloader.files.fetching import FetchTerms, object_blocks
from pyloader.files.stores import Store, Stored

__all__ = ["ObjectFile"]

_LEAST_BYTES = 2**16  # asked for beyond what is read
_MOST_BYTES = 2**26
_FAR_BYTES = 2**22  # passed over by another request; fewer come, and are dropped


class ObjectFile(io.RawIOBase):
    """One version of an object.

    A request brings what is read, and a part of what follows, which is larger each time that reading goes on there.

    Args:
      store: Where the object is.
      stored: The object.
      terms: How it is fetched.
      stop: Up to where it will be read; one request brings all of it.  0 when unknown.
      needs_ranges: Whether a server is refused that sends all of an object, whatever is asked for.

    Raises:
      StoreError: while reading: it cannot be read, or has changed.
    """

    def __init__(
        self, store: Store, stored: Stored, terms: FetchTerms, *, stop: int = 0, needs_ranges: bool = False
    ) -> None:
        super().__init__()
        self._needs_ranges = needs_ranges
        self._store, self._stored, self._terms, self._stop = store, stored, terms, stop
        self._position = 0
        self._blocks: Iterator[bytes] = iter(())  # of the request
        self._block = memoryview(b"")  # what came last of it, and was not read
        self._begin = self._end = 0  # where that block begins, and where the request ends
        self._ahead_bytes = _LEAST_BYTES

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._stored.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        target = memoryview(buffer).cast("B")
        wanted = min(len(target), self._stored.size - self._position)
        if wanted <= 0:
            return 0
        is_far = self._position > self._begin + len(self._block) + _FAR_BYTES
        if is_far or not self._begin <= self._position < self._end:
            self._ask(wanted)
        while self._position >= self._begin + len(self._block):
            self._begin += len(self._block)
            self._block = memoryview(next(self._blocks))
        here = self._block[self._position - self._begin :][:wanted]
        target[: len(here)] = here
        self._position += len(here)
        return len(here)

    def close(self) -> None:
        self._blocks = iter(())  # which ends the request
        super().close()

    def _ask(self, wanted: int) -> None:
        """Ask for the bytes from here on."""
        follows = self._position == self._end
        self._ahead_bytes = min(2 * self._ahead_bytes, _MOST_BYTES) if follows else _LEAST_BYTES
        for _ in self._blocks if self._end - self._begin <= 4 * _LEAST_BYTES else ():
            pass  # a connection whose answer was read to its end serves the next request, too
        self._begin, self._block = self._position, memoryview(b"")
        self._end = min(self._stored.size, max(self._position + wanted, self._stop) + self._ahead_bytes)
        self._blocks = object_blocks(
            self._store, self._stored, self._terms, self._begin, self._end, needs_ranges=self._needs_ranges
        )
