"""The beginning of a file, without reading all of it: a dump may be larger than memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from pyloader.columns import Columns, row_count, slice_columns
from pyloader.datareader import DataReader, read_chunk
from pyloader.errors import ChunkReadError, MemoryBoundError, import_optional
from pyloader.files import chunk_bytes, line_blocks, packing_of, room_of, sniffed, suffix_of
from pyloader.options import format_bytes
from pyloader.part import Part
from pyloader.read import DelimitedReader, JsonlReader, NumpyReader, TokenReader
from pyloader.read.dialect import MAX_ROW_LINES
from pyloader.read.numpy_files import can_be_mapped
from pyloader.read.parquet import damaged

__all__ = ["first_rows", "header_reader"]

_WHOLE_BYTES = 2**23  # files up to this size are read as they are
_ROOM_BYTES = 2**28  # in memory, for them
_BLOCK_BYTES = 2**22
_LARGEST_BYTES = 2**30  # of a form that is read whole or not at all
_NUM_ROWS = 10_000


def header_reader(reader: DataReader, paths: Iterable[str]) -> DataReader | None:
    """Return a reader that maps the arrays at these paths instead of reading them; None when there is none."""
    if type(reader) not in (NumpyReader, TokenReader) or not all(map(can_be_mapped, paths)):
        return None
    if type(reader) is NumpyReader:
        return NumpyReader(mmap=True, name=reader.name)
    return reader.mapping() if isinstance(reader, TokenReader) else None


def first_rows(
    path: str, reader: DataReader, *, reader_name: str, part: Part | None = None
) -> tuple[Columns, float | None]:
    """Return the first rows of a chunk, and what share of it they are: 1.0 all of it; None when that is not known.

    Of text, about the first 4 MB; of other forms, at most 10,000 rows.  Files up to 8 MB are read whole, and
    so are parts of files, which are no larger than chunks.

    Raises:
      ChunkReadError: it is damaged where we looked, or too large and of a form that has to be read whole.
    """
    if part is not None:
        return read_chunk(reader, path, part), 1.0
    num_bytes = chunk_bytes(path)
    write = _WRITERS_OF_BEGINNINGS.get(reader_name) if suffix_of(path) not in (".arrow", ".feather") else None
    if num_bytes <= _WHOLE_BYTES:
        try:
            with room_of(None if write is None else _ROOM_BYTES):
                return read_chunk(reader, path), 1.0
        except MemoryBoundError:  # it unpacks to much more
            if write is None:
                raise
            return _read_beginning(path, reader, write)
    if headers := header_reader(reader, [path]):
        columns = read_chunk(headers, path)
        head: Columns = {name: np.array(values) for name, values in slice_columns(columns, 0, _NUM_ROWS).items()}
        return head, row_count(head) / max(1, row_count(columns))
    if write is not None:
        return _read_beginning(path, reader, write)
    if num_bytes > _LARGEST_BYTES:
        what = f"has {format_bytes(num_bytes)}, and files of its form are read whole."
        raise ChunkReadError(path, what, "Find its parts first: pyloader index; or split it")
    return read_chunk(reader, path), 1.0


def _read_beginning(
    path: str, reader: DataReader, write: Callable[[str, Path, DataReader], float | None]
) -> tuple[Columns, float | None]:
    with tempfile.TemporaryDirectory(prefix="pyloader-peek-") as directory:
        beginning = Path(directory, f"beginning{suffix_of(path)}")
        share = write(path, beginning, reader)
        try:
            return read_chunk(reader, str(beginning)), share
        except ChunkReadError as exc:
            raise ChunkReadError(path, exc.what, exc.hint, exc.line) from exc


def _write_first_lines(path: str, beginning: Path, reader: DataReader) -> float | None:
    form = "jsonl" if isinstance(reader, JsonlReader) else "text" if getattr(reader, "sniff", True) else None
    return _write_block(path, beginning, _first_block(path, form))


def _write_first_records(path: str, beginning: Path, reader: DataReader) -> float | None:
    """Write the first lines of a table, up to one that does not end inside of quotes."""
    block = _first_block(path, "csv")
    quote = reader.quote_character.encode() if isinstance(reader, DelimitedReader) else b""
    end, is_open = len(block), bool(quote) and block.count(quote) % 2 == 1
    while is_open:
        before = block.rfind(b"\n", 0, block.rfind(quote, 0, end)) + 1
        end, is_open = before, block.count(quote, before, end) % 2 == 0
    if block.count(b"\n", end) > MAX_ROW_LINES:  # the reader says where the quote opens
        end = len(block)
    return _write_block(path, beginning, block[:end])


def _first_block(path: str, form: str | None) -> bytes:
    with contextlib.closing(line_blocks(path, block_bytes=_BLOCK_BYTES)) as blocks:
        return next(blocks if form is None else sniffed(blocks, path, form), b"")


def _write_block(path: str, beginning: Path, block: bytes) -> float | None:
    beginning.write_bytes(block)
    return None if packing_of(path) else len(block) / os.path.getsize(path)


def _write_first_group(path: str, beginning: Path, _reader: DataReader) -> float | None:
    arrow = import_optional("pyarrow", wanted_by="ParquetReader")
    parquet = import_optional("pyarrow.parquet", wanted_by="ParquetReader")
    try:
        with parquet.ParquetFile(path) as file:
            first = next(file.iter_batches(batch_size=_NUM_ROWS), None)
            table = file.schema_arrow.empty_table() if first is None else arrow.Table.from_batches([first])
            num_rows = file.metadata.num_rows
    except arrow.ArrowException as exc:
        raise damaged(path, exc) from exc
    parquet.write_table(table, os.fspath(beginning))
    return float(table.num_rows / max(1, num_rows))


_WRITERS_OF_BEGINNINGS: dict[str, Callable[[str, Path, DataReader], float | None]] = {
    "jsonl": _write_first_lines,
    "text": _write_first_lines,
    "csv": _write_first_records,
    "parquet": _write_first_group,
}
