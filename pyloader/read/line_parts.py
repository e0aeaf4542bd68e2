"""Parts of files of lines: where rows begin, and where a part may begin, found in one pass in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import IO, NamedTuple, TypeAlias

import numpy as np

from pyloader.files import (
    FrameLog,
    Sniffer,
    line_detail,
    long_line,
    longest_line,
    num_bytes_of,
    open_frames,
    open_packed,
    packing_of,
)
from pyloader.machine.memory import keep_freed_memory
from pyloader.part import Part, joined_ranges

__all__ = [
    "BlockRows",
    "LineBlock",
    "RowStarts",
    "cut_rows",
    "line_blocks_of",
    "line_parts",
    "open_lines",
    "rows_of_lines",
    "starts_among_blank",
]

_BLOCK_BYTES = 2**18  # stays in the processor's cache while it is searched
_NEWLINE = ord("\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Where rows begin, in bytes of the unpacked file, and in which lines: two int64 arrays of one length.
RowStarts: TypeAlias = tuple[np.ndarray, np.ndarray]


def line_parts(
    path: str,
    form: str | None,
    *,
    chunk_bytes: int,
    chunk_samples: int | None,
    blank: bytes = b"",
) -> list[Part] | None:
    """Find the parts of a file in which each line is a row.

    Args:
      path: The file.
      form: What a `Sniffer` is to take it for; None takes it as it is.
      chunk_bytes, chunk_samples: As `find_parts` has them.
      blank: A line of nothing but these bytes is none; b"": every line is a row.

    Returns:
      The parts; None where the file cannot be cut: it is packed in one go.
    """
    opened = open_lines(path)
    if opened is None:
        return None
    file, frames = opened
    with file:
        blocks = line_blocks_of(file, path, form)
        rows = (rows_of_lines(block, blank) for block in blocks)
        return cut_rows(rows, path, frames, file, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples)


def open_lines(path: str) -> tuple[IO[bytes], FrameLog | None] | None:
    """Open a file of lines, unpacked, with what tells where its frames begin; None where it cannot be cut."""
    keep_freed_memory()
    packing = packing_of(path)
    if not packing:
        return open_packed(path), None
    return open_frames(path) if packing == ".zst" else None


class LineBlock:
    """Whole lines of a file; the file's last one may end without a newline.

    Attributes:
      offset, line: Where the block begins in the unpacked file, and the number of its first line, counted from 1.
      end: Where it ends in the unpacked file.
      values: Its bytes, a uint8 array; they are others when the next block is asked for.
      num_newlines: How many newlines it has.
    """

    def __init__(self, buffer: bytearray, stop: int, offset: int, line: int) -> None:
        start = 3 if offset == 0 and buffer[: min(3, stop)] == _BYTE_ORDER_MARK else 0
        self._buffer, self._start, self._stop = buffer, start, stop
        self.offset, self.line, self.end = offset + start, line, offset + stop
        self.values = np.frombuffer(buffer, np.uint8)[start:stop]
        self._is_newline = self.values == _NEWLINE
        self.num_newlines = int(np.count_nonzero(self._is_newline))

    def holds(self, byte: bytes) -> bool:
        """Tell whether a byte is in it."""
        return self._buffer.find(byte, self._start, self._stop) >= 0

    def starts(self) -> np.ndarray:
        """Return where in it lines begin, an int64 array."""
        starts = np.append(0, np.flatnonzero(self._is_newline) + 1)
        return starts[:-1] if starts[-1] == len(self.values) else starts

    def any_begins_up_to(self, byte: int) -> bool:
        """Tell whether a line begins with this byte or a smaller one."""
        is_small = self.values[1:] <= byte
        np.logical_and(is_small, self._is_newline[:-1], out=is_small)
        return bool(self.values[0] <= byte or is_small.any())


class BlockRows(NamedTuple):
    """The rows of a block: where all of them begin is asked only where a part may end."""

    num_rows: int
    end: int  # where the block ends in the unpacked file
    starts: Callable[[], RowStarts]  # to be called before the next block is asked for


def line_blocks_of(file: IO[bytes], path: str, form: str | None) -> Generator[LineBlock, None, None]:
    """Yield an open file in blocks of whole lines.

    Raises:
      ChunkReadError: it is not of the form.
      MemoryBoundError: a line is too long.
    """
    sniffer = None if form is None else Sniffer(path, form)
    buffer, held, offset, line = bytearray(_BLOCK_BYTES), 0, 0, 1
    while count := file.readinto(memoryview(buffer)[held:]):  # type: ignore[attr-defined]
        if sniffer is not None:
            sniffer.see(b"" if offset else bytes(buffer[held : held + count]))
        end = buffer.rfind(b"\n", held, held + count) + 1
        held += count
        if not end:
            if held == len(buffer):
                if held > longest_line():
                    raise long_line(path, longest_line())
                buffer = buffer + bytes(held)
            continue
        block = LineBlock(buffer, end, offset, line)
        yield block
        offset, line, held = offset + end, line + block.num_newlines, held - end
        buffer[:held] = buffer[end : end + held]
    if sniffer is not None:
        sniffer.end()
    last = LineBlock(buffer, held, offset, line)
    if len(last.values):
        yield last


def rows_of_lines(block: LineBlock, blank: bytes) -> BlockRows:
    """Return the lines of a block that are rows: those of nothing but `blank` bytes are none."""
    if blank and block.any_begins_up_to(max(blank)):
        starts, numbers = starts_among_blank(block, blank)
        return BlockRows(len(starts), block.end, lambda: (starts, numbers))

    def all_starts() -> RowStarts:
        starts = block.starts()
        return starts + block.offset, block.line + np.arange(len(starts))

    return BlockRows(block.num_newlines + int(block.values[-1] != _NEWLINE), block.end, all_starts)


def starts_among_blank(block: LineBlock, blank: bytes) -> RowStarts:
    """Return where the rows of a block begin, and in which lines, where some lines may be of `blank` bytes alone."""
    starts = block.starts()
    may_be = np.zeros(256, bool)
    may_be[[*blank]] = True
    ends = np.append(starts[1:], len(block.values))
    begin_so = np.flatnonzero(may_be[block.values[starts]]).tolist()
    none = [at for at in begin_so if not block.values[starts[at] : ends[at]].tobytes().strip(blank)]
    numbers = block.line + np.arange(len(starts))
    if none:
        starts, numbers = np.delete(starts, none), np.delete(numbers, none)
    return starts + block.offset, numbers


def cut_rows(
    rows: Iterable[BlockRows],
    path: str,
    frames: FrameLog | None,
    file: IO[bytes],
    *,
    chunk_bytes: int,
    chunk_samples: int | None,
    header: tuple[int, int] = (0, 0),
) -> list[Part]:
    """Cut a file of rows into parts, as large as each other where the size of the whole is known.

    Args:
      rows: Its rows, block by block.
      path: The file.
      frames: Where its frames begin; None of a file that is not packed.
      file: The open file, unpacked; its position at the end is its size.
      chunk_bytes, chunk_samples: As `find_parts` has them.
      header: The bytes, and the lines, at the file's start that each part needs.
    """
    total = num_bytes_of(path) if frames is None else frames.said_bytes
    step = chunk_bytes if not total else -(-total // -(-total // chunk_bytes))
    borders = [(0, 1, 0)]  # of each part: offset, line, row
    num_rows, due, next_due = 0, None, step
    for block in rows:
        while block.num_rows:
            row = borders[-1][2]
            if chunk_samples is None:
                due = next_due
            elif due is None and (place := row + chunk_samples - num_rows) < block.num_rows:
                due = int(block.starts()[0][place])
            start = None if due is None else due if frames is None else frames.start_from(due)
            if start is None or start >= block.end:
                break
            offsets, lines = block.starts()
            at = int(np.searchsorted(offsets, start))
            if at == len(offsets):
                break
            if num_rows + at > row:
                borders.append((int(offsets[at]), int(lines[at]), num_rows + at))
            next_due = (int(offsets[at]) // step + 1) * step if total else int(offsets[at]) + step
            due = None
        num_rows += block.num_rows
    if not num_rows:
        return []
    ends = [*borders[1:], (file.tell() if frames is None else frames.num_bytes, 0, num_rows)]
    return [_part(begin, end, frames, header if begin[0] else (0, 0)) for begin, end in zip(borders, ends, strict=True)]


def _part(
    begin: tuple[int, int, int], end: tuple[int, int, int], frames: FrameLog | None, header: tuple[int, int]
) -> Part:
    (start, line, first), (stop, _, stop_row) = begin, end
    spans = [(0, header[0])] * (header[0] > 0) + [(start, stop)]
    ranges, pieces = (joined_ranges(spans), ()) if frames is None else frames.ranges_of(spans)
    return Part(first, stop_row - first, ranges, line_detail(line, pieces, header[1]))
