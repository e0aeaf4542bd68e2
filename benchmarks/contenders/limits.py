"""The limits of our own forms: only what must be done before anything else can be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import zstandard
from array_record.python import array_record_module
from workloads import WINDOW, Data

from contenders.pyloader_chunks import prepare as prepare
from pyloader import JsonlReader

_PIECE_BYTES = 2**21


def epochs(data: Data, *, only: str = "", window: int = 1, num_threads: int = 1) -> Iterator[Any]:
    """`only` names what is done; without it, chunks are read, `window` of them into one array, and its rows taken."""
    while True:
        if not only:
            yield _taken(data, window, num_threads)
            continue
        yield {
            "read_all of ArrayRecord": _records,
            "zstd decompression on 2 threads": _unpacked,
            "reading as dd does": _copied,
            "JSON lines to strings": _lines,
        }[only](data)


def _samples(data: Data, chunk_index: int) -> tuple[np.ndarray, np.ndarray]:
    """A chunk's ids, and no values."""
    start = chunk_index * data.chunk_samples
    ids = np.arange(start, min(data.num_samples, start + data.chunk_samples))
    return np.zeros((len(ids), 1), np.float32), ids


def _taken(data: Data, window: int, num_threads: int) -> Iterator[Any]:
    chunks = sorted(data.chunks.iterdir())
    paths = [chunk if data.kind == "tokens" else chunk / "image.npy" for chunk in chunks]
    item_shape, dtype = (
        ((WINDOW,), np.dtype(np.uint16)) if data.kind == "tokens" else (data.shape, np.dtype(np.float32))
    )
    item_bytes = int(np.prod(item_shape)) * dtype.itemsize
    piece = max(1, _PIECE_BYTES // item_bytes)
    memory = threading.local()

    def take(first: int) -> int:
        if not hasattr(memory, "rows"):
            memory.rows = np.empty((window * data.chunk_samples, *item_shape), dtype)
            memory.piece = np.empty((piece, *item_shape), dtype)
        num_rows = 0
        for path in paths[first : first + window]:
            with open(path, "rb", buffering=0) as file:
                file.seek(path.stat().st_size % item_bytes)  # a .npy's header is shorter than a row
                num_rows += file.readinto(memory.rows[num_rows:].data.cast("B")) // item_bytes
        order = np.random.default_rng(first).permutation(num_rows)
        for start in range(0, num_rows, piece):
            places = order[start : start + piece]
            np.take(memory.rows, places, axis=0, out=memory.piece[: len(places)], mode="clip")
        return first

    with ThreadPoolExecutor(num_threads) as threads:
        for first in threads.map(take, range(0, len(paths), window)):
            for index in range(first, min(first + window, len(paths))):
                yield _samples(data, index)


def _records(data: Data) -> Iterator[Any]:
    for index, path in enumerate(sorted((data.root / "arrayrecord").iterdir())):
        reader = array_record_module.ArrayRecordReader(str(path), "readahead_buffer_size:1M,max_parallelism:0")
        records = reader.read_all()
        values, ids = _samples(data, index)
        assert len(records) == len(ids)
        yield values, ids


def _unpacked(data: Data) -> Iterator[Any]:
    def unpack(item: tuple[int, Any]) -> int:
        for path in item[1].iterdir():
            zstandard.ZstdDecompressor().decompress(path.read_bytes())
        return item[0]

    with ThreadPoolExecutor(2) as threads:
        for index in threads.map(unpack, enumerate(sorted((data.root / "npy.zst").iterdir()))):
            yield _samples(data, index)


def _copied(data: Data) -> Iterator[Any]:
    buffer = bytearray(4 * 2**20)
    for index, chunk in enumerate(sorted(data.chunks.iterdir())):
        for path in chunk.iterdir():
            with open(path, "rb", buffering=0) as file:  # as dd would, without a process for each file
                while file.readinto(buffer):
                    pass
        yield _samples(data, index)


def _lines(data: Data) -> Iterator[Any]:
    reader = JsonlReader()
    for path in sorted(data.chunks.iterdir()):
        columns, num_samples = reader.read_file(str(path))
        yield np.zeros((num_samples, 1), np.float32), columns["id"]
