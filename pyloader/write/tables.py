"""CSV and TSV, as blocks of columns."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import text_of
from pyloader.read.dialect import Dialect, rows_of
from pyloader.write.blocks import BLOCK_BYTES, WHOLE, Block, Span
from pyloader.write.file_digests import PartDigest
from pyloader.write.input_files import InputFile
from pyloader.write.line_files import blocks_of_lines

__all__ = ["blocks_of_fields"]

_TEXT_BYTES = 2**18  # parsed at a time
_ALLOW = "leave out --no-quoted-newlines (quoted_newlines=False)"


def blocks_of_fields(
    name: str,
    span: Span,
    *,
    path: InputFile | str = "",
    dialect: Dialect,
    columns: Sequence[str] | None = None,
    quoted_newlines: bool = True,
    block_bytes: int = BLOCK_BYTES,
    digest: PartDigest | None = None,
) -> Generator[Block, None, None]:
    """Yield the blocks of a delimited file with a header line; every value is text, exactly as it is written.

    A newline within quotes is none of a row, and whether it is within them only the beginning of the file tells: a span
    begins where a row does (`pyloader.write.table_cuts`).  Without `quoted_newlines` such a one is an error.
    Two columns of one name are an error, unless the name is not one of `columns`, those that are kept.
    `digest` takes every byte that is read.
    """
    num_read = 0

    def texts(blocks: Iterable[Block]) -> Iterator[str]:
        nonlocal num_read
        for block in blocks:
            assert isinstance(block.content, memoryview)
            num_read = block.bytes_read
            try:
                yield text_of(bytes(block.content), name, block.line)
            except ChunkReadError as exc:
                raise SplitError(name, exc.what, exc.hint, exc.line) from exc

    def refusal(path: str, what: str, hint: str, line: int) -> SplitError:
        hint += "" if quoted_newlines else f". If a newline may stand within quotes, {_ALLOW}"
        return SplitError(path, what, hint, line - len(before))

    before: list[str] = []  # lines in front of those of the span
    if span.start:
        with closing(blocks_of_lines(name, WHOLE, path=path, block_bytes=_TEXT_BYTES)) as blocks:
            header = next(rows_of(name, texts(blocks), dialect, error=SplitError))[1][0]
        before = [dialect.delimiter.join("x" * len(header)) + "\n"]  # as many fields as the header's rows have
    lines_of_file = blocks_of_lines(name, span, path=path, block_bytes=_TEXT_BYTES, form="csv", digest=digest)
    with closing(lines_of_file) as blocks:
        batches = rows_of(name, itertools.chain(before, texts(blocks)), dialect, error=refusal)
        lines, first = next(batches)
        if not before:
            header = first[0] if first else []
            _check_header(name, lines[0] if lines else 1, header, dialect, columns)
        held: list[list[str]] = []
        numbers: list[int] = []
        bad: list[SplitError] = []
        size = 0
        for begins, rows in batches:
            lines = [begin - len(before) for begin in begins]
            if not quoted_newlines:
                _check_lines(name, lines, rows)
            size += sum(map(len, itertools.chain.from_iterable(rows)))
            if any(map(len(header).__ne__, map(len, rows))):
                bad += [_bad_row(name, *both, header) for both in _numbered(lines, rows) if len(both[1]) != len(header)]
                lines = [line for line, row in _numbered(lines, rows) if len(row) == len(header)]
                rows = [row for row in rows if len(row) == len(header)]
            held += rows
            numbers += lines
            if size >= block_bytes:
                yield _block(header, held, numbers, bad, num_read)
                held, numbers, bad, size = [], [], [], 0
        if held or bad:
            yield _block(header, held, numbers, bad, num_read)


def _block(header: list[str], rows: list[list[str]], numbers: list[int], bad: list[SplitError], num_read: int) -> Block:
    fields = zip(*rows, strict=True) if rows else [()] * len(header)
    columns: Columns = {key: list(values) for key, values in zip(header, fields, strict=True)}
    return Block(columns, numbers[0] if numbers else 1, num_read, numbers, bad)


def _numbered(lines: list[int], rows: list[list[str]]) -> Iterator[tuple[int, list[str]]]:
    return zip(lines, rows, strict=True)


def _bad_row(name: str, line: int, row: list[str], header: list[str]) -> SplitError:
    what = f"has {len(row)} values, but the header has {len(header)} names."
    return SplitError(name, what, "Quote values that hold the delimiter", line)


def _check_lines(name: str, lines: list[int], rows: list[list[str]]) -> None:
    """See to it that each row is one line; a blank line is none."""
    for (line, row), after in zip(_numbered(lines, rows), [*lines, 0][1:], strict=True):
        if after != line + 1 and any("\n" in field for field in row):
            raise SplitError(name, "has a newline within quotes.", _ALLOW[:1].upper() + _ALLOW[1:], line)


def _check_header(name: str, line: int, header: list[str], dialect: Dialect, columns: Sequence[str] | None) -> None:
    if problem := dialect.header_problem(header):
        raise SplitError(name, *problem, line)
    for key in header if columns is None else columns:
        if header.count(key) > 1:
            single = [other for other in header if header.count(other) == 1]
            hint = "Give them different names" + (f", or keep others: --columns {','.join(single)}" if single else "")
            raise SplitError(name, f"has two columns called {key!r}.", hint, line)
