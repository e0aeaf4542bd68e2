"""The limits of our own forms: only what must be done before anything else can be."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import zstandard
from array_record.python import array_record_module
from workloads import Data

from contenders.pyloader_chunks import prepare as prepare
from pyloader import JsonlReader


def epochs(data: Data, *, only: str) -> Iterator[Any]:
    while True:
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
