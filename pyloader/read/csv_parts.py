"""Where the rows of a CSV begin: at line ends, less those that stand inside of quotes."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import IO

import numpy as np

from pyloader.files import FrameLog, text_of
from pyloader.part import Part
from pyloader.read.dialect import Dialect, rows_of
from pyloader.read.line_parts import (
    BlockRows,
    LineBlock,
    RowStarts,
    cut_rows,
    line_blocks_of,
    open_lines,
    rows_of_lines,
    starts_among_blank,
)

__all__ = ["csv_parts"]


_BLANK = b"\r\n"


class _UnusualQuotesError(Exception):
    """Quotes stand where only a parser can tell what they mean."""


def csv_parts(
    path: str, dialect: Dialect, *, has_header: bool, chunk_bytes: int, chunk_samples: int | None
) -> list[Part] | None:
    """Find the parts of a table; None where the file cannot be cut: it is packed in one go.

    Args:
      path: The file.
      dialect: How it is read.
      has_header: Whether each part needs the first row.
      chunk_bytes, chunk_samples: As `find_parts` has them.

    Raises:
      ChunkReadError: it is cut or damaged; a quote is not closed.
    """

    def cut(find_rows: Callable[[Iterator[LineBlock], str, Dialect], Iterator[BlockRows]]) -> list[Part] | None:
        opened: tuple[IO[bytes], FrameLog | None] | None = open_lines(path)
        if opened is None:
            return None
        file, frames = opened
        with file, closing(line_blocks_of(file, path, "csv")) as blocks:
            found = find_rows(blocks, path, dialect)
            rows, header = _after_header(found) if has_header else (found, (0, 0))
            return cut_rows(
                rows, path, frames, file, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples, header=header
            )

    try:
        return cut(_rows_by_quotes)
    except _UnusualQuotesError:
        return cut(_rows_by_parser)


def _rows(offsets: np.ndarray, lines: np.ndarray, end: int) -> BlockRows:
    return BlockRows(len(offsets), end, lambda: (offsets, lines))


def _after_header(rows: Iterator[BlockRows]) -> tuple[Iterable[BlockRows], tuple[int, int]]:
    """Return the rows after the first one, and how many bytes and lines there are before them."""
    offsets, lines = np.empty(0, np.int64), np.empty(0, np.int64)
    for block in rows:
        more, numbers = block.starts()
        offsets, lines = np.append(offsets, more), np.append(lines, numbers)
        if len(offsets) > 1:
            return itertools.chain([_rows(offsets[1:], lines[1:], block.end)], rows), (
                int(offsets[1]),
                int(lines[1]) - 1,
            )
    return [], (0, 0)


def _rows_by_quotes(blocks: Iterator[LineBlock], path: str, dialect: Dialect) -> Iterator[BlockRows]:
    """Yield where rows begin: after the ends of lines with an even number of quotes before them.

    That is how a parser sees it where every first, third, ... quote begins a field or follows a quote, and every other
    one ends a field or precedes a quote.

    Raises:
      _UnusualQuotesError: one does not, or the last is not closed.
    """
    quote, delimiter = dialect.character.encode(), dialect.delimiter.encode()
    if len(quote) > 1 or len(delimiter) > 1:
        raise _UnusualQuotesError
    before, after = np.zeros(256, bool), np.zeros(256, bool)  # which bytes may stand before and after quotes
    before[[*b"\n", *delimiter, *quote]] = after[[*b"\r\n", *delimiter, *quote]] = True
    is_open = False
    for block in blocks:
        if not is_open and not (quote and block.holds(quote)):
            yield rows_of_lines(block, _BLANK)
            continue
        values = block.values
        quotes = np.flatnonzero(values == quote[0])
        opening, closing_ = (quotes[1::2], quotes[::2]) if is_open else (quotes[::2], quotes[1::2])
        inner = opening[opening > 0] - 1
        outer = closing_[closing_ < len(values) - 1] + 1
        if not (before[values[inner]].all() and after[values[outer]].all()):
            raise _UnusualQuotesError
        offsets, lines = starts_among_blank(block, _BLANK)
        outside = (np.searchsorted(quotes, offsets - block.offset) + is_open) % 2 == 0
        yield _rows(offsets[outside], lines[outside], block.end)
        is_open ^= bool(len(quotes) % 2)
    if is_open:
        raise _UnusualQuotesError


def _rows_by_parser(blocks: Iterator[LineBlock], path: str, dialect: Dialect) -> Iterator[BlockRows]:
    """Yield where rows begin, as they are parsed when they are read.

    Raises:
      ChunkReadError: a quote is not closed, or takes in rows; text is not UTF-8.
    """
    starts: deque[RowStarts] = deque()  # of the lines of each block

    def texts() -> Iterator[str]:
        for block in blocks:
            starts.append(rows_of_lines(block, b"").starts())
            yield text_of(block.values.tobytes(), path, block.line)

    for begins, _ in rows_of(path, texts(), dialect):
        numbers = np.asarray(begins, np.int64)
        if begins:
            lines = np.concatenate([offsets for offsets, _ in starts])
            yield _rows(lines[numbers - starts[0][1][0]], numbers, sys.maxsize)
        while len(starts) > 1 and begins and starts[1][1][0] <= begins[-1]:
            starts.popleft()
