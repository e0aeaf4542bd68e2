"""A dump, block by block: whatever its size, some megabytes of it are in memory."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, NamedTuple, Protocol

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files.compressors import open_packed, packing_of

__all__ = ["BLOCK_BYTES", "Block", "Place", "Source", "ends_early", "is_damaged", "opened", "position_in", "skip_bytes"]

# Large enough that calls are few, small enough to stay in the processor's cache.
BLOCK_BYTES = 2**22

_FETCH = "Fetch it again; nothing of it counts as complete"


class Place(NamedTuple):
    """Where a block begins in its source.

    Attributes:
      offset: In unpacked bytes, for lines; in rows, for everything else.
      line: The line or row there, counted from 1.
    """

    offset: int = 0
    line: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a source.

    Attributes:
      content: Whole lines, each with its newline, or columns.
      line: The number of its first line or row, from 1.
      after: Where the next block begins.
      bytes_read: How many bytes of the source have been read up to its end, as they lie on disk.
    """

    content: bytes | Columns
    line: int
    after: Place
    bytes_read: int


class Source(Protocol):
    """One input, read from any place where a block has begun.

    Attributes:
      name: As the user knows it.
      num_bytes: On disk; 0 for standard input.
    """

    name: str
    num_bytes: int

    def blocks(self, start: Place) -> Generator[Block, None, None]:
        """Yield the blocks from `start` on.

        Raises:
          SplitError: the source is damaged; the message names the line or row.
        """


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Open a dump, packed or not; a missing one is a SplitError."""
    try:
        stream = open_packed(path)
    except OSError as exc:
        raise SplitError(path, f"cannot be opened ({(exc.strerror or str(exc)).lower()}).") from exc
    with stream:
        yield stream


def skip_bytes(stream: IO[bytes], path: str, num_bytes: int) -> None:
    """Go to `num_bytes` from the start of a stream just opened: at once in a plain file, by reading in a packed one."""
    if not packing_of(path):
        stream.seek(num_bytes)
        return
    while num_bytes:
        got = len(stream.read(min(num_bytes, BLOCK_BYTES)))
        if not got:
            raise SplitError(path, "is shorter than it was when it was first read.")
        num_bytes -= got


def position_in(stream: IO[bytes], path: str, offset: int) -> int:
    """Return how many bytes of the file on disk have been read, for the progress bar."""
    position = getattr(getattr(stream, "raw", None), "packed_position", None)
    if position is not None:
        return int(position())
    return 0 if packing_of(path) else min(offset, os.path.getsize(path))


def ends_early(name: str, exc: ChunkReadError) -> SplitError:
    """Return the error for a dump of lines whose packing is broken, with the line: nobody counts lines until then."""
    line = 1
    try:
        with open_packed(name) as stream:
            while block := stream.read1():  # type: ignore[attr-defined]
                line += block.count(b"\n")
    except ChunkReadError:
        pass
    return SplitError(name, f"{exc.what.rstrip('.')}, inside line {line:,}.", _FETCH)


def is_damaged(name: str, row: int, exc: ChunkReadError) -> SplitError:
    """Return the error for a dump of rows whose packing is broken."""
    return SplitError(name, f"{exc.what.rstrip('.')}, inside row {row:,}.", _FETCH)
