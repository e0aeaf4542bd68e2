"""A dump, block by block: whatever its size, some megabytes of it are in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, NamedTuple

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import line_blocks, open_packed
from pyloader.files.unpacking import FETCH_AGAIN

__all__ = ["BLOCK_BYTES", "STANDARD_INPUT", "Block", "Place", "Source", "bytes_read", "ends_early", "opened"]

# Large enough that calls are few, small enough to stay in the processor's cache.
BLOCK_BYTES = 2**22

STANDARD_INPUT = "standard input"


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
      lines: The number of each row's line, where they do not follow one another; empty where they do.
      bad: The errors of rows that are not in it.
    """

    content: bytes | Columns
    line: int
    after: Place
    bytes_read: int
    lines: Sequence[int] = ()
    bad: Sequence[SplitError] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One input, read from any place where a block has begun.

    Attributes:
      name: As the user knows it.
      num_bytes: On disk; 0 for standard input.
      blocks: Yields its blocks from a place on.  Raises SplitError when it is damaged, naming the line or row.
    """

    name: str
    num_bytes: int
    blocks: Callable[[Place], Generator[Block, None, None]]


@contextmanager
def opened(name: str, offset: int = 0) -> Iterator[IO[bytes]]:
    """Open a dump, packed or not, at a byte: at once in a plain file, by reading up to it in a packed one.

    Raises:
      SplitError: it is missing, or shorter than that.
    """
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    try:
        stream = open_packed(name)
    except OSError as exc:
        raise SplitError(name, f"cannot be opened ({(exc.strerror or str(exc)).lower()}).") from exc
    with stream:
        if stream.seekable():
            stream.seek(offset)
        while not stream.seekable() and offset:
            passed = len(stream.read(min(offset, BLOCK_BYTES)))
            if not passed:
                raise SplitError(name, "is shorter than it was when it was first read.")
            offset -= passed
        yield stream


def bytes_read(stream: IO[bytes], otherwise: int) -> int:
    """Return how many bytes of the file on disk have been read, for the progress bar; `otherwise` when unknown."""
    position = getattr(getattr(stream, "raw", None), "packed_position", None)
    return otherwise if position is None else int(position())


def ends_early(name: str, exc: ChunkReadError) -> SplitError:
    """Return the error for a dump whose packing is broken, with the line: nobody counts lines until then."""
    try:
        for _ in line_blocks(name):
            pass
    except ChunkReadError as found:
        exc = found
    again = "Fetch it again; nothing of it counts as complete"
    return SplitError(name, exc.what, again if exc.hint == FETCH_AGAIN else exc.hint)
