"""Where the rows of a CSV begin: at line ends, less those that stand inside of quotes."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from pyloader.errors import ChunkReadError
from pyloader.files import text_of
from pyloader.read.dialect import Dialect, rows_of
from pyloader.read.line_parts import LineBlock, RowStarts, rows_of_lines

__all__ = ["after_header", "csv_rows"]

def csv_rows(blocks: Iterator[LineBlock], path: str, dialect: Dialect) -> Iterator[RowStarts]:
    """Yield where the rows of a table begin.

    Up to the first quote each line that is not blank is a row, and only ends of lines are looked for; from the block of
    the first quote on the rows are parsed, as they are when they are read.

    Raises:
      ChunkReadError: a quote is not closed, or takes in rows; from there on, text is not UTF-8.
    """
    quote = dialect.character.encode()
    for block in blocks:
        if quote and quote in bytes(block[0]):
            yield from _quoted_rows(itertools.chain([block], blocks), path, dialect)
            return
        yield rows_of_lines(block, _is_blank)


def after_header(rows: Iterator[RowStarts]) -> tuple[Iterable[RowStarts], tuple[int, int]]:
    """Return the rows after the first one, and how many bytes and lines there are before them."""
    offsets, lines = np.empty(0, np.int64), np.empty(0, np.int64)
    for more, numbers in rows:
        offsets, lines = np.append(offsets, more), np.append(lines, numbers)
        if len(offsets) > 1:
            rest = [(offsets[1:], lines[1:])]
            return itertools.chain(rest, rows), (int(offsets[1]), int(lines[1]) - 1)
    return [], (0, 0)


def _is_blank(line: bytes) -> bool:
    return not line.rstrip(b"\r\n")


def _quoted_rows(blocks: Iterable[LineBlock], path: str, dialect: Dialect) -> Iterator[RowStarts]:
    starts: deque[tuple[int, np.ndarray]] = deque()  # of the lines of each block: the first one's number, and offsets

    def texts() -> Iterator[str]:
        for lines, offset, line in blocks:
            data = bytes(lines)
            starts.append((line, rows_of_lines((lines, offset, line), None)[0]))
            yield text_of(data, path, line)

    before: int | None = None  # lines that were not parsed
    try:
        for begins, _ in rows_of(path, texts(), dialect):
            if before is None:
                before = starts[0][0] - 1
            numbers = np.asarray(begins, np.int64) + before
            first = starts[0][0]
            yield np.concatenate([offsets for _, offsets in starts])[numbers - first], numbers
            while len(starts) > 1 and len(numbers) and starts[1][0] <= numbers[-1]:
                starts.popleft()
    except ChunkReadError as exc:
        if exc.line is None or before is None:
            raise
        raise ChunkReadError(exc.path, exc.what, exc.hint, exc.line + before) from exc
