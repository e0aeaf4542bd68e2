"""Arrays in .npy and .npz files, as blocks of rows, read window by window."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import numpy as np

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import (
    NpyHeaderError,
    longest_line,
    named_by_content,
    packing_of,
    read_npy_header,
    rows_without_bytes,
)
from pyloader.options import format_bytes
from pyloader.write.blocks import BLOCK_BYTES, Block, Source, Span, opened
from pyloader.write.ragged_files import RaggedFile, ragged_windows

__all__ = ["ArrayFile", "array_file", "arrays_as_columns", "npz_members", "with_ragged"]

_AGAIN = "Fetch it again, or save it with np.save"


@dataclass(frozen=True)
class ArrayFile:
    """One array on disk.

    Attributes:
      name: As the user knows it: "x.npy", or "data.npz[x]".
      path: The file.
      member: Its place in an .npz; "" for a .npy.
      dtype: Of its numbers.
      shape: [rows, ...].
      data_offset: Where the numbers begin.
      by_columns: Whether the first axis varies fastest (Fortran order).
    """

    name: str
    path: str
    member: str
    dtype: np.dtype
    shape: tuple[int, ...]
    data_offset: int
    by_columns: bool

    def __str__(self) -> str:
        return f"{self.dtype.name} rows of shape {list(self.shape[1:])}"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])


def array_file(path: str, member: str = "") -> ArrayFile:
    """Look at the head of a .npy file, packed or not, or of a member of an .npz.

    Raises:
      SplitError: it is no array of numbers with at least one dimension.
    """
    name = f"{path}[{member.removesuffix('.npy')}]" if member else path
    try:
        with _opened(path, member) as stream:
            shape, by_columns, dtype = read_npy_header(stream)
            offset = stream.tell()
    except (NpyHeaderError, ChunkReadError, zipfile.BadZipFile, zlib.error) as exc:
        raise named_by_content(SplitError(name, f"is not a .npy array ({exc}).", _AGAIN)) from exc
    if dtype.hasobject or dtype.fields is not None:
        what = "holds Python objects." if dtype.hasobject else "has named fields."
        raise SplitError(name, what, "Save plain numbers, one array for each column")
    if not shape:
        raise SplitError(name, "is a single number, not rows.", "Save an array of at least one dimension")
    if what := rows_without_bytes(shape, dtype):
        raise SplitError(name, what, "Save rows that hold something, or leave this array out")
    row_bytes = dtype.itemsize * math.prod(shape[1:])
    if not member and not packing_of(path):
        whole = (os.path.getsize(path) - offset) // max(1, row_bytes)
        if whole < shape[0]:
            raise _cut(name, whole, shape[0])
    elif row_bytes > longest_line():
        what = f"has rows of {format_bytes(row_bytes)}, more than a quarter of the memory."
        raise SplitError(name, what, _AGAIN)
    by_columns = by_columns and len(shape) > 1
    if by_columns and (member or packing_of(path)):
        what = "is packed, and stored column by column (Fortran order)."
        raise SplitError(name, what, "Save it as a plain .npy first")
    return ArrayFile(name, path, member, dtype, tuple(shape), offset, by_columns)


def _cut(name: str, whole: int, num_rows: int) -> SplitError:
    return SplitError(name, f"ends early: {whole:,} of {num_rows:,} rows are there.", _AGAIN)


def npz_members(
    path: str, columns: Sequence[str] | None = None, may_lack: Container[str] = ()
) -> dict[str, list[ArrayFile]]:
    """Look at the arrays in a .npz file, by name: at those of `columns`, or at all.

    Raises:
      SplitError: it is no .npz file, or lacks one of `columns` that it may not lack.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
    except (OSError, zipfile.BadZipFile) as exc:
        raise named_by_content(SplitError(path, f"cannot be read as .npz ({exc}).", "Fetch it again")) from exc
    if not members:
        raise SplitError(path, "holds no arrays.")
    arrays = {name.removesuffix(".npy"): name for name in members}
    if missing := [name for name in columns or () if name not in arrays and name not in may_lack]:
        raise SplitError(path, f"has no column {missing[0]!r}; it has {', '.join(arrays)}.")
    chosen = arrays if columns is None or arrays.keys().isdisjoint(columns) else columns
    return {name: [array_file(path, member)] for name, member in arrays.items() if name in chosen}


def with_ragged(columns: Mapping[str, Sequence[ArrayFile]]) -> dict[str, Sequence[ArrayFile] | Sequence[RaggedFile]]:
    """Return columns, with one for those that are the values and the offsets of a ragged one, as a reader has them."""
    found: dict[str, Sequence[ArrayFile] | Sequence[RaggedFile]] = dict(columns)
    for name in [column.removesuffix(".values") for column in columns if column.endswith(".values")]:
        if f"{name}.offsets" in found:
            values, offsets = columns[f"{name}.values"], columns[f"{name}.offsets"]
            pairs = zip(values, offsets, strict=True)
            found[name] = [RaggedFile(of_values.path, of_offsets.path) for of_values, of_offsets in pairs]
            del found[f"{name}.values"], found[f"{name}.offsets"]
    return found


