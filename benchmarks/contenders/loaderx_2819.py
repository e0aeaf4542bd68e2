"""loaderx 2.8.19: random access over its zrecord stores, endless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from loaderx import Allocator, Loader
from loaderx.sampler import Sampler
from loaderx.zrecord import DenseStore, DenseWriter, RaggedBatch, RaggedStore, RaggedWriter
from workloads import WINDOW, Data, encode_lines, window_ids


def prepare(data: Data) -> None:
    """Write a store for each column: arrays and windows of tokens as rows, lines of text as bytes of any length."""
    root = data.root / "zrecord"
    if root.with_suffix(".done").exists():
        return
    if data.kind == "text":
        _write_lines(root / "line", sorted(data.chunks.iterdir()))
    elif data.kind == "tokens":
        _write_rows(root / "tokens", data.tokens().reshape(-1, WINDOW))
    else:
        for name in ("image", "label"):
            _write_rows(root / name, data.array(name))
    root.with_suffix(".done").touch()


def epochs(data: Data, *, num_workers: int) -> Iterator[Any]:
    kind = RaggedStore if data.kind == "text" else DenseStore
    deliver = {"text": _lines, "tokens": _windows, "arrays": _rows}[data.kind]
    stores = {path.name: kind(path) for path in (data.root / "zrecord").iterdir()}
    with Allocator("cpu") as allocator:
        views = {name: [store.bind(allocator)] for name, store in stores.items()}
        sampler = Sampler(data.num_samples, data.batch_size, Sampler.Mode.CYCLIC, seed=0)
        with Loader(views, sampler, workers=num_workers, transform=lambda shards: deliver(shards[0])) as batches:
            while True:
                yield (next(batches) for _ in range(data.num_samples // data.batch_size))


def _rows(shard: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    return np.from_dlpack(shard["image"]), np.from_dlpack(shard["label"])


def _windows(shard: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    windows = np.from_dlpack(shard["tokens"])
    return windows, window_ids(windows)


def _lines(shard: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    text = np.from_dlpack(shard["line"].values).tobytes()
    return encode_lines(text.splitlines())


def _write_rows(path: Path, rows: np.ndarray) -> None:
    with DenseWriter(path, rows.dtype, rows.shape[1:], codec="raw") as writer:
        writer.append(rows)


def _write_lines(path: Path, chunks: list[Path]) -> None:
    with RaggedWriter(path, np.uint8, 1, codec="raw") as writer:
        for chunk in chunks:
            text = np.fromfile(chunk, np.uint8)
            ends = np.append(0, np.flatnonzero(text == ord("\n")) + 1)
            writer.append(RaggedBatch(text, ends.astype(np.int32), np.diff(ends).astype(np.uint32)[:, np.newaxis]))
