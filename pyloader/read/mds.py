"""MosaicML's MDS shards -> columns, without the package streaming."""

from __future__ import annotations

import functools
import hashlib
import os

import msgspec
import numpy as np
import xxhash

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError
from pyloader.files import num_bytes_of, packing_of, refuse_pointer
from pyloader.files.unpacking import FETCH_AGAIN
from pyloader.machine.memory import keep_freed_memory
from pyloader.part import INDEX_AGAIN, Part
from pyloader.read.file_ranges import all_of, range_of
from pyloader.read.mds_encodings import column_of, fixed_bytes
from pyloader.read.offset_tables import (
    ReadRange,
    SampleError,
    beginning,
    check_end,
    table,
    table_parts,
    value_starts,
)
from pyloader.read.options import NamedColumnsReader

__all__ = ["MDSReader"]

INDEX_NAME = "index.json"
_FAST = ("xxh3_64", "xxh3_128", "xxh64", "xxh128", "xxh32")  # digests that cost less than reading


class _Config(msgspec.Struct):
    """What a shard says of itself."""

    column_names: list[str]
    column_encodings: list[str]
    column_sizes: list[int | None]
    format: str
    version: int


class _File(msgspec.Struct):
    basename: str
    bytes: int
    hashes: dict[str, str] = {}


class _Shard(msgspec.Struct):
    raw_data: _File
    samples: int
    zip_data: _File | None = None


class _Index(msgspec.Struct):
    shards: list[_Shard]