def arrays_as_columns(
    name: str, columns: Mapping[str, Sequence[ArrayFile] | Sequence[RaggedFile]]
) -> tuple[Source, int]:
    """Return arrays as one source, and its bytes unpacked.

    Args:
      name: As the user knows it.
      columns: Column -> its files, whose rows follow one another; all columns have the same number of rows.

    Raises:
      SplitError: the rows, dtypes or shapes do not fit together.
    """
    rows = {column: sum(file.shape[0] for file in files) for column, files in columns.items()}
    first = next(iter(rows))
    for column, files in columns.items():
        if rows[column] != rows[first]:
            what = f"the column {first!r} has {rows[first]:,} rows and {column!r} has {rows[column]:,}."
            raise SplitError(files[0].name, what, "Give arrays of the same length")
        for file in files:
            if str(file) != str(files[0]):
                what = f"holds {file}, but {files[0].name} holds {files[0]}."
                raise SplitError(file.name, what, "Files that follow one another need the same dtype and shape")
    num_bytes = sum(map(os.path.getsize, {file.path for files in columns.values() for file in files}))
    raw_bytes = rows[first] * sum(files[0].row_bytes for files in columns.values())
    # What is packed is unpacked from its beginning for each span: one is enough.
    is_plain = all(not file.member and not packing_of(file.path) for files in columns.values() for file in files)
    read = partial(_blocks, columns, rows[first], raw_bytes, num_bytes)
    return Source(name, num_bytes, read, raw_bytes, rows[first] if is_plain else 0), raw_bytes


def _blocks(
    columns: Mapping[str, Sequence[ArrayFile] | Sequence[RaggedFile]],
    num_rows: int,
    raw_bytes: int,
    num_bytes: int,
    span: Span,
) -> Generator[Block, None, None]:
    window = max(1, BLOCK_BYTES * num_rows // max(1, raw_bytes))
    end = num_rows if span.stop is None else span.stop
    readers = {column: _windows(files, span.start, window) for column, files in columns.items()}
    for row in range(span.start, end, window):
        stop = min(row + window, end)
        content: Columns = {column: next(windows)[: stop - row] for column, windows in readers.items()}
        yield Block(content, row + 1, num_bytes * stop // num_rows)


def _windows(files: Sequence[ArrayFile] | Sequence[RaggedFile], start: int, window: int) -> Iterator[Any]:
    """Yield `window` rows at a time, also over the files' borders; at the end what is left."""
    if isinstance(files[0], RaggedFile):
        return ragged_windows(files, start, window)  # type: ignore[arg-type]
    return _array_windows(files, start, window)  # type: ignore[arg-type]


def _array_windows(files: Sequence[ArrayFile], start: int, window: int) -> Iterator[np.ndarray]:
    held = np.empty((0, *files[0].shape[1:]), files[0].dtype)
    for file in files:
        for rows in (_mapped if file.by_columns else _streamed)(file, start, window):
            held = np.concatenate([held, rows]) if len(held) else rows
            if len(held) >= window:
                yield held[:window]
                held = held[window:]
        start = max(0, start - file.shape[0])
    if len(held):
        yield held


def _streamed(file: ArrayFile, start: int, window: int) -> Iterator[np.ndarray]:
    row, num_rows = start, file.shape[0]
    try:
        with _opened(file.path, file.member, file.data_offset + start * file.row_bytes) as stream:
            while row < num_rows:
                count = min(window, num_rows - row)
                data = stream.read(count * file.row_bytes)
                if len(data) != count * file.row_bytes:
                    whole = row + len(data) // max(1, file.row_bytes)
                    raise _cut(file.name, whole, num_rows)
                yield np.frombuffer(data, file.dtype, count * math.prod(file.shape[1:])).reshape(count, *file.shape[1:])
                row += count
    except ChunkReadError as exc:
        raise SplitError(file.name, f"{exc.what.rstrip('.')}, inside row {row + 1:,}.", _AGAIN) from exc


def _mapped(file: ArrayFile, start: int, window: int) -> Iterator[np.ndarray]:
    array = np.memmap(file.path, file.dtype, "r", file.data_offset, file.shape, "F")
    for row in range(start, len(array), window):
        yield np.ascontiguousarray(array[row : row + window])


@contextmanager
def _opened(path: str, member: str, offset: int = 0) -> Iterator[IO[bytes]]:
    if not member:
        with opened(path, offset) as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        stream.seek(offset)
        yield stream
