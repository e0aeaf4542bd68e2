"""Lines of a plain file, counted in blocks at even places: where they begin is looked for only where a part may end."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import NamedTuple, TypeAlias

import numpy as np

from pyloader.errors import ChunkReadError
from pyloader.files import LineFile, Sniffer, long_line, longest_line, num_bytes_of
from pyloader.part import InOrder

__all__ = ["BlockRows", "ByteFoundError", "RowStarts", "can_be_counted", "counted_rows"]

# Stays in the processor's cache with what is found out of it.  Of smaller ones threads wait for each other: at each
# step one gives the interpreter's lock away, and wants it back.
_BLOCK_BYTES = 3 * 2**18
_PLACE_BYTES = 24 * _BLOCK_BYTES  # looked at by one thread while others look at the next ones
_FEW_WORDS = 16  # where lines begin in fewer of all words of eight bytes, the others are passed over
_SEVEN = np.uint64(7)
_EACH_BYTE = 0x0101010101010101
_NEWLINE = ord("\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


# Where rows begin, in bytes of the unpacked file or of a block, and in which lines: two int64 arrays of one length.
RowStarts: TypeAlias = tuple[np.ndarray, np.ndarray]

# Of a block's words of eight bytes some: their numbers, and of each, as an integer, whether a line begins at its bytes.
_Words: TypeAlias = tuple[np.ndarray, np.ndarray]


class BlockRows(NamedTuple):
    """The rows of a block: where all of them begin is asked only where a part may end."""

    num_rows: int
    end: int  # where the block ends in the unpacked file
    starts: Callable[[], RowStarts]  # to be called before the next block is asked for


class ByteFoundError(Exception):
    """What was not to be in the file is in it."""


class _Counted(NamedTuple):
    """What begins in a block."""

    start: int  # where the block begins in the file
    stop: int
    num_lines: int
    num_rows: int  # lines without those that are blank


def can_be_counted(file: LineFile) -> bool:
    """Tell whether `counted_rows` takes a file: any place of it can be read again."""
    return file.frames is None and file.can_be_apart


def counted_rows(
    file: LineFile, path: str, form: str | None, *, blank: bytes, without: bytes = b"", in_order: InOrder
) -> Generator[BlockRows, None, None]:
    """Yield how many rows begin in each block of a file.

    Args:
      file: The file, one that `can_be_counted`.
      path: Named in errors.
      form: What a `Sniffer` is to take it for; None takes it as it is.
      blank: A line of nothing but these bytes is no row; b"": every line is one.
      without: A byte that may not be in the file.
      in_order: Looks at places of the file.

    Raises:
      ByteFoundError: `without` is in it.
      ChunkReadError: it is not of the form, or has become shorter.
      MemoryBoundError: a line is too long.
    """
    size, line, begun = num_bytes_of(path), 1, 0
    sniffer = None if form is None else Sniffer(path, form)
    free: list[_Block] = []

    def free_block() -> _Block:
        try:
            return free.pop()
        except IndexError:
            return _Block(file, path, blank, without)

    def count(place: int) -> list[_Counted]:
        block, stop = free_block(), min(size, place + _PLACE_BYTES)
        found = [
            block.count(start, min(stop, start + _BLOCK_BYTES), sniffer) for start in range(place, stop, _BLOCK_BYTES)
        ]
        free.append(block)
        return found

    def starts(counted: _Counted, line: int) -> RowStarts:
        block = free_block()
        offsets, numbers = block.starts(counted)
        free.append(block)
        return offsets, line + numbers

    with ExitStack() as stack:
        found: Iterator[list[_Counted]] = in_order(count, range(0, size, _PLACE_BYTES))
        if isinstance(found, Generator):
            stack.callback(found.close)
        for place in found:
            for counted in place:
                yield BlockRows(
                    counted.num_rows, counted.stop, functools.cache(functools.partial(starts, counted, line))
                )
                line += counted.num_lines
                if counted.num_lines:
                    begun = counted.stop
                elif counted.stop - begun > longest_line():
                    raise long_line(path, longest_line())
    file.num_bytes = size
    if sniffer is not None:
        sniffer.end()


class _Block:
    """A block of a file, and the byte before it; memory is used again."""

    def __init__(self, file: LineFile, path: str, blank: bytes, without: bytes) -> None:
        self._file, self._path, self._blank, self._without = file, path, blank, without
        self._buffer = bytearray(1 + _BLOCK_BYTES)
        self._values = np.frombuffer(self._buffer, np.uint8)
        self._first_bytes = np.frombuffer(self._buffer, "<u8", _BLOCK_BYTES // 8, offset=1)  # of lines, in words
        self._bounds = np.uint64(_EACH_BYTE * (max(blank, default=0) + 1))
        # Whether a line begins at each byte of the block.
        self._is_newline = np.empty(_BLOCK_BYTES + -_BLOCK_BYTES % 8, bool)
        self._is_below = np.empty(_BLOCK_BYTES, bool)

    def count(self, start: int, stop: int, sniffer: Sniffer | None) -> _Counted:
        """Count the lines that begin in the file from `start` to `stop`."""
        size = self._look(start, stop)
        if start == 0 and sniffer is not None:
            sniffer.see(bytes(self._buffer[1 : size + 1]))
        if self._without and self._buffer.find(self._without, 1, size + 1) >= 0:
            raise ByteFoundError
        ends = self._words_with_newlines(size) if self._blank else None
        num_lines = int(np.count_nonzero(self._is_newline[:size] if ends is None else ends[1].view(bool)))
        return _Counted(start, stop, num_lines, num_lines - len(self._blank_lines(stop, size, ends)))

    def starts(self, counted: _Counted) -> RowStarts:
        """Return where the rows of a block begin in the file, and in which of its lines."""
        size = self._look(counted.start, counted.stop)
        lines = np.flatnonzero(self._is_newline[:size])
        is_row = np.isin(lines, self._blank_lines(counted.stop, size, None), invert=True)
        return counted.start + lines[is_row], np.flatnonzero(is_row)

    def _look(self, start: int, stop: int) -> int:
        size, target = stop - start, memoryview(self._buffer)
        if start:
            count = self._file.opened((start - 1, stop)).readinto(target[: size + 1])
        else:
            self._buffer[0] = _NEWLINE
            count = 1 + self._file.opened((0, stop)).readinto(target[1 : size + 1])
        if count <= size:
            raise ChunkReadError(self._path, "has become shorter since it was opened.", "Try it again")
        np.equal(self._values[:size], _NEWLINE, out=self._is_newline[:size])
        if not start and self._buffer.startswith(_BYTE_ORDER_MARK, 1):
            self._is_newline[0] = False
            self._is_newline[3:4] = size > 3
        return size

    def _words_with_newlines(self, size: int) -> _Words | None:
        """Return the words of eight bytes in which lines begin; None where these are many."""
        self._is_newline[size : size + -size % 8] = False
        words = self._is_newline[: size + -size % 8].view("<u8")
        has_newline = np.not_equal(words, 0, out=self._is_below[: len(words)])
        if np.count_nonzero(has_newline) * _FEW_WORDS > len(words):
            return None
        places = np.flatnonzero(has_newline)
        return places, words[places]

    def _blank_lines(self, stop: int, size: int, ends: _Words | None) -> list[int]:
        """Return where in the block lines begin that are blank."""
        if not self._blank or (ends is not None and not self._may_begin_blank(*ends)):
            return []
        is_below = self._is_below[:size]
        # In this order NumPy compares faster.
        np.greater(np.uint8(max(self._blank) + 1), self._values[1 : size + 1], out=is_below)
        np.logical_and(is_below, self._is_newline[:size], out=is_below)
        if not is_below.any():
            return []
        return [at for at in np.flatnonzero(is_below).tolist() if self._is_blank_line(at, stop, size)]

    def _may_begin_blank(self, places: np.ndarray, begins: np.ndarray) -> bool:
        """Tell whether one of the lines in some words may begin with a byte of blank lines.

        A byte x is below b, which is at most 128, where x - b has its highest bit and x has not (Anderson, "Bit
        Twiddling Hacks"); what the byte before it borrows makes one of b look so too.
        """
        bytes_there = self._first_bytes[places]
        below = (bytes_there - self._bounds) & ~bytes_there
        return bool(((below >> _SEVEN) & begins).any())

    def _is_blank_line(self, at: int, stop: int, size: int) -> bool:
        end = self._buffer.find(b"\n", at + 1, size + 1)
        if self._buffer[at + 1 : end if end >= 0 else size + 1].strip(self._blank):
            return False
        if end >= 0:
            return True
        # It goes on behind the block.
        more, reader = bytearray(2**12), self._file.opened((stop, num_bytes_of(self._path)))
        while count := reader.readinto(memoryview(more)):
            line, newline, _ = more[:count].partition(b"\n")
            if newline or line.strip(self._blank):
                return not line.strip(self._blank)
        return True
