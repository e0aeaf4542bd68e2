"""Parts of files of lines: where rows begin, and where a part may begin, found in one pass in bounded memory."""

from __future__ import annotations

from collections.abc import Generator, Iterable
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
from pyloader.part import Part, joined_ranges

__all__ = ["LineBlock", "RowStarts", "cut_rows", "line_blocks_of", "line_parts", "open_lines", "rows_of_lines"]

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
    packing = packing_of(path)
    if not packing:
        return open_packed(path), None
    return open_frames(path) if packing == ".zst" else None


class LineBlock(NamedTuple):
    """Whole lines of a file; the values are others when the next block is asked for."""

    values: np.ndarray  # their bytes, a uint8 array
    ends: np.ndarray  # where in it lines end, an int64 array; the file's last one may end without
    offset: int  # where the block begins in the unpacked file
    line: int  # the number of the first line, counted from 1

    @property
    def starts(self) -> np.ndarray:
        """Where in it lines begin, an int64 array."""
        starts = np.concatenate([[0], self.ends + 1])
        return starts[:-1] if starts[-1] == len(self.values) else starts


def line_blocks_of(file: IO[bytes], path: str, form: str | None) -> Generator[LineBlock, None, None]:
    """Yield an open file in blocks of whole lines.

    Raises:
      ChunkReadError: it is not of the form.
      MemoryBoundError: a line is too long.
    """
    sniffer = None if form is None else Sniffer(path, form)
    buffer, held, offset, line = np.empty(_BLOCK_BYTES, np.uint8), 0, 0, 1
    while count := file.readinto(buffer[held:].data):  # type: ignore[attr-defined]
        if sniffer is not None:
            sniffer.see(b"" if offset else buffer[held : held + count].tobytes())
        ends = np.flatnonzero(buffer[: held + count] == _NEWLINE)
        held += count
        if not len(ends):
            if held == len(buffer):
                if held > longest_line():
                    raise long_line(path, longest_line())
                buffer = np.concatenate([buffer, np.empty(held, np.uint8)])
            continue
        end = int(ends[-1]) + 1
        yield _without_mark(LineBlock(buffer[:end], ends, offset, line))
        offset, line, held = offset + end, line + len(ends), held - end
        buffer[:held] = buffer[end : end + held].copy()
    if sniffer is not None:
        sniffer.end()
    last = _without_mark(LineBlock(buffer[:held], np.empty(0, np.int64), offset, line))
    if len(last.values):
        yield last


def _without_mark(block: LineBlock) -> LineBlock:
    """Return a block without the byte order mark, which can stand at the file's start."""
    if block.offset or block.values[:3].tobytes() != _BYTE_ORDER_MARK:
        return block
    return LineBlock(block.values[3:], block.ends - 3, 3, block.line)


def rows_of_lines(block: LineBlock, blank: bytes) -> RowStarts:
    """Return where the lines of a block begin that are rows: those of nothing but `blank` bytes are none."""
    starts = block.starts
    numbers = block.line + np.arange(len(starts))
    may_be = np.zeros(256, bool)
    may_be[[*blank]] = True
    if blank and (begin_so := np.flatnonzero(may_be[block.values[starts]])).size:
        ends = np.append(starts[1:], len(block.values))
        none = [at for at in begin_so.tolist() if not block.values[starts[at] : ends[at]].tobytes().strip(blank)]
        starts, numbers = np.delete(starts, none), np.delete(numbers, none)
    return starts + block.offset, numbers


def cut_rows(
    rows: Iterable[RowStarts],
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
      rows: Where its rows begin.
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
    for offsets, lines in rows:
        while len(offsets):
            row = borders[-1][2]
            if chunk_samples is None:
                due = next_due
            elif due is None and (place := row + chunk_samples - num_rows) < len(offsets):
                due = int(offsets[place])
            start = None if due is None else due if frames is None else frames.start_from(due)
            at = len(offsets) if start is None else int(np.searchsorted(offsets, start))
            if at == len(offsets):
                break
            if num_rows + at > row:
                borders.append((int(offsets[at]), int(lines[at]), num_rows + at))
            next_due = (int(offsets[at]) // step + 1) * step if total else int(offsets[at]) + step
            due = None
        num_rows += len(offsets)
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
