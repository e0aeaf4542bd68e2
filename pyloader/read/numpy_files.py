"""NumPy files -> arrays: .npy, .npz, and directories of .npy called *.columns."""

from __future__ import annotations

import io
import math
import os
import zipfile
from typing import IO, Any

import numpy as np

from pyloader.columns import Columns
from pyloader.datareader import DataReader
from pyloader.errors import ChunkReadError, FileError, MemoryBoundError
from pyloader.files import (
    NpyHeaderError,
    Room,
    check_fits,
    chunk_room,
    named_by_content,
    num_bytes_of,
    open_bytes,
    open_chunk,
    packing_of,
    read_npy_header,
    rows_without_bytes,
    suffix_of,
)
from pyloader.files.mapping import MappedFiles
from pyloader.machine.memory import RecycledMemory
from pyloader.part import INDEX_AGAIN, Part, joined_ranges, row_spans
from pyloader.ragged import Ragged

__all__ = ["NumpyReader", "can_be_mapped", "fill", "map_npy", "npy_ranges", "read_npy", "read_npy_rows", "rows_of_npy"]

# How much is read at once.  Of files much: after each piece the thread waits for the interpreter's lock.  But not all:
# a piece is what close() and Ctrl-C wait for.  Of what is unpacked little: a zip member's readinto makes bytes first.
_FILE_PIECE_BYTES = 2**25
_PIECE_BYTES = 2**20