class MDSReader(NamedColumnsReader):
    """MosaicML's MDS shards (.mds), also packed: .mds.zstd, .mds.gz, .mds.bz2.

    What its index.json says of a shard is compared with it: its size, its number of samples, and one of its hashes.
    A shard that has none beside it is read all the same.

    Numbers, and arrays of one shape, are arrays; arrays of one dimension whose length the encoding does not say are
    `Ragged`, those of more a list of arrays; bytes and images (jpeg, png, pil) are a Ragged of bytes, images as they
    are stored.  `str` is a list of str, `json` of what it holds.  Nothing is unpickled: `pkl` arrives as bytes.

    Args:
      columns: Which to read, in this order; None for all.
    """

    is_thread_safe = True
    finds_by_ranges = True

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read all samples.

        Returns:
          The columns, sorted by name as the writer leaves them, and how many samples there are.

        Raises:
          ChunkReadError: the shard is cut or damaged, differs from its index.json, or has an encoding that is not
            known.
        """
        keep_freed_memory()
        refuse_pointer(path, os.path.getsize(path))
        data = all_of(path, self._memory)
        view = memoryview(data)
        told = _told(path)
        if told is not None:
            _compare(path, data, told)

        def read(start: int, stop: int) -> memoryview:
            return view[start:stop]

        num_samples, _ = beginning(path, "MDS shard", read, len(data))
        if told is not None and told.samples != num_samples:
            what = f"has {num_samples:,} samples, and {INDEX_NAME} says {told.samples:,}."
            raise ChunkReadError(path, what, FETCH_AGAIN)
        check_end(path, read, len(data), num_samples)
        return self._columns(path, read, len(data), 0, num_samples), num_samples

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find parts: where samples lie is read, and not the samples.  A packed shard is one."""
        size = num_bytes_of(path)
        if packing_of(path):
            told = _told(path)
            if told is None:
                return None
            return [Part(0, told.samples, ((0, size),))] if told.samples else []
        return table_parts(path, "MDS shard", chunk_bytes, chunk_samples)

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read the samples of a part."""
        if packing_of(path):
            return self.read_file(path)
        read, size = functools.partial(range_of, path, memory=self._memory), os.path.getsize(path)
        num_samples, _ = beginning(path, "MDS shard", read, size)
        if part.stop > num_samples:
            what = f"has {num_samples:,} samples, and a part of {part.first:,} to {part.stop:,}."
            raise ChunkReadError(path, what, INDEX_AGAIN)
        return self._columns(path, read, size, part.first, part.stop), part.num_samples

    def _columns(self, path: str, read: ReadRange, size: int, first: int, stop: int) -> Columns:
        if first == stop:
            return {}
        _, (begin, end) = beginning(path, "MDS shard", read, size)
        config = _config(path, read(begin, end))
        offsets = table(path, read, size, first, stop)
        data = np.frombuffer(read(int(offsets[0]), int(offsets[-1])), np.uint8)
        offsets = offsets - offsets[0]
        try:
            starts = value_starts(data, offsets, config.column_sizes)
            columns: Columns = {}
            for name in self.columns or config.column_names:
                if name not in config.column_names:
                    what = f"has no column {name!r}; it has {', '.join(map(repr, config.column_names))}."
                    raise ChunkReadError(path, what, "Name some of these: MDSReader(columns=[...])")
                place = config.column_names.index(name)
                encoding = config.column_encodings[place]
                columns[name] = column_of(data, starts[place], starts[place + 1], encoding, name)
        except SampleError as exc:
            where = f"sample {first + exc.sample:,} " if exc.sample is not None else ""
            raise ChunkReadError(path, f"{where}{exc.what}.", exc.hint or FETCH_AGAIN) from exc
        return columns


def _config(path: str, text: bytes | memoryview) -> _Config:
    try:
        config = msgspec.json.decode(text, type=_Config)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ChunkReadError(path, f"says nothing of its columns that can be read ({exc}).", FETCH_AGAIN) from exc
    names, encodings, sizes = config.column_names, config.column_encodings, config.column_sizes
    if config.format != "mds" or config.version != 2:
        raise ChunkReadError(path, f"is of the format {config.format[:40]!r}, version {config.version}, not of MDS 2.")
    if not len(names) == len(encodings) == len(sizes) == len(set(names)):
        raise ChunkReadError(path, "says of which columns it is in lists that do not agree.", FETCH_AGAIN)
    for name, encoding, num_bytes in zip(names, encodings, sizes, strict=True):
        if (expected := fixed_bytes(encoding)) is not None and expected != num_bytes:
            what = f"says that {name!r}, of {encoding}, has {num_bytes} bytes in each sample; it has {expected}."
            raise ChunkReadError(path, what, FETCH_AGAIN)
    return config


def _told(path: str) -> _Shard | None:
    """Return what the index beside a shard says of it; None where there is none."""
    directory, name = os.path.split(path)
    index = os.path.join(directory, INDEX_NAME)
    try:
        status = os.stat(index)
    except OSError:
        return None
    return _shards(index, status.st_mtime_ns, status.st_size).get(name)


@functools.lru_cache(maxsize=4)
def _shards(path: str, _changed_ns: int, _size: int) -> dict[str, _Shard]:
    """Return what an index says of its shards, by the name of each file: packed and unpacked."""
    with open(path, "rb") as file:
        text = file.read()
    try:
        index = msgspec.json.decode(text, type=_Index)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ChunkReadError(path, f"is no index of MDS shards ({exc}).", "Fetch it again, or remove it") from exc
    return {file.basename: shard for shard in index.shards for file in (shard.raw_data, shard.zip_data) if file}


def _compare(path: str, data: bytes | memoryview, told: _Shard) -> None:
    if len(data) != told.raw_data.bytes:
        what = f"has {len(data):,} bytes, and {INDEX_NAME} says {told.raw_data.bytes:,}."
        raise ChunkReadError(path, what, FETCH_AGAIN)
    hashes = told.raw_data.hashes
    known = [name for name in (*_FAST, *sorted(hashlib.algorithms_guaranteed)) if name in hashes]
    for name in known[:1]:
        digest = getattr(xxhash, name) if name in _FAST else getattr(hashlib, name)
        if digest(data).hexdigest() != hashes[name]:
            raise ChunkReadError(path, f"is damaged: its {name} differs from that in {INDEX_NAME}.", FETCH_AGAIN)
