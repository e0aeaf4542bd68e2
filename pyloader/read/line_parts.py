"""Parts of files of lines: where rows begin, and where a part may begin, found in one pass in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TypeAlias

import numpy as np

from pyloader.files import FrameLog, Sniffer, line_detail, long_line, longest_line, open_frames, open_packed, packing_of
from pyloader.part import Part, joined_ranges

__all__ = ["LineBlock", "RowStarts", "cut_rows", "line_blocks_of", "line_parts", "open_lines", "rows_of_lines"]

_BLOCK_BYTES = 2**18  # stays in the processor's cache while it is searched
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# The block's bytes, whole lines; the offset of the first in the unpacked file; and its line, counted from 1.
LineBlock: TypeAlias = tuple[memoryview, int, int]
# Where rows begin, in bytes of the unpacked file, and in which lines: two int64 arrays of one length.
RowStarts: TypeAlias = tuple[np.ndarray, np.ndarray]


def line_parts(
    path: str,
    form: str | None,
    *,
    chunk_bytes: int,
    chunk_samples: int | None,
    is_blank: Callable[[bytes], bool] | None = None,
) -> list[Part] | None:
    """Find the parts of a file in which each line is a row.

    Args:
      path: The file.
      form: What a `Sniffer` is to take it for; None takes it as it is.
      chunk_bytes, chunk_samples: As `find_parts` has them.
      is_blank: Tells of a line that begins with white space whether it is none; None: every line is a row.

    Returns:
      The parts; None where the file cannot be cut: it is packed in one go.
    """
    opened = open_lines(path)
    if opened is None:
        return None
    file, frames = opened
    with file:
        blocks = line_blocks_of(file, path, form)
        rows = (rows_of_lines(block, is_blank) for block in blocks)
        return cut_rows(rows, path, frames, file, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples)


def open_lines(path: str) -> tuple[IO[bytes], FrameLog | None] | None:
    """Open a file of lines, unpacked, with what tells where its frames begin; None where it cannot be cut."""
    packing = packing_of(path)
    if not packing:
        return open_packed(path), None
    return open_frames(path) if packing == ".zst" else None


def line_blocks_of(file: IO[bytes], path: str, form: str | None) -> Iterator[LineBlock]:
    """Yield an open file in blocks of whole lines, each to be used before the next one is asked for.

    Raises:
      ChunkReadError: it is not of the form.
      MemoryBoundError: a line is too long.
    """
    sniffer = None if form is None else Sniffer(path, form)
    buffer, held, offset, line = bytearray(_BLOCK_BYTES), 0, 0, 1
    while count := file.readinto(memoryview(buffer)[held:]):  # type: ignore[attr-defined]
        if sniffer is not None:
            sniffer.see(bytes(memoryview(buffer)[held : held + count]) if not offset else b"")
        held += count
        end = buffer.rfind(b"\n", 0, held) + 1
        if not end:
            if held == len(buffer):
                if held > longest_line():
                    raise long_line(path, longest_line())
                buffer = buffer + bytearray(len(buffer))
            continue
        yield _without_mark(memoryview(buffer)[:end], offset, line)
        line += int(np.count_nonzero(np.frombuffer(buffer, np.uint8, end) == ord("\n")))
        offset, held = offset + end, held - end
        buffer[:held] = buffer[end : end + held]
    if sniffer is not None:
        sniffer.end()
    if held and (last := _without_mark(memoryview(buffer)[:held], offset, line))[0]:
        yield last


def _without_mark(lines: memoryview, offset: int, line: int) -> LineBlock:
    """Return a block without the byte order mark, which can stand at the file's start."""
    if not offset and lines[:3] == _BYTE_ORDER_MARK:
        return lines[3:], 3, line
    return lines, offset, line


def rows_of_lines(block: LineBlock, is_blank: Callable[[bytes], bool] | None) -> RowStarts:
    """Return where the lines of a block begin that are rows."""
    lines, offset, line = block
    values = np.frombuffer(lines, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(values == ord("\n")) + 1])
    if starts[-1] == len(values):
        starts = starts[:-1]
    numbers = line + np.arange(len(starts))
    if is_blank is not None:
        may_be = np.flatnonzero(values[starts] <= ord(" "))
        ends = np.append(starts[1:], len(values))
        blank = [place for place in may_be.tolist() if is_blank(bytes(lines[starts[place] : ends[place]]))]
        starts, numbers = np.delete(starts, blank), np.delete(numbers, blank)
    return starts + offset, numbers


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
    total = os.path.getsize(path) if frames is None else frames.said_bytes
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