class NumpyReader(DataReader):
    """Chunk files of arrays, one row per sample.

    .npy is one column, .npz one per member, and a directory called *.columns one per .npy in it, called as the file is
    without its suffix: for dense data, the fastest form there is.  A .npy may be packed (.npy.zst).

    NAME.values.npy and NAME.offsets.npy in a *.columns are one column NAME, a `Ragged`: of bytes where the values are
    of dtype "S1", else of numbers.

    Arrays come out writable, in C order and in the machine's byte order.

    Args:
      mmap: Whether .npy files are mapped instead of read.  For files on local disks: an I/O error in a mapping ends the
        process (SIGBUS).  Packed files and .npz cannot be mapped.  Mapped arrays are read-only.  They are kept
        for the next epoch, by all readers together as many as a quarter of the files that the process may have open.
      name: What the column of a .npy is called.
    """

    is_thread_safe = True
    finds_by_ranges = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        mmap: bool = False,
        name: str = "data",
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        self.mmap, self.name = mmap, name
        self.returns_new_arrays = not mmap
        self._memory, self._mapped = RecycledMemory(), MappedFiles()

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read, or map, the arrays.

        Returns:
          The columns, each an array of shape [num_samples, ...] or a `Ragged`, and num_samples.

        Raises:
          ChunkReadError: a file is cut, damaged, too long, holds Python objects (pickles) or no array at all; the
            columns have different lengths; offsets fall, or go beyond the values.
        """
        arrays: Columns
        if suffix_of(path) == ".columns" or os.path.isdir(path):
            files = _column_files(path)
            found = {
                name: self._array(os.path.join(path, file), are_offsets=_is_offsets(name, files))
                for name, file in files.items()
            }
            arrays, files = _joined(path, found, files)
        elif suffix_of(path) == ".npz":
            arrays, files = self._members(path)
        else:
            arrays, files = {self.name: self._array(path)}, {self.name: path}
        (first, array), *others = arrays.items()
        for name, other in others:
            if len(other) != len(array):
                what = f"{files[first]} has {len(array):,} rows and {files[name]} has {len(other):,}."
                raise ChunkReadError(path, what, "Columns must have the same length")
        return arrays, len(array)

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find spans of rows in a .npy that is not packed, by its header; in C order, or of one axis.

        Raises:
          ChunkReadError: it is cut, too long, holds Python objects (pickles) or no array at all.
        """
        if suffix_of(path) != ".npy" or packing_of(path) or os.path.isdir(path):
            return None
        found = rows_of_npy(path, num_bytes_of(path))
        if found is None:
            return None
        start, shape, row_bytes, _ = found
        spans = row_spans(shape[0], shape[0] * row_bytes, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples)
        return [Part(first, stop - first, npy_ranges(start, row_bytes, first, stop)) for first, stop in spans]

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read, or map, rows of a .npy.

        Raises:
          ChunkReadError: it is cut, or is no .npy of so many rows.
        """
        if self.mmap:
            rows = _usual(self._mapped.array(path, map_npy)[part.first : part.stop])
        else:
            rows = read_npy_rows(path, part.first, part.stop, self._memory)
        return {self.name: rows}, len(rows)

    def _array(self, path: str, *, are_offsets: bool = False) -> np.ndarray:
        if not self.mmap:
            size = None if packing_of(path) else os.path.getsize(path)
            # Offsets are one more than rows, so that they would fit where others do (an arena) in some chunks only.
            memory = None if are_offsets else self._memory
            with open_chunk(path, "rb") as file:
                return read_npy(file, path, memory, num_bytes=size, room=chunk_room(path))
        if packing_of(path):
            raise ChunkReadError(path, "is packed, and cannot be mapped.", "Pass mmap=False")
        mapped = self._mapped.array(path, map_npy)
        if not mapped.flags.c_contiguous or not mapped.dtype.isnative:
            check_fits(path, mapped.nbytes)
        array = _usual(mapped)
        # What offsets say is checked once: the file may be changed afterwards, and would send C code anywhere.
        return array.copy() if are_offsets else array

    def _members(self, path: str) -> tuple[Columns, dict[str, str]]:
        if self.mmap:
            raise ChunkReadError(path, "cannot be mapped.", "Pass mmap=False, or keep the arrays as .columns")
        arrays: Columns = {}
        check_fits(path, os.path.getsize(path))
        opened = open_chunk(path, "rb")
        try:
            with opened, zipfile.ZipFile(opened) as archive:
                files = {info.filename.removesuffix(".npy"): info.filename for info in archive.infolist()}
                num_bytes = sum(info.file_size for info in archive.infolist())
                room = Room(path, says=lambda: num_bytes, is_bounded=num_bytes > os.path.getsize(path))
                for name, member in files.items():
                    info = archive.getinfo(member)
                    with archive.open(info) as file:
                        arrays[name] = read_npy(
                            file, f"{path}/{member}", self._memory, num_bytes=info.file_size, room=room
                        )
        except (ChunkReadError, MemoryBoundError, MemoryError):
            raise
        except Exception as exc:  # damage makes zipfile raise almost anything
            error = ChunkReadError(path, f"is not a whole .npz ({exc}).", "Fetch it again, or make it again")
            raise named_by_content(error) from exc
        if not arrays:
            raise ChunkReadError(path, "holds no arrays.")
        return arrays, files


def read_npy(
    file: IO[bytes],
    path: str,
    memory: RecycledMemory | None = None,
    *,
    num_bytes: int | None = None,
    room: Room | None = None,
) -> np.ndarray:
    """Read one .npy from an open file, to the file's end.

    Args:
      file: Open for reading bytes, at its start.
      path: Named in errors.
      memory: Where the array's memory comes from; None for new memory.
      num_bytes: How long the file is, when that is known: then it is compared before memory is taken.
      room: Of the chunk; None sets no bound.

    Returns:
      A writable array of shape [rows, ...], in C order and in the machine's byte order.

    Raises:
      ChunkReadError: it is cut, too long, no .npy, an array of Python objects or without rows.
      MemoryBoundError: there is no room for it.
    """
    shape, fortran_order, dtype = _read_header(file, path)
    array_bytes = math.prod(shape) * dtype.itemsize
    start = file.tell()
    if num_bytes is not None and num_bytes != start + array_bytes:
        raise _wrong_size(path, num_bytes, start + array_bytes)
    if room is not None:
        room.take(array_bytes)
    if fortran_order:
        check_fits(path, 2 * array_bytes)  # it is copied into C order
    stored_shape = shape[::-1] if fortran_order else shape
    array = np.empty(stored_shape, dtype) if memory is None else memory.empty(stored_shape, dtype)
    found = fill(array.reshape(-1).view(np.uint8).data, file)
    rest = len(file.read(_PIECE_BYTES))  # also has a packed file's checksum compared, which stands at its end
    if found + rest != array_bytes:
        raise _wrong_size(path, start + found + rest, start + array_bytes)
    return _usual(array.T if fortran_order else array)


def npy_ranges(start: int, row_bytes: int, first: int, stop: int) -> tuple[tuple[int, int], ...]:
    """Return the bytes of a .npy that some of its rows need: the header, which ends at `start`, and their own."""
    return joined_ranges([(0, start), (start + first * row_bytes, start + stop * row_bytes)])


def read_npy_rows(path: str, first: int, stop: int, memory: RecycledMemory) -> np.ndarray:
    """Read rows `first` to `stop` of a .npy, and nothing else of it but the header.

    Args:
      path: The file.
      first, stop: Which rows.
      memory: Where the array's memory comes from.

    Returns:
      A writable array of shape [stop - first, ...], in C order and in the machine's byte order.

    Raises:
      ChunkReadError: it is cut, or is no .npy that has these rows.
    """
    found = rows_of_npy(path, os.path.getsize(path))
    if found is None or stop > found[1][0]:
        has = "is in Fortran order" if found is None else f"has {found[1][0]:,} rows"
        raise ChunkReadError(path, f"{has}, and its index names rows {first:,} to {stop:,}.", INDEX_AGAIN)
    start, shape, row_bytes, dtype = found
    array = memory.empty((stop - first, *shape[1:]), dtype)
    with open(path, "rb", buffering=0) as file:
        file.seek(start + first * row_bytes)
        if fill(array.reshape(-1).view(np.uint8).data, file) < array.nbytes:
            raise ChunkReadError(path, "became shorter while it was read.", "Fetch it again, or make it again")
    return _usual(array)


def rows_of_npy(path: str, num_bytes: int) -> tuple[int, tuple[int, ...], int, np.dtype[Any]] | None:
    """Return where the rows of a .npy begin, the shape, the bytes of a row and the dtype; None in Fortran order."""
    with io.BufferedReader(open_bytes(path, goes_on=False)) as file:
        shape, fortran_order, dtype = _read_header(file, path)
        start = file.tell()
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    if num_bytes != start + shape[0] * row_bytes:
        raise _wrong_size(path, num_bytes, start + shape[0] * row_bytes)
    return None if fortran_order and len(shape) > 1 else (start, shape, row_bytes, dtype)


def _read_header(
    file: IO[bytes], path: str, error: type[FileError] = ChunkReadError
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        shape, fortran_order, dtype = read_npy_header(file)
    except NpyHeaderError as exc:
        found = error(path, f"has no good .npy header ({exc}).", "Make it again with numpy.save")
        raise named_by_content(found) from exc
    if dtype.hasobject:
        hint = "Save numbers, or use .jsonl for lists of different lengths"
        raise error(path, "holds Python objects (a pickle), which could run any code.", hint)
    if not shape:
        raise error(path, "holds a single value, not rows.", "Save an array of shape [rows, ...]")
    if what := rows_without_bytes(shape, dtype):
        raise error(path, what, "Save rows that hold something, or leave this array out")
    return shape, fortran_order, dtype


def fill(target: memoryview, file: IO[bytes]) -> int:
    """Read from an open file into `target`, the bytes of an array; return how many there were."""
    at_once = _FILE_PIECE_BYTES if isinstance(getattr(file, "raw", file), io.FileIO) else _PIECE_BYTES
    filled = 0
    while filled < len(target):
        count = file.readinto(target[filled : filled + at_once])  # type: ignore[attr-defined]
        if not count:
            break
        filled += count
    return filled


def map_npy(path: str, *, start: int = 0, is_whole: bool = True, error: type[FileError] = ChunkReadError) -> np.ndarray:
    """Return the array of a .npy, mapped read-only.  The mapping lives as long as an array of it does.

    Args:
      path: The file.
      start: Where in it the .npy begins, in bytes.
      is_whole: Whether the file must end with the .npy.
      error: What is raised.

    Raises:
      FileError: it is cut, too long, no .npy, an array of Python objects or without rows.
    """
    with open(path, "rb") as file:
        file.seek(start)
        shape, fortran_order, dtype = _read_header(file, path, error)
        start, size = file.tell(), os.path.getsize(path)
    expected = start + math.prod(shape) * dtype.itemsize
    if size < expected or (is_whole and size > expected):
        raise _wrong_size(path, size, expected, error)
    if not shape[0]:
        return np.empty(shape, dtype)  # a mapping of nothing is an error
    order: Any = "F" if fortran_order else "C"
    return np.asarray(np.memmap(path, dtype, "r", start, shape, order))


def can_be_mapped(path: str) -> bool:
    """Tell whether a chunk of arrays is not packed, and neither is a column of it."""
    files = os.listdir(path) if os.path.isdir(path) else [path]
    return suffix_of(path) != ".npz" and not any(map(packing_of, files))


def _usual(array: np.ndarray) -> np.ndarray:
    """Return the array in C order and in the machine's byte order; itself when it is so."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _column_files(path: str) -> dict[str, str]:
    """Return the .npy files in a directory, by column, sorted."""
    files: dict[str, str] = {}
    for file in sorted(os.listdir(path)):
        if file.startswith((".", "_")):
            continue
        if suffix_of(file) != ".npy":
            raise ChunkReadError(path, f"holds {file}, which is no .npy.", "Only .npy files are columns")
        name = file.removesuffix(packing_of(file))[: -len(".npy")]
        if name in files:
            raise ChunkReadError(
                path, f"holds the column {name!r} twice, in {files[name]} and {file}.", "Leave one out"
            )
        files[name] = file
    if not files:
        raise ChunkReadError(path, "holds no .npy files.")
    return files


