"""Zarr arrays -> columns: the directories of version 2 and 3, and zip files of them."""

from __future__ import annotations

import itertools
import json
import math
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns
from pyloader.errors import ChunkReadError
from pyloader.files import Room, named_by_content
from pyloader.files import chunk_bytes as bytes_of_chunk
from pyloader.part import Part, joined_ranges
from pyloader.ragged import Ragged
from pyloader.read.array_rows import check_rows_of_part, common_rows, spans_of_file
from pyloader.read.options import NamedColumnsReader
from pyloader.read.zarr_codecs import crc32c, unfiltered, unpacked
from pyloader.read.zarr_metadata import ZarrArray, ZarrError, array_of_v2, array_of_v3
from pyloader.read.zarr_places import ZarrPlace, open_place

__all__ = ["ZarrReader"]

_UNEQUAL_BYTES = 64  # about, of a row of unequal length; what it takes is in its chunk
_VALUE_BYTES = 57  # of a str without its text, and its place in a list
_NAME_THEM = "Name the arrays to read: columns=[...]"
_MOST_CHUNKS = 10**8  # of an array that is cut into parts
_NOT_THERE = 2**64 - 1  # what the index of a shard says of a chunk that is only what fills it


class ZarrReader(NamedColumnsReader):
    """Zarr arrays: a directory (.zarr) or a zip file (.zarr.zip) of version 2 or 3; an array is a column.

    Numbers, booleans and dates come as arrays of shape [rows, ...], strings as lists of str, bytes and rows of unequal
    length as Ragged.  The zarr package is not needed; numcodecs is, for what is packed by Blosc or LZ4.  Pickled
    objects are an error.  As Zarr has it, a chunk that is not there holds the array's fill value.

    Args:
      columns: The arrays to read, by their paths: ["train/x", "train/y"].  None: all those of the root, which must have
        the same number of rows; single values are passed over.
    """

    is_thread_safe = True

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read the arrays.

        Returns:
          The columns, and how many rows there are.

        Raises:
          ChunkReadError: a chunk is cut or damaged; one of `columns` is not there; arrays have several lengths, or hold
            what is not read (pickled objects, compounds, an unknown codec).
          MissingDependencyError: numcodecs is needed, and not installed.
        """
        with _reading(path) as place:
            arrays = self._arrays(place, path)
            num_rows = next(iter(arrays.values())).shape[0]
            return self._rows(place, path, arrays, 0, num_rows), num_rows

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find parts that begin where chunks (or shards) begin, in all columns.

        Raises:
          ChunkReadError: as `read_file`, as far as it is said beside the chunks.
        """
        with _reading(path) as place:
            arrays = self._arrays(place, path)
            num_rows = next(iter(arrays.values())).shape[0]
            spans = spans_of_file(
                path,
                num_rows,
                sum(math.prod(array.shape[1:]) * _item_bytes(array) for array in arrays.values()),
                file_bytes=bytes_of_chunk(path),
                group=math.lcm(*(array.stored_shape[0] for array in arrays.values())),
                chunk_bytes=chunk_bytes,
                chunk_samples=chunk_samples,
            )
            for name, array in arrays.items():
                if (
                    count := math.prod(-(-a // b) for a, b in zip(array.shape, array.stored_shape, strict=True))
                ) > _MOST_CHUNKS:
                    what = f"array {name!r} has {count:,} chunks, and {_MOST_CHUNKS:,} at most are indexed."
                    raise ChunkReadError(path, what, _NAME_THEM)
            return [
                Part(first, stop - first, joined_ranges(place.ranges(_keys(place, arrays, first, stop))))
                for first, stop in spans
            ]

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read the part's rows; see `read_file`."""
        with _reading(path) as place:
            arrays = self._arrays(place, path)
            check_rows_of_part(path, part, next(iter(arrays.values())).shape[0])
            return self._rows(place, path, arrays, part.first, part.stop), part.num_samples

    def _arrays(self, place: ZarrPlace, path: str) -> dict[str, ZarrArray]:
        """Return the arrays to read, by column; their names begin the names of their files."""
        named = self.columns
        is_one = place.said("") is not None  # the root is an array
        found: dict[str, ZarrArray] = {}
        for name in named if named is not None else ["data"] if is_one else place.names():
            said = place.said("" if is_one and name == "data" else name.strip("/"))
            if said is None:
                there = ", ".join(map(repr, place.names())) or "none at its root"
                raise ChunkReadError(path, f"has no array {name!r}; it has {there}.", _NAME_THEM)
            try:
                array = array_of_v2(said) if said.get("zarr_format") == 2 else array_of_v3(said)
            except ZarrError as exc:
                raise ChunkReadError(path, f"array {name!r} {exc}", _NAME_THEM) from exc
            if array.shape:
                found[name] = array
            elif named is not None:
                raise ChunkReadError(path, f"array {name!r} is a single value, not rows.", _NAME_THEM)
        if not found:
            raise ChunkReadError(path, "holds no arrays with rows at its root.", _NAME_THEM)
        common_rows(path, {name: array.shape[0] for name, array in found.items()}, _NAME_THEM)
        return found

    def _rows(self, place: ZarrPlace, path: str, arrays: dict[str, ZarrArray], first: int, stop: int) -> Columns:
        room = Room(path)  # chunks are packed
        columns: Columns = {}
        for name, array in arrays.items():
            try:
                columns[name] = self._column(place, _start(name, place), array, first, stop, room)
            except ZarrError as exc:
                what = f"array {name!r} {exc}"
                raise ChunkReadError(path, what, "Fetch it again, or max_skipped=1 to go on without it") from exc
        return columns

    def _column(self, place: ZarrPlace, start: str, array: ZarrArray, first: int, stop: int, room: Room) -> Column:
        if array.unequal:
            return _unequal(place, start, array, first, stop, room)
        if array.dtype.kind == "U":
            room.take((stop - first) * (array.dtype.itemsize + _VALUE_BYTES))
        shape = (stop - first, *array.shape[1:])
        room.take(math.prod(shape) * array.dtype.itemsize)
        room.take(2 * array.chunk_items * array.dtype.itemsize, kept=0)
        rows = self._memory.empty(shape, array.dtype.newbyteorder("="))
        for at, chunk in _chunks(place, start, array, first, stop, array.chunk_items * array.dtype.itemsize):
            target, source = _overlap(array, at, first, stop)
            rows[target] = array.fill if chunk is None else _shaped(chunk, array)[source]
        if rows.dtype.kind not in "US":
            return rows
        if rows.ndim > 1:
            raise ZarrError(f"holds strings in {rows.ndim} dimensions.")
        try:
            return [value if rows.dtype.kind == "U" else value.decode() for value in rows.tolist()]
        except UnicodeDecodeError as exc:
            raise ZarrError(f"holds text that is not UTF-8: {exc.object[:40]!r}.") from exc


def _item_bytes(array: ZarrArray) -> int:
    return _UNEQUAL_BYTES if array.unequal else array.dtype.itemsize


def _start(name: str, place: ZarrPlace) -> str:
    """Return what the names of an array's files begin with."""
    return "" if name == "data" and place.said("") is not None else name.strip("/") + "/"


def _places(array: ZarrArray, first: int, stop: int) -> Iterator[tuple[int, ...]]:
    """Yield the places in the grid of the stored chunks that hold these rows."""
    if first == stop:
        return iter(())
    rows = range(first // array.stored_shape[0], -(-stop // array.stored_shape[0]))
    others = (range(-(-size // stored)) for size, stored in zip(array.shape[1:], array.stored_shape[1:], strict=True))
    return itertools.product(rows, *others)


def _keys(place: ZarrPlace, arrays: dict[str, ZarrArray], first: int, stop: int) -> Iterator[str]:
    """Yield the files that hold these rows."""
    for name, array in arrays.items():
        start = _start(name, place)
        yield from (start + array.key(at) for at in _places(array, first, stop))


def _chunks(
    place: ZarrPlace, start: str, array: ZarrArray, first: int, stop: int, most: int
) -> Iterator[tuple[tuple[int, ...], bytes | None]]:
    """Yield (first index in each dimension, unpacked bytes) of the chunks that hold these rows; None: not there."""
    for at in _places(array, first, stop):
        corner = tuple(number * size for number, size in zip(at, array.stored_shape, strict=True))
        key = start + array.key(at)
        if array.shards is None:
            data = place.read(key, 2 * most + 2**20)
            yield corner, None if data is None else _whole(data, array, most)
            continue
        yield from (
            (tuple(map(sum, zip(corner, inner, strict=True))), data)
            for inner, data in _chunks_of_shard(place, key, array, most)
        )


def _chunks_of_shard(
    place: ZarrPlace, key: str, array: ZarrArray, most: int
) -> Iterator[tuple[tuple[int, ...], bytes | None]]:
    assert array.shards is not None
    grid = [stored // chunk for stored, chunk in zip(array.stored_shape, array.chunk_shape, strict=True)]
    num_bytes = 16 * math.prod(grid) + 4 * array.shards.index_has_checksum
    size = place.size(key)
    index = None
    if size is not None:
        start = size - num_bytes if array.shards.index_at_end else 0
        found = place.read_range(key, max(0, start), start + num_bytes)
        if len(found) < num_bytes:
            raise ZarrError(f"is cut: {key} has {size:,} bytes.")
        if array.shards.index_has_checksum and crc32c(found[:-4]) != struct.unpack("<I", found[-4:])[0]:
            raise ZarrError(f"is damaged: the checksum of the index of {key} is another.")
        index = np.frombuffer(found, "<u8", 2 * math.prod(grid)).reshape(-1, 2).tolist()
    for number, inner in enumerate(itertools.product(*map(range, grid))):
        corner = tuple(each * chunk for each, chunk in zip(inner, array.chunk_shape, strict=True))
        if index is None or index[number] == [_NOT_THERE, _NOT_THERE]:
            yield corner, None
            continue
        offset, length = index[number]
        if size is None or offset + length > size:
            raise ZarrError(f"is damaged: the index of {key} reaches beyond its end.")
        yield corner, _whole(place.read_range(key, offset, offset + length), array, most)


def _whole(data: bytes, array: ZarrArray, most: int) -> bytes:
    """Return the unpacked bytes of a chunk."""
    found = unpacked(data, array.packings, most if not array.filters else 8 * most + 2**10)
    return bytes(np.ascontiguousarray(unfiltered(found, array.filters)).data.cast("B")) if array.filters else found


def _shaped(data: bytes, array: ZarrArray) -> np.ndarray:
    expected = array.chunk_items * array.dtype.itemsize
    if len(data) != expected:
        raise ZarrError(f"has a chunk of {len(data):,} bytes; {expected:,} expected.")
    stored = np.frombuffer(data, array.dtype).reshape([array.chunk_shape[axis] for axis in array.axes])
    return stored.transpose(np.argsort(array.axes))


def _overlap(
    array: ZarrArray, at: tuple[int, ...], first: int, stop: int
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where a chunk's items go among the rows [first, stop), and which of its items these are."""
    target, source = [], []
    for axis, (begin, length, size) in enumerate(zip(at, array.chunk_shape, array.shape, strict=True)):
        low, high = (first, stop) if axis == 0 else (0, size)
        low, high = max(low, begin), max(begin, min(high, begin + length))
        target.append(slice(low - first, high - first) if axis == 0 else slice(low, high))
        source.append(slice(low - begin, high - begin))
    return tuple(target), tuple(source)


def _unequal(place: ZarrPlace, start: str, array: ZarrArray, first: int, stop: int, room: Room) -> Column:
    """Return rows of unequal length: of text a list, of bytes and of numbers a Ragged."""
    if len(array.shape) != 1:
        raise ZarrError(f"holds rows of unequal length in {len(array.shape)} dimensions.")
    rows: list[Any] = []
    room.take(_VALUE_BYTES * (stop - first))
    for (begin,), chunk in _chunks(place, start, array, first, stop, int(min(room.limit, 2**40))):
        many = slice(max(first, begin) - begin, min(stop, begin + array.chunk_shape[0]) - begin)
        if many.start >= many.stop:
            continue
        if chunk is None:
            values = [array.fill.encode()] * (many.stop - many.start)
        else:
            values = _values(chunk, array)[many]
        room.take(sum(map(len, values)))
        rows += values
    if array.unequal == "vlen-utf8":
        try:
            return [str(value, "utf-8") for value in rows]
        except UnicodeDecodeError as exc:
            raise ZarrError(f"holds text that is not UTF-8: {exc.object[:40]!r}.") from exc
    if array.unequal == "vlen-bytes":
        return Ragged.from_rows(rows, dtype=bytes)
    dtype = array.dtype
    if any(len(row) % dtype.itemsize for row in rows):
        raise ZarrError(f"has rows that are no whole numbers of {dtype}.")
    native = dtype.newbyteorder("=")
    return Ragged.from_rows([np.frombuffer(row, dtype).astype(native, copy=False) for row in rows], dtype=native)


def _values(data: bytes, array: ZarrArray) -> list[bytes]:
    """Return the values of a chunk: their number, and each behind its length."""
    found = []
    place = 4
    count = struct.unpack_from("<I", data)[0] if len(data) >= 4 else -1
    if count != array.chunk_items:
        raise ZarrError(f"has a chunk of {count:,} values; {array.chunk_items:,} expected.")
    for _ in range(count):
        length = struct.unpack_from("<I", data, place)[0] if len(data) >= place + 4 else len(data)
        place += 4 + length
        if place > len(data):
            raise ZarrError("has a chunk that ends early.")
        found.append(data[place - length : place])
    return found


@contextmanager
def _reading(path: str) -> Iterator[ZarrPlace]:
    try:
        with open_place(path) as place:
            yield place
    except (zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError, RecursionError, NotImplementedError) as exc:
        what = f"is damaged, or no Zarr ({str(exc).strip().rstrip('.')})."
        raise named_by_content(
            ChunkReadError(path, what, "Fetch it again, or max_skipped=1 to go on without it")
        ) from exc
