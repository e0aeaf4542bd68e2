"""CSV and TSV, as blocks of columns."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Generator, Iterator, Sequence
from typing import IO, Any

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.write.blocks import BLOCK_BYTES, Block, Place, bytes_read, ends_early, opened

__all__ = ["blocks_of_fields"]

# The csv module refuses fields of more than 128 KiB unless told; a document in a field is often longer.
_LONGEST_FIELD = 2**30


def blocks_of_fields(
    name: str,
    start: Place,
    *,
    delimiter: str,
    columns: Sequence[str] | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Generator[Block, None, None]:
    """Yield the blocks of a CSV or TSV file with a header line; every value is text, exactly as it is written.

    Two columns of one name are an error, unless the name is not one of `columns`, those that are kept.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with opened(name) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            rows: Iterator[list[str]] = (row for row in reader if row)
            header = next(rows, [])
            _check_header(name, header, columns)
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


def _check_header(name: str, header: list[str], columns: Sequence[str] | None) -> None:
    for key in header if columns is None else columns:
        if header.count(key) > 1:
            single = [other for other in header if header.count(other) == 1]
            hint = "Give them different names" + (f", or keep others: --columns {','.join(single)}" if single else "")
            raise SplitError(name, f"has two columns called {key!r}.", hint, 1)
