"""A dump, block by block: whatever its size, some megabytes of it are in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, NamedTuple

import numpy as np

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import line_blocks
from pyloader.files.unpacking import FETCH_AGAIN
from pyloader.write.input_files import InputFile, open_input

__all__ = ["BLOCK_BYTES", "STANDARD_INPUT", "WHOLE", "Block", "Source", "Span", "bytes_read", "ends_early", "opened"]

# Large enough that calls are few, small enough to stay in the processor's cache.
BLOCK_BYTES = 2**22

STANDARD_INPUT = "standard input"


class Span(NamedTuple):
    """A range of a source: bytes of a file of lines, rows of everything else.

    Attributes:
      start: Where it begins.
      stop: Where it ends; None is the end of the source.
    """

    start: int = 0
    stop: int | None = None


WHOLE = Span()
_NO_ENDS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a source.

    Attributes:
      content: Whole lines, each with its newline, as a memoryview; columns; or an Arrow table.
      line: The number of its first line or row, from 1.  Of lines it counts from the beginning of the span.
      bytes_read: How many bytes of the source have been read up to its end, as they lie on disk.
      lines: The number of each row's line, where they do not follow one another; empty where they do.
      bad: The errors of rows that are not in it.
      files: The file of each row, where each is a file of its own; empty where all are of the source's.
      ends: int64 array: where each line of `content` ends; empty where it is no lines, or nobody has looked.
    """

    content: memoryview | Columns
    line: int
    bytes_read: int
    lines: Sequence[int] = ()
    bad: Sequence[SplitError] = ()
    files: Sequence[str] = ()
    ends: np.ndarray = field(default_factory=lambda: _NO_ENDS)


@dataclass(frozen=True, slots=True)
class Source:
    """One input.

    Attributes:
      name: As the user knows it.
      num_bytes: On disk; 0 for standard input.
      blocks: Yields the blocks of a span.  Raises SplitError when it is damaged, naming the line or row.
      raw_bytes: Unpacked, an estimate where it is packed; 0 when unknown.
      length: In bytes for lines, in rows for everything else; 0 where it cannot be cut.
      cuts: Where a span may begin, in that unit, ascending; None is anywhere.
      is_stream: Whether it is lines that can be read only from their beginning on: packed, or standard input.
      path: What is opened; the name, where that is "".
      file: The object that is opened instead; None where it lies on a disk.
      is_read_through: Whether the blocks of all spans take every byte of the file, in order; then `blocks` gives them
        to the `PartDigest` that it is called with.
    """

    name: str
    num_bytes: int
    blocks: Callable[..., Generator[Block, None, None]]
    raw_bytes: int = 0
    length: int = 0
    cuts: tuple[int, ...] | None = None
    is_stream: bool = False
    path: str = ""
    is_read_through: bool = False
    file: InputFile | None = None

    @property
    def opens(self) -> InputFile | str:
        """What is opened."""
        return self.file or self.path or self.name


@contextmanager
def opened(file: InputFile | str, offset: int = 0, stop: int | None = None) -> Iterator[IO[bytes]]:
    """Open a dump, packed or not, at a byte: at once in a plain file, by reading up to it in a packed one.

    Args:
      file: The input, the path of one on a disk, or STANDARD_INPUT.
      offset: The byte.
      stop: About up to where it will be read; None is its end.

    Raises:
      SplitError: it is missing, or shorter than that.
      StoreError: while reading: it cannot be had from its store, or has changed there.
    """
    if file == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    name = file if isinstance(file, str) else file.path
    end = 0 if isinstance(file, str) else file.num_bytes
    try:
        stream = open_input(file, stop=end if stop is None else stop)
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


def ends_early(file: InputFile | str, exc: ChunkReadError) -> SplitError:
    """Return the error for a dump whose packing is broken, with the line: nobody counts lines until then.

    An object is not fetched a second time for that.
    """
    name = file if isinstance(file, str) else file.path
    try:
        for _ in line_blocks(name) if isinstance(file, str) else ():
            pass
    except ChunkReadError as found:
        exc = found
    again = "Fetch it again; nothing of it counts as complete"
    return SplitError(name, exc.what, again if exc.hint == FETCH_AGAIN else exc.hint)
