"""CSV, TSV and Parquet, as blocks of columns."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Generator, Iterator
from typing import IO, Any

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.optional import import_optional
from pyloader.write.blocks import BLOCK_BYTES, Block, Place, bytes_read, ends_early, opened

__all__ = ["blocks_of_fields", "blocks_of_parquet"]

# The csv module refuses fields of more than 128 KiB unless told; a document in a field is often longer.
_LONGEST_FIELD = 2**30

_MAX_BATCH_ROWS = 2**16


def blocks_of_fields(
    name: str, start: Place, *, delimiter: str, block_bytes: int = BLOCK_BYTES
) -> Generator[Block, None, None]:
    """Yield the blocks of a CSV or TSV file with a header line; every value is text, exactly as it is written."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with opened(name) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            rows: Iterator[list[str]] = (row for row in reader if row)
            header = next(rows, [])
            _check_header(name, header)
            rows = itertools.islice(rows, start.offset, None)
            yield from _blocks_of_rows(name, rows, reader, header, start.offset, block_bytes, stream)
        except ChunkReadError as exc:
            raise ends_early(name, exc) from exc
        except UnicodeDecodeError as exc:
            hint = "Convert it: iconv -f LATIN1 -t UTF-8"
            raise SplitError(name, f"is not UTF-8 ({exc.reason}).", hint, reader.line_num + 1) from exc
        except csv.Error as exc:
            hint = "A quote is not closed, or stands in a field without being doubled"
            raise SplitError(name, f"is not well-formed ({exc}).", hint, reader.line_num) from exc
        finally:
            text.detach()  # collected, it would close standard input


def _blocks_of_rows(
    name: str, rows: Iterator[list[str]], reader: Any, header: list[str], count: int, size: int, stream: IO[bytes]
) -> Iterator[Block]:
    num_read = 0
    while held := list(_some_rows(name, rows, reader, len(header), size)):
        columns: Columns = {key: list(values) for key, values in zip(header, zip(*held, strict=True), strict=True)}
        num_read += sum(sum(map(len, row)) + len(row) for row in held)
        first, count = count + 1, count + len(held)
        yield Block(columns, first, Place(count, count + 1), bytes_read(stream, num_read))


def _some_rows(name: str, rows: Iterator[list[str]], reader: Any, num_fields: int, size: int) -> Iterator[list[str]]:
    for row in rows:
        if len(row) != num_fields:
            what = f"has {len(row)} values, but the header has {num_fields} names."
            raise SplitError(name, what, "Quote values that hold the delimiter", reader.line_num)
        yield row
        size -= sum(map(len, row))
        if size <= 0:
            return


def _check_header(name: str, header: list[str]) -> None:
    for key in header:
        if header.count(key) > 1:
            raise SplitError(name, f"has two columns called {key!r}.", "Give them different names", 1)


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
        raise SplitError(name, f"cannot be read: row {row + 1:,} ({exc}).", "Fetch it again") from exc


def _column(values: Any) -> Any:
    from pyarrow import types

    kind = values.type
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return values.to_numpy(zero_copy_only=False) if numbers and not values.null_count else values.to_pylist()
