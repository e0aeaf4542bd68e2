"""Where the rows of a CSV begin: at line ends, less those that stand inside of quotes."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pyloader.files import LineFile, open_lines, text_of
from pyloader.machine.memory import keep_freed_memory
from pyloader.part import InOrder, Part
from pyloader.read.dialect import Dialect, rows_of
from pyloader.read.line_blocks import LineBlock, line_blocks_of
from pyloader.read.line_counts import BlockRows, ByteFoundError, RowStarts, can_be_counted, counted_rows
from pyloader.read.line_parts import cut_rows, rows_among_blank, rows_of_block, starts_among_blank

__all__ = ["csv_parts"]


_BLANK = b"\r\n"


class _UnusualQuotesError(Exception):
    """Quotes stand where only a parser can tell what they mean."""


def csv_parts(
    path: str,
    dialect: Dialect,
    *,
    has_header: bool,
    chunk_bytes: int,
    chunk_samples: int | None,
    in_order: InOrder = map,
) -> list[Part] | None:
    """Find the parts of a table; None where the file cannot be cut: it is packed in one go.

    Args:
      path: The file.
      dialect: How it is read.
      has_header: Whether each part needs the first row.
      chunk_bytes, chunk_samples: As `find_parts` has them.
      in_order: Looks at places of the file; the parts are the same.

    Raises:
      ChunkReadError: it is cut or damaged; a quote is not closed.
    """

    keep_freed_memory()

    def cut(found: Iterator[BlockRows], file: LineFile) -> list[Part]:
        rows, header = _after_header(found) if has_header else (found, (0, 0))
        return cut_rows(rows, path, file, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples, header=header)

    def cut_blocks(
        look: Callable[[LineBlock], Any], find_rows: Callable[[Iterator[LineBlock], str, Dialect], Iterator[BlockRows]]
    ) -> list[Part] | None:
        file = open_lines(path)
        if file is None:
            return None
        with file, closing(line_blocks_of(file, path, "csv", look, in_order)) as blocks:
            return cut(find_rows(blocks, path, dialect), file)

    file, quote = open_lines(path), dialect.character.encode()
    if file is None:
        return None
    with file:
        if can_be_counted(file) and len(quote) < 2 and len(dialect.delimiter.encode()) == 1:
            with (
                suppress(ByteFoundError),
                closing(counted_rows(file, path, "csv", blank=_BLANK, without=quote, in_order=in_order)) as rows,
            ):
                return cut(rows, file)
    try:
        return cut_blocks(partial(_seen, dialect=dialect), _rows_by_quotes)
    except _UnusualQuotesError:
        return cut_blocks(lambda block: None, _rows_by_parser)


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


class _Seen(NamedTuple):
    """What quotes say of the rows of a block."""

    begins_open: bool  # whether that holds where the block begins inside of quotes, or where it does not
    ends_open: bool
    rows: RowStarts | None  # in the block; None: each line is one


def _seen(block: LineBlock, dialect: Dialect) -> _Seen | None:
    """Look at a block by itself: most quotes make sense either from inside of a field or from outside."""
    return _by_quotes(block, dialect, begins_open=False) or _by_quotes(block, dialect, begins_open=True)


def _by_quotes(block: LineBlock, dialect: Dialect, *, begins_open: bool) -> _Seen | None:
    """Return where the rows of a block begin; None where quotes stand where only a parser can tell what they mean."""
    quote, delimiter = dialect.character.encode(), dialect.delimiter.encode()
    if len(quote) > 1 or len(delimiter) > 1:
        return None
    if not begins_open and not (quote and block.holds(quote)):
        return _Seen(False, False, rows_among_blank(block, _BLANK))
    before, after = np.zeros(256, bool), np.zeros(256, bool)  # which bytes may stand before and after quotes
    before[[*b"\n", *delimiter, *quote]] = after[[*b"\r\n", *delimiter, *quote]] = True
    values = block.values
    quotes = np.flatnonzero(values == quote[0])
    opening, closing_ = (quotes[1::2], quotes[::2]) if begins_open else (quotes[::2], quotes[1::2])
    inner = opening[opening > 0] - 1
    outer = closing_[closing_ < len(values) - 1] + 1
    if not (before[values[inner]].all() and after[values[outer]].all()):
        return None
    starts, lines = starts_among_blank(block, _BLANK)
    outside = (np.searchsorted(quotes, starts) + begins_open) % 2 == 0
    return _Seen(begins_open, begins_open ^ bool(len(quotes) % 2), (starts[outside], lines[outside]))


def _rows_by_quotes(blocks: Iterator[LineBlock], path: str, dialect: Dialect) -> Iterator[BlockRows]:
    """Yield where rows begin: after the ends of lines with an even number of quotes before them.

    That is how a parser sees it where every first, third, ... quote begins a field or follows a quote, and every other
    one ends a field or precedes a quote.

    Raises:
      _UnusualQuotesError: one does not, or the last is not closed.
    """
    is_open = False
    for block in blocks:
        seen: _Seen | None = block.seen
        if seen is None or seen.begins_open != is_open:
            seen = _by_quotes(block, dialect, begins_open=is_open)
        if seen is None:
            raise _UnusualQuotesError
        yield rows_of_block(block, seen.rows)
        is_open = seen.ends_open
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
            starts.append(rows_of_block(block, None).starts())
            yield text_of(block.values.tobytes(), path, block.line)

    for begins, _ in rows_of(path, texts(), dialect):
        numbers = np.asarray(begins, np.int64)
        if begins:
            lines = np.concatenate([offsets for offsets, _ in starts])
            yield _rows(lines[numbers - starts[0][1][0]], numbers, sys.maxsize)
        while len(starts) > 1 and begins and starts[1][1][0] <= begins[-1]:
            starts.popleft()
