"""Arrays in .npy and .npz files, as blocks of rows, read window by window."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, SplitError
from pyloader.files.compressors import packing_of
from pyloader.write.blocks import BLOCK_BYTES, Block, Place, is_damaged, opened, skip_bytes

__all__ = ["ArrayFile", "ArraysInColumns", "array_file", "npz_members"]


@dataclass(frozen=True)
class ArrayFile:
    """One array on disk.

    Attributes:
      name: As the user knows it: "x.npy", or "data.npz[x]".
      dtype: Of its numbers.
      shape: [rows, ...].
      open: Opens it at its first byte.
      skip: Goes to a byte of it, just opened.
      data_offset: Where the numbers begin.
      by_columns: The path to map when the first axis varies fastest (Fortran order), else "".
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    open: Callable[[], AbstractContextManager[IO[bytes]]]
    skip: Callable[[IO[bytes], int], None]
    data_offset: int
    by_columns: str = ""

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])


def array_file(path: str) -> ArrayFile:
    """Look at the head of a .npy file, packed or not.

    Raises:
      SplitError: it is no array of numbers with at least one dimension.
    """
    found = _look(path, lambda: opened(path), lambda stream, offset: skip_bytes(stream, path, offset))
    if found.by_columns and packing_of(path):
        what = "is packed, and stored column by column (Fortran order)."
        raise SplitError(path, what, "Unpack it first")
    return found


def npz_members(path: str) -> dict[str, ArrayFile]:
    """Look at the arrays in a .npz file, by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
    except (OSError, zipfile.BadZipFile) as exc:
        raise SplitError(path, f"cannot be read as .npz ({exc}).", "Fetch it again") from exc
    if not members:
        raise SplitError(path, "holds no arrays.")
    return {name.removesuffix(".npy"): _npz_member(path, name) for name in members}


class ArraysInColumns:
    """Arrays as columns: for each column some files, whose rows follow one another.

    Args:
      name: As the user knows it.
      columns: Column -> its files; all columns have the same number of rows.
      num_bytes: Of all files on disk.

    Raises:
      SplitError: the rows, dtypes or shapes do not fit together.
    """

    def __init__(
        self, name: str, columns: Mapping[str, Sequence[ArrayFile]], num_bytes: int, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.name, self.num_bytes, self._columns = name, num_bytes, columns
        rows = {column: sum(file.shape[0] for file in files) for column, files in columns.items()}
        first = next(iter(rows))
        for column, files in columns.items():
            if rows[column] != rows[first]:
                what = f"the column {first!r} has {rows[first]:,} rows and {column!r} has {rows[column]:,}."
                raise SplitError(files[0].name, what, "Give arrays of the same length")
            for file in files:
                if (file.dtype, file.shape[1:]) != (files[0].dtype, files[0].shape[1:]):
                    what = f"holds {_described(file)}, but {files[0].name} holds {_described(files[0])}."
                    raise SplitError(file.name, what, "Files that follow one another need the same dtype and shape")
        self._num_rows = rows[first]
        self._row_bytes = sum(files[0].row_bytes for files in columns.values())
        self._block_rows = max(1, block_bytes // max(1, self._row_bytes))

    @property
    def raw_bytes(self) -> int:
        """Bytes of all rows, unpacked."""
        return self._num_rows * self._row_bytes

    def blocks(self, start: Place = Place()) -> Generator[Block, None, None]:  # noqa: B008 (a NamedTuple cannot change)
        with ExitStack() as stack:
            readers = {}
            for column, files in self._columns.items():
                readers[column] = stack.enter_context(_rows_of(files, start.offset, self._block_rows))
            row = start.offset
            while row < self._num_rows:
                count = min(self._block_rows, self._num_rows - row)
                content: Columns = {column: read(count) for column, read in readers.items()}
                after = Place(row + count, row + count + 1)
                done = self.num_bytes * after.offset // self._num_rows
                yield Block(content, row + 1, after, done)
                row += count


@contextmanager
def _rows_of(files: Sequence[ArrayFile], start: int, window: int) -> Iterator[Callable[[int], np.ndarray]]:
    """Give a function that reads the next rows of `files`, one after another, from row `start` on."""
    windows = _windows(files, start, window)
    held = np.empty((0, *files[0].shape[1:]), files[0].dtype)

    def read(count: int) -> np.ndarray:
        nonlocal held
        while len(held) < count:
            held = np.concatenate([held, next(windows)]) if len(held) else next(windows)
        rows, held = held[:count], held[count:]
        return rows

    try:
        yield read
    finally:
        windows.close()


def _windows(files: Sequence[ArrayFile], start: int, window: int) -> Generator[np.ndarray, None, None]:
    for file in files:
        num_rows = file.shape[0]
        if start < num_rows:
            yield from (_mapped if file.by_columns else _streamed)(file, start, window)
        start = max(0, start - num_rows)


def _streamed(file: ArrayFile, start: int, window: int) -> Iterator[np.ndarray]:
    with file.open() as stream:
        row = start
        try:
            file.skip(stream, file.data_offset + start * file.row_bytes)
            while row < file.shape[0]:
                count = min(window, file.shape[0] - row)
                data = stream.read(count * file.row_bytes)
                if len(data) != count * file.row_bytes:
                    whole = row + len(data) // max(1, file.row_bytes)
                    what = f"ends early: {whole:,} of {file.shape[0]:,} rows are there."
                    raise SplitError(file.name, what, "Fetch it again")
                yield np.frombuffer(data, file.dtype).reshape(count, *file.shape[1:])
                row += count
        except ChunkReadError as exc:
            raise is_damaged(file.name, row + 1, exc) from exc


def _mapped(file: ArrayFile, start: int, window: int) -> Iterator[np.ndarray]:
    array = np.load(file.by_columns, mmap_mode="r", allow_pickle=False)
    for row in range(start, len(array), window):
        yield np.ascontiguousarray(array[row : row + window])


def _npz_member(path: str, member: str) -> ArrayFile:
    @contextmanager
    def open_member() -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            yield stream

    def skip(stream: IO[bytes], offset: int) -> None:
        stream.seek(offset)

    found = _look(f"{path}[{member.removesuffix('.npy')}]", open_member, skip)
    if found.by_columns:
        raise SplitError(found.name, "is stored column by column (Fortran order).", "Save it as .npy first")
    return found


def _look(
    name: str, open_it: Callable[[], AbstractContextManager[IO[bytes]]], skip: Callable[[IO[bytes], int], None]
) -> ArrayFile:
    try:
        with open_it() as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_columns, dtype = header(stream)
            offset = stream.tell()
    except (ValueError, EOFError, ChunkReadError, zipfile.BadZipFile) as exc:
        raise SplitError(name, f"is not a .npy array ({exc}).", "Fetch it again, or save it with np.save") from exc
    if dtype.hasobject or dtype.fields is not None:
        what = "holds Python objects." if dtype.hasobject else "has named fields."
        raise SplitError(name, what, "Save plain numbers, one array for each column")
    if not shape:
        raise SplitError(name, "is a single number, not rows.", "Save an array of at least one dimension")
    by_columns = by_columns and len(shape) > 1
    return ArrayFile(name, dtype, tuple(shape), open_it, skip, offset, name if by_columns else "")


def _described(file: ArrayFile) -> str:
    return f"{file.dtype.name} rows of shape {list(file.shape[1:])}"
