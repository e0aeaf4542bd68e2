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
        lines, first = next(batches)
        header = first[0] if first else []
        _check_header(name, lines[0] if lines else 1, header, dialect)
        held: list[list[str]] = []
        count = size = line = 0
        for lines, rows in batches:
            if any(map(len(header).__ne__, map(len, rows))):
                _refuse(name, header, lines, rows)
            count += len(rows)
            if count <= start.offset:  # blocks end where these do
                continue
            line = line if held else lines[0]
            held += rows
            size += sum(map(len, itertools.chain.from_iterable(rows)))
            if size >= block_bytes:
                yield _block(header, held, line, count, num_read)
                held, size = [], 0
        if held:
            yield _block(header, held, line, count, num_read)


def _block(header: list[str], rows: list[list[str]], line: int, count: int, num_read: int) -> Block:
    columns: Columns = {key: list(values) for key, values in zip(header, zip(*rows, strict=True), strict=True)}
    return Block(columns, line, Place(count, count + 1), num_read)


def _refuse(name: str, header: list[str], lines: list[int], rows: list[list[str]]) -> None:
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(header):
            what = f"has {len(row)} values, but the header has {len(header)} names."
            raise SplitError(name, what, "Quote values that hold the delimiter", line)


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
