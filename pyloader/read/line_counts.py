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

_BLOCK_BYTES = 2**18  # stays in the processor's cache with what is found out of it
_PLACE_BYTES = 2**23  # looked at by one thread while others look at the next ones
_NEWLINE = ord("\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


# Where rows begin, in bytes of the unpacked file or of a block, and in which lines: two int64 arrays of one length.
RowStarts: TypeAlias = tuple[np.ndarray, np.ndarray]


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
        self._buffer, self._is_blank = bytearray(_BLOCK_BYTES + 1), bytearray(_BLOCK_BYTES)
        self._values = np.frombuffer(self._buffer, np.uint8)
        self._is_newline = np.empty(_BLOCK_BYTES, bool)  # whether a line begins at each byte of the block

    def count(self, start: int, stop: int, sniffer: Sniffer | None) -> _Counted:
        """Count the lines that begin in the file from `start` to `stop`."""
        size = self._look(start, stop)
        if start == 0 and sniffer is not None:
            sniffer.see(bytes(self._buffer[1 : size + 1]))
        if self._without and self._buffer.find(self._without, 1, size + 1) >= 0:
            raise ByteFoundError
        num_lines = int(np.count_nonzero(self._is_newline[:size]))
        return _Counted(start, stop, num_lines, num_lines - len(self._blank_lines(stop, size)))

    def starts(self, counted: _Counted) -> RowStarts:
        """Return where the rows of a block begin in the file, and in which of its lines."""
        size = self._look(counted.start, counted.stop)
        lines = np.flatnonzero(self._is_newline[:size])
        is_row = np.isin(lines, self._blank_lines(counted.stop, size), invert=True)
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

    def _blank_lines(self, stop: int, size: int) -> list[int]:
        """Return where in the block lines begin that are blank."""
        if not self._blank:
            return []
        begins_blank = np.frombuffer(self._is_blank, bool)[:size]
        # In this order NumPy compares faster.
        np.greater(np.uint8(max(self._blank) + 1), self._values[1 : size + 1], out=begins_blank)
        np.logical_and(begins_blank, self._is_newline[:size], out=begins_blank)
        if self._is_blank.find(1, 0, size) < 0:
            return []
        return [at for at in np.flatnonzero(begins_blank).tolist() if self._is_blank_line(at, stop, size)]

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