def _is_offsets(name: str, files: dict[str, str]) -> bool:
    """Tell whether a file holds the offsets of a ragged column."""
    return name.endswith(".offsets") and f"{name.removesuffix('.offsets')}.values" in files


def _joined(path: str, arrays: dict[str, np.ndarray], files: dict[str, str]) -> tuple[Columns, dict[str, str]]:
    """Return the columns, sorted, with one for the values and the offsets of a ragged one; and where each is."""
    columns: Columns = dict(arrays)
    places = dict(files)
    for name in [each.removesuffix(".values") for each in arrays if each.endswith(".values")]:
        if f"{name}.offsets" not in arrays:
            continue
        of_values, of_offsets = files[f"{name}.values"], files[f"{name}.offsets"]
        if name in arrays:
            what = f"holds the column {name!r} twice, in {files[name]} and {of_values}."
            raise ChunkReadError(path, what, "Leave one out")
        values, offsets = arrays[f"{name}.values"], arrays[f"{name}.offsets"]
        is_bytes = values.dtype == "S1" and values.ndim == 1
        try:
            columns[name] = Ragged(values.view(np.uint8) if is_bytes else values, offsets, is_bytes=is_bytes)
        except (TypeError, ValueError) as exc:
            what = f"{of_values} and {of_offsets} are not the column {name!r}: {exc}."
            raise ChunkReadError(path, what, "Fetch it again, or make it again") from exc
        for part in ("values", "offsets"):
            del columns[f"{name}.{part}"]
        places[name] = of_offsets
    return {name: columns[name] for name in sorted(columns)}, places


def _wrong_size(path: str, found: int, expected: int, error: type[FileError] = ChunkReadError) -> FileError:
    what = "ends early" if found < expected else "goes on after its end"
    numbers = f"{found:,} bytes found, {expected:,} expected" if found < expected else f"{expected:,} bytes expected"
    return error(path, f"{what}: {numbers}.", "Fetch it again, or make it again")
