"""Parts of files of lines: where rows begin, and where a part may begin, found in one pass in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from pyloader.files import FrameLog, LineFile, line_detail, num_bytes_of, open_lines
from pyloader.machine.memory import keep_freed_memory
from pyloader.part import InOrder, Part, joined_ranges
from pyloader.read.line_blocks import LineBlock, line_blocks_of
from pyloader.read.line_counts import BlockRows, RowStarts, can_be_counted, counted_rows

__all__ = ["cut_rows", "line_parts", "rows_among_blank", "rows_of_block", "starts_among_blank"]

_NEWLINE = ord("\n")


def line_parts(
    path: str,
    form: str | None,
    *,
    chunk_bytes: int,
    chunk_samples: int | None,
    blank: bytes = b"",
    in_order: InOrder = map,
) -> list[Part] | None:
    """Find the parts of a file in which each line is a row.

    Args:
      path: The file.
      form: What a `Sniffer` is to take it for; None takes it as it is.
      chunk_bytes, chunk_samples: As `find_parts` has them.
      blank: A line of nothing but these bytes is none; b"": every line is a row.
      in_order: Looks at places of the file; the parts are the same.

    Returns:
      The parts; None where the file cannot be cut: it is packed in one go.
    """
    keep_freed_memory()
    file = open_lines(path)
    if file is None:
        return None
    with file:
        rows: Iterable[BlockRows]
        if can_be_counted(file):
            rows = counted_rows(file, path, form, blank=blank, in_order=in_order)
        else:
            blocks = line_blocks_of(file, path, form, partial(rows_among_blank, blank=blank), in_order)
            rows = (rows_of_block(block, block.seen) for block in blocks)
        return cut_rows(rows, path, file, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples)


def rows_of_block(block: LineBlock, chosen: RowStarts | None) -> BlockRows:
    """Return the lines of a block that are rows: those that begin where `chosen` says in it, or all of them."""
    if chosen is not None:
        offsets, numbers = chosen
        return BlockRows(len(offsets), block.end, lambda: (block.offset + offsets, block.line + numbers))

    def all_starts() -> RowStarts:
        starts = block.starts()
        return block.offset + starts, block.line + np.arange(len(starts))

    return BlockRows(block.num_newlines + int(block.values[-1] != _NEWLINE), block.end, all_starts)


def rows_among_blank(block: LineBlock, blank: bytes) -> RowStarts | None:
    """Return the lines of a block but those of nothing but `blank` bytes; None where no line begins so."""
    return starts_among_blank(block, blank) if blank and block.any_begins_up_to(max(blank)) else None


def starts_among_blank(block: LineBlock, blank: bytes) -> RowStarts:
    """Return where in a block rows begin, and in which of its lines, where some lines may be of `blank` bytes alone."""
    starts = block.starts()
    may_be = np.zeros(256, bool)
    may_be[[*blank]] = True
    ends = np.append(starts[1:], len(block.values))
    begin_so = np.flatnonzero(may_be[block.values[starts]]).tolist()
    none = [at for at in begin_so if not block.values[starts[at] : ends[at]].tobytes().strip(blank)]
    numbers = np.arange(len(starts))
    if none:
        starts, numbers = np.delete(starts, none), np.delete(numbers, none)
    return starts, numbers


def cut_rows(
    rows: Iterable[BlockRows],
    path: str,
    file: LineFile,
    *,
    chunk_bytes: int,
    chunk_samples: int | None,
    header: tuple[int, int] = (0, 0),
) -> list[Part]:
    """Cut a file of rows into parts, as large as each other where the size of the whole is known.

    Args:
      rows: Its rows, block by block.
      path: The file.
      file: The file, which has been read when its rows have come.
      chunk_bytes, chunk_samples: As `find_parts` has them.
      header: The bytes, and the lines, at the file's start that each part needs.
    """
    frames = file.frames
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
    ends = [*borders[1:], (file.num_bytes, 0, num_rows)]
    return [_part(begin, end, frames, header if begin[0] else (0, 0)) for begin, end in zip(borders, ends, strict=True)]


def _part(
    begin: tuple[int, int, int], end: tuple[int, int, int], frames: FrameLog | None, header: tuple[int, int]
) -> Part:
    (start, line, first), (stop, _, stop_row) = begin, end
    spans = [(0, header[0])] * (header[0] > 0) + [(start, stop)]
    ranges, pieces = (joined_ranges(spans), ()) if frames is None else frames.ranges_of(spans)
    return Part(first, stop_row - first, ranges, line_detail(line, pieces, header[1]))
