"""A file of lines in blocks of whole lines: read and looked at side by side, and given in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias

import numpy as np

from pyloader.files import LineFile, Sniffer, long_line, longest_line
from pyloader.part import InOrder

__all__ = ["LineBlock", "line_blocks_of"]

_BLOCK_BYTES = 2**20  # stays in the processor's cache while it is searched
_NEWLINE = ord("\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineBlock:
    """Whole lines of a file; the file's last one may end without a newline.

    Args:
      buffer: Which holds it from its first byte on.
      stop: Where it ends there.
      is_first: Whether the file begins with it.

    Attributes:
      offset, line: Where it begins in the unpacked file, and the number of its first line, counted from 1.
      values: Its bytes, a uint8 array; they are others when the next block is asked for.
      num_bytes, num_newlines: How many it has, a mark at the file's start included.
      seen: What was found out of it beforehand, side by side with other blocks, when its place was not known yet.
    """

    def __init__(self, buffer: bytearray, stop: int, *, is_first: bool) -> None:
        self._start = 3 if is_first and buffer[: min(3, stop)] == _BYTE_ORDER_MARK else 0
        self._stop, self.buffer, self.num_bytes = stop, buffer, stop
        self.offset, self.line = self._start, 1
        self.values = np.frombuffer(buffer, np.uint8)[self._start : stop]
        self._is_newline = self.values == _NEWLINE
        self.num_newlines = int(np.count_nonzero(self._is_newline))
        self.seen: Any = None

    def put_at(self, place: int, line: int) -> None:
        """Say where it is: after so many bytes of the unpacked file, in which line."""
        self.offset, self.line = place + self._start, line

    @property
    def end(self) -> int:
        """Where it ends in the unpacked file."""
        return self.offset + len(self.values)

    def holds(self, byte: bytes) -> bool:
        """Tell whether a byte is in it."""
        return self.buffer.find(byte, self._start, self._stop) >= 0

    def starts(self) -> np.ndarray:
        """Return where in it lines begin, an int64 array."""
        starts = np.append(0, np.flatnonzero(self._is_newline) + 1)
        return starts[:-1] if starts[-1] == len(self.values) else starts

    def any_begins_up_to(self, byte: int) -> bool:
        """Tell whether a line begins with this byte or a smaller one."""
        is_small = self.values[1:] <= byte
        np.logical_and(is_small, self._is_newline[:-1], out=is_small)
        return bool(self.values[0] <= byte or is_small.any())


Look: TypeAlias = Callable[[LineBlock], Any]

# What a place of a file holds, one after another: whole lines; bytes of a line that begins before it or ends after it;
# after how many bytes of it a frame ends.
_Found: TypeAlias = LineBlock | bytes | int


def line_blocks_of(
    file: LineFile, path: str, form: str | None, look: Look, in_order: InOrder
) -> Generator[LineBlock, None, None]:
    """Yield a file in blocks of whole lines.

    Args:
      file: The file.
      path: Named in errors.
      form: What a `Sniffer` is to take it for; None takes it as it is.
      look: Finds out what becomes `seen` of a block.
      in_order: Reads the places of the file.

    Raises:
      ChunkReadError: it is not of the form.
      MemoryBoundError: a line is too long.
    """
    sniffer = None if form is None else Sniffer(path, form)
    buffers: list[bytearray] = []  # free ones

    def scan(place: tuple[int, Any]) -> Iterator[_Found]:
        number, its = place
        return _found(file, its, path, look, buffers, is_first=number == 0, sniffer=sniffer)

    with ExitStack() as stack:
        found: Iterator[Iterable[_Found]]
        if in_order is map or not file.can_be_apart:
            found = map(scan, enumerate(file.places(apart=False)))
        else:
            found = in_order(lambda place: list(scan(place)), enumerate(file.places(apart=True)))
            if isinstance(found, Generator):
                stack.callback(found.close)
        yield from _joined(found, file, path, look, buffers)
        if sniffer is not None:
            sniffer.end()


def _found(
    file: LineFile,
    place: Any,
    path: str,
    look: Look,
    buffers: list[bytearray],
    *,
    is_first: bool,
    sniffer: Sniffer | None,
) -> Iterator[_Found]:
    """Yield what is in a place of a file; blocks are looked at."""
    buffer, held, is_begun, is_top = _free(buffers), 0, is_first, is_first
    reader = file.opened(place)
    try:
        while count := reader.readinto(memoryview(buffer)[held:]):
            if is_top and sniffer is not None and not held:
                sniffer.see(bytes(buffer[:count]))
            yield from reader.frame_ends
            reader.frame_ends.clear()
            end = buffer.rfind(b"\n", held, held + count) + 1
            held += count
            if not end:
                if held == len(buffer):
                    if held > longest_line():
                        raise long_line(path, longest_line())
                    buffer = buffer + bytes(held)
                continue
            if not is_begun:
                first = buffer.find(b"\n") + 1
                yield bytes(buffer[:first])
                is_begun, end, held = True, end - first, held - first
                buffer[:held] = buffer[first : first + held]
                if not end:
                    continue
            block = LineBlock(buffer, end, is_first=is_top)
            if len(block.values):
                block.seen = look(block)
            yield block
            buffer, full, held, is_top = _free(buffers), buffer, held - end, False
            if len(buffer) <= held:
                buffer = bytearray(len(full))
            buffer[:held] = full[end : end + held]
        yield from reader.frame_ends
        yield bytes(buffer[:held])
        buffers.append(buffer)
    finally:
        reader.close()


def _free(buffers: list[bytearray]) -> bytearray:
    try:
        return buffers.pop()
    except IndexError:
        return bytearray(_BLOCK_BYTES)


def _joined(
    found: Iterable[Iterable[_Found]], file: LineFile, path: str, look: Look, buffers: list[bytearray]
) -> Iterator[LineBlock]:
    """Yield the lines of all places, and those that lie over their borders."""
    begun, line = bytearray(), 1  # the beginning of a line that goes on in the next place

    def in_its_place(block: LineBlock, num_bytes: int) -> Iterator[LineBlock]:
        nonlocal line
        block.put_at(file.num_bytes - num_bytes, line)
        line += block.num_newlines
        if len(block.values):
            yield block

    def one_line() -> Iterator[LineBlock]:
        nonlocal begun
        block, begun = LineBlock(begun, len(begun), is_first=len(begun) == file.num_bytes), bytearray()
        if len(block.values):
            block.seen = look(block)
        return in_its_place(block, len(block.buffer))

    for place in found:
        start = file.num_bytes
        for each in place:
            if isinstance(each, int):
                assert file.frames is not None
                file.frames.end_frame(start + each)
            elif isinstance(each, bytes):
                begun += each
                file.num_bytes += len(each)
                if len(begun) > longest_line():
                    raise long_line(path, longest_line())
                if each.endswith(b"\n"):
                    yield from one_line()
            else:
                num_bytes = each.num_bytes
                file.num_bytes += num_bytes
                yield from in_its_place(each, num_bytes)
                buffers.append(each.buffer)
    if begun:
        yield from one_line()
