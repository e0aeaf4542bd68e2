"""ArrayRecord files, as blocks of records: some whole groups at a time."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from pyloader.columns import ColumnSpec
from pyloader.errors import ChunkReadError, SplitError
from pyloader.read.arrayrecord import ArrayRecordReader
from pyloader.write.blocks import BLOCK_BYTES, Block, Source, Span
from pyloader.write.input_files import InputFile

__all__ = ["record_source"]

_TYPICAL_RATIO = 4  # what unpacked records come to, in packed bytes
_PADDING_BYTES = 2**17  # of the smallest file
_AGAIN = "Fetch it again"


def record_source(file: InputFile, row: ColumnSpec | None = None) -> Source:
    """Return a file as a source, whose rows have one column.

    Args:
      file: On a disk.
      row: What each record holds, as a manifest says it; None is bytes, of the column "record".

    Raises:
      SplitError: it is no ArrayRecord file, or lies in a store.
      MissingDependencyError: array_record is not installed.
    """
    if file.is_stored:
        raise SplitError(file.path, "lies in a store, and ArrayRecord is read from a disk.", "Copy it to a disk first")
    try:
        parts = ArrayRecordReader().find_parts(file.path, chunk_bytes=BLOCK_BYTES) or []
    except ChunkReadError as exc:
        raise SplitError(file.path, exc.what, _AGAIN) from exc
    borders = tuple(part.stop for part in parts)
    raw_bytes = max(1, file.num_bytes - _PADDING_BYTES) * _TYPICAL_RATIO
    read = partial(_blocks, file.path, file.num_bytes, row)
    return Source(file.path, file.num_bytes, read, raw_bytes, sum(borders[-1:]), borders[:-1])


def _blocks(path: str, num_bytes: int, row: ColumnSpec | None, span: Span) -> Generator[Block, None, None]:
    reader = ArrayRecordReader()
    if row is not None and row.kind == "array":
        reader = ArrayRecordReader(dtype=row.dtype, shape=row.item_shape, name=row.name)
    first = span.start
    try:
        for part in reader.find_parts(path, chunk_bytes=BLOCK_BYTES) or ():
            if part.first >= span.start and (span.stop is None or part.first < span.stop):
                first = part.first
                columns, num_records = reader.read_part(path, part)
                yield Block(columns, first + 1, num_bytes)
                first += num_records
    except ChunkReadError as exc:
        raise SplitError(path, exc.what, _AGAIN, first + 1) from exc
