"""CSV and TSV, as blocks of columns."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import text_of
from pyloader.read.dialect import Dialect, rows_of
from pyloader.write.blocks import BLOCK_BYTES, Block, Place
from pyloader.write.line_files import blocks_of_lines

__all__ = ["blocks_of_fields"]

_TEXT_BYTES = 2**18  # parsed at a time


def blocks_of_fields(
    name: str,
    start: Place,
    *,
    dialect: Dialect,
    columns: Sequence[str] | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Generator[Block, None, None]:
    """Yield the blocks of a delimited file with a header line; every value is text, exactly as it is written.

    Two columns of one name are an error, unless the name is not one of `columns`, those that are kept.
    """
    num_read = 0

    def texts(blocks: Iterable[Block]) -> Iterator[str]:
        nonlocal num_read
        for block in blocks:
            assert isinstance(block.content, bytes)
            num_read = block.bytes_read
            try:
                yield text_of(block.content, name, block.line)
            except ChunkReadError as exc:
                raise SplitError(name, exc.what, exc.hint, exc.line) from exc

    with closing(blocks_of_lines(name, Place(), block_bytes=_TEXT_BYTES, form="csv")) as blocks:
        batches = rows_of(name, texts(blocks), dialect, error=SplitError)
        numbered = itertools.chain.from_iterable(zip(*batch, strict=True) for batch in batches)
        line, header = next(numbered, (1, []))
        _check_header(name, line, header, dialect, columns)
        rows_left = itertools.islice(numbered, start.offset, None)
        count = start.offset
        while held := list(_some_rows(rows_left, block_bytes)):
            count += len(held)
            good = [(line, row) for line, row in held if len(row) == len(header)]
            bad = [_bad_row(name, line, row, header) for line, row in held if len(row) != len(header)]
            rows = [row for _, row in good]
            fields = zip(*rows, strict=True) if rows else [()] * len(header)
            content: Columns = {key: list(values) for key, values in zip(header, fields, strict=True)}
            yield Block(content, held[0][0], Place(count, count + 1), num_read, [line for line, _ in good], bad)


def _some_rows(numbered: Iterator[tuple[int, list[str]]], size: int) -> Iterator[tuple[int, list[str]]]:
    for line, row in numbered:
        yield line, row
        size -= sum(map(len, row))
        if size <= 0:
            return


def _bad_row(name: str, line: int, row: list[str], header: list[str]) -> SplitError:
    what = f"has {len(row)} values, but the header has {len(header)} names."
    return SplitError(name, what, "Quote values that hold the delimiter", line)


def _check_header(name: str, line: int, header: list[str], dialect: Dialect, columns: Sequence[str] | None) -> None:
    if problem := dialect.header_problem(header):
        raise SplitError(name, *problem, line)
    for key in header if columns is None else columns:
        if header.count(key) > 1:
            single = [other for other in header if header.count(other) == 1]
            hint = "Give them different names" + (f", or keep others: --columns {','.join(single)}" if single else "")
            raise SplitError(name, f"has two columns called {key!r}.", hint, line)
