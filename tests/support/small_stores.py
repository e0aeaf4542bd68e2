"""Small chunks in the store of tests, and loaders of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from chunk_forms import write_form
from store_server import StoreServer

from pyloader.files import StoreOptions

__all__ = ["FORMS", "from_store", "gets", "same_batches", "store_options", "write_chunks_of"]

FORMS = (".jsonl.zst", ".jsonl", ".csv", ".txt", ".parquet", ".npy", ".npz", ".columns", ".arrayrecord")
_ROWS = 10


def write_chunks_of(suffix: str, directory: Path, *, num_chunks: int = 4) -> Path:
    """Write chunks of 10 rows in one form, and return their directory."""
    directory.mkdir(parents=True)
    for index in range(num_chunks):
        rows = range(_ROWS * index, _ROWS * (index + 1))
        numbers = np.arange(rows.start, rows.stop)
        write_form(
            directory / f"chunk-{index}{suffix}",
            lines=_lines(suffix, rows),
            array=np.stack([numbers, numbers**2], 1),
            arrays={"x": numbers.astype(np.float32), "label": numbers},
            records=[f"record {row}".encode() for row in rows],
            group=1,
            table={"x": [row / 3 for row in rows], "word": [f"word {row}" for row in rows]},
        )
    return directory


def _lines(suffix: str, rows: range) -> Iterator[bytes]:
    if suffix == ".csv":
        yield b"x,word\n"
    for row in rows:
        if suffix.startswith(".jsonl"):
            yield b'{"x": %d, "word": "word %d"}\n' % (row, row)
        else:
            yield b"%d,word %d\n" % (row, row)


def store_options(server: StoreServer, cache: Path, **options: Any) -> StoreOptions:
    """Return how chunks of the server are read through a cache."""
    return StoreOptions(cache_dir=str(cache), storage_options=server.s3_options, **options)


def from_store(server: StoreServer, cache: Path, name: str = "chunks", **options: Any) -> dict[str, Any]:
    """Return the options of a loader that reads s3://bucket/NAME through a cache."""
    place = {"data_dir": f"s3://bucket/{name}", "storage_options": server.s3_options, "cache_dir": cache}
    return {**place, **options}


def gets(server: StoreServer) -> dict[str, int]:
    """Return how often each chunk was asked for."""
    asked = {key.removeprefix("GET "): count for key, count in server.requests.items() if key.startswith("GET ")}
    return {name: count for name, count in asked.items() if not name.endswith("manifest.json")}


def same_batches(one: list[Any], other: list[Any]) -> bool:
    """Tell whether batches are the same bit for bit."""
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return type(one) is type(other) and one == other
