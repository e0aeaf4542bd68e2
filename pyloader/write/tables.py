"""CSV, TSV and Parquet, as blocks of columns."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import named_by_content, text_of
from pyloader.optional import import_optional
from pyloader.read.dialect import Dialect, rows_of
from pyloader.write.blocks import BLOCK_BYTES, Block, Place
from pyloader.write.line_files import blocks_of_lines

__all__ = ["blocks_of_fields", "blocks_of_parquet"]

_MAX_BATCH_ROWS = 2**16
_TEXT_BYTES = 2**18  # parsed at a time


def blocks_of_fields(
    name: str, start: Place, *, dialect: Dialect, block_bytes: int = BLOCK_BYTES
) -> Generator[Block, None, None]:
    """Yield the blocks of a delimited file with a header line; every value is text, exactly as it is written."""
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
        _check_header(name, line, header, dialect)
        rows_left = itertools.islice(numbered, start.offset, None)
        count = start.offset
        while held := list(_some_rows(name, rows_left, len(header), block_bytes)):
            lines, rows = zip(*held, strict=True)
            columns: Columns = {key: list(values) for key, values in zip(header, zip(*rows, strict=True), strict=True)}
            count += len(rows)
            yield Block(columns, lines[0], Place(count, count + 1), num_read)


def _some_rows(
    name: str, numbered: Iterator[tuple[int, list[str]]], num_fields: int, size: int
) -> Iterator[tuple[int, list[str]]]:
    for line, row in numbered:
        if len(row) != num_fields:
            what = f"has {len(row)} values, but the header has {num_fields} names."
            raise SplitError(name, what, "Quote values that hold the delimiter", line)
        yield line, row
        size -= sum(map(len, row))
        if size <= 0:
            return


def _check_header(name: str, line: int, header: list[str], dialect: Dialect) -> None:
    if problem := dialect.header_problem(header):
        raise SplitError(name, *problem, line)
    for key in header:
        if header.count(key) > 1:
            raise SplitError(name, f"has two columns called {key!r}.", "Give them different names", line)


def blocks_of_parquet(name: str, start: Place, *, block_bytes: int = BLOCK_BYTES) -> Generator[Block, None, None]:
    """Yield the blocks of a Parquet file, row group by row group."""
    arrow = import_optional("pyarrow", wanted_by="Parquet input")
    parquet = import_optional("pyarrow.parquet", wanted_by="Parquet input")
    row = 0
    try:
        with open(name, "rb") as stream, parquet.ParquetFile(stream) as file:
            for group in range(file.metadata.num_row_groups):
                about = file.metadata.row_group(group)
                if row + about.num_rows <= start.offset:
                    row += about.num_rows
                    continue
                batch_rows = min(_MAX_BATCH_ROWS, block_bytes * about.num_rows // max(1, about.total_byte_size))
                for batch in file.iter_batches(batch_size=max(1, batch_rows), row_groups=[group]):
                    first, row = max(row, start.offset), row + batch.num_rows
                    if first < row:
                        rows = batch.slice(batch.num_rows - (row - first))
                        content = {key: _column(rows.column(key)) for key in rows.schema.names}
                        yield Block(content, first + 1, Place(row, row + 1), stream.tell())
    except (arrow.ArrowException, OSError) as exc:
        error = SplitError(name, f"cannot be read: row {row + 1:,} ({exc}).", "Fetch it again")
        raise named_by_content(error) from exc


def _column(values: Any) -> Any:
    from pyarrow import types

    kind = values.type
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return values.to_numpy(zero_copy_only=False) if numbers and not values.null_count else values.to_pylist()
