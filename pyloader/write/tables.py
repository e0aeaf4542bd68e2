"""CSV, TSV and Parquet, as blocks of columns."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Generator, Iterator
from typing import IO, Any

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.optional import import_optional
from pyloader.write.blocks import BLOCK_BYTES, Block, Place, ends_early, opened, position_in

__all__ = ["DelimitedFile", "ParquetFile"]

# The csv module refuses fields of more than 128 KiB unless told; a document in a field is often longer.
_LONGEST_FIELD = 2**30


class DelimitedFile:
    """A CSV or TSV file with a header line; every value is text, exactly as it is written.

    Args:
      path: The file, or "-" for standard input.
      num_bytes: Its size on disk.
      delimiter: What separates the values.
    """

    def __init__(self, path: str, num_bytes: int, *, delimiter: str, block_bytes: int = BLOCK_BYTES) -> None:
        self.name = "standard input" if path == "-" else path
        self.num_bytes, self._path, self._delimiter, self._block_bytes = num_bytes, path, delimiter, block_bytes

    def blocks(self, start: Place = Place()) -> Generator[Block, None, None]:  # noqa: B008 (a NamedTuple cannot change)
        if self._path == "-":
            text = io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", newline="")
            yield from self._blocks(text, start, sys.stdin.buffer)
            text.detach()  # it would close standard input
            return
        with opened(self._path) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            yield from self._blocks(text, start, stream)

    def _blocks(self, text: IO[str], start: Place, stream: IO[bytes]) -> Iterator[Block]:
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
        reader = csv.reader(text, delimiter=self._delimiter, strict=True)
        try:
            header = next((row for row in reader if row), None)
            if header is None:
                return
            self._check_header(header)
            rows = itertools.islice((row for row in reader if row), start.offset, None)
            yield from self._in_blocks(rows, reader, header, start, stream)
        except ChunkReadError as exc:
            raise ends_early(self._path, exc) from exc
        except UnicodeDecodeError as exc:
            hint = "Convert it: iconv -f LATIN1 -t UTF-8"
            raise SplitError(self.name, f"is not UTF-8 ({exc.reason}).", hint, reader.line_num + 1) from exc
        except csv.Error as exc:
            hint = "A quote is not closed, or stands in a field without being doubled"
            raise SplitError(self.name, f"is not well-formed ({exc}).", hint, reader.line_num) from exc

    def _in_blocks(self, rows: Any, reader: Any, header: list[str], start: Place, stream: IO[bytes]) -> Iterator[Block]:
        held: list[list[str]] = []
        size, count, read = 0, start.offset, 0
        for row in rows:
            if len(row) != len(header):
                what = f"has {len(row)} values, but the header has {len(header)} names."
                raise SplitError(self.name, what, "Quote values that hold the delimiter", reader.line_num)
            held.append(row)
            size += sum(map(len, row))
            if size >= self._block_bytes:
                count, read = count + len(held), read + size
                yield self._block(header, held, count, read, stream)
                held, size = [], 0
        if held:
            yield self._block(header, held, count + len(held), self.num_bytes, stream)

    def _block(self, header: list[str], rows: list[list[str]], count: int, read: int, stream: IO[bytes]) -> Block:
        columns: Columns = {name: list(values) for name, values in zip(header, zip(*rows, strict=True), strict=True)}
        done = read if self._path == "-" else position_in(stream, self._path, read)
        return Block(columns, count - len(rows) + 1, Place(count, count + 1), done)

    def _check_header(self, header: list[str]) -> None:
        for name in header:
            if header.count(name) > 1:
                raise SplitError(self.name, f"has two columns called {name!r}.", "Give them different names", 1)


class ParquetFile:
    """A Parquet file, row group by row group.

    Args:
      path: The file.
      num_bytes: Its size on disk.
    """

    def __init__(self, path: str, num_bytes: int, *, block_bytes: int = BLOCK_BYTES) -> None:
        self.name, self.num_bytes, self._block_bytes = path, num_bytes, block_bytes

    def blocks(self, start: Place = Place()) -> Generator[Block, None, None]:  # noqa: B008 (a NamedTuple cannot change)
        arrow = import_optional("pyarrow", wanted_by="Parquet input")
        parquet = import_optional("pyarrow.parquet", wanted_by="Parquet input")
        row = 0
        try:
            with parquet.ParquetFile(self.name) as file:
                total = max(1, file.metadata.num_rows)
                for group in range(file.metadata.num_row_groups):
                    about = file.metadata.row_group(group)
                    if row + about.num_rows <= start.offset:
                        row += about.num_rows
                        continue
                    batch_rows = max(1, min(65536, self._block_bytes * about.num_rows // max(1, about.total_byte_size)))
                    for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group]):
                        first, row = row, row + batch.num_rows
                        if row > start.offset:
                            skipped = max(0, start.offset - first)
                            content = {name: _column(batch.column(name)[skipped:]) for name in batch.schema.names}
                            done = self.num_bytes * row // total
                            yield Block(content, first + skipped + 1, Place(row, row + 1), done)
        except (arrow.ArrowException, OSError) as exc:
            raise SplitError(self.name, f"cannot be read: row {row + 1:,} ({exc}).", "Fetch it again") from exc


def _column(values: Any) -> Any:
    import pyarrow as arrow

    kind = values.type
    numbers = arrow.types.is_integer(kind) or arrow.types.is_floating(kind) or arrow.types.is_boolean(kind)
    if numbers and values.null_count == 0:
        return values.to_numpy(zero_copy_only=False)
    return values.to_pylist()
