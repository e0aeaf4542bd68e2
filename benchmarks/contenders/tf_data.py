"""tf.data: records of fixed length, a shuffle buffer, whole batches decoded at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from workloads import WINDOW, Data, window_ids


def prepare(data: Data) -> None:
    if data.kind == "tokens":
        return  # the chunks are of that form
    place = _place(data)
    if (place / "done").exists():
        return
    place.mkdir(exist_ok=True)
    image, label = data.array("image"), data.array("label")
    for number, start in enumerate(range(0, data.num_samples, data.chunk_samples)):
        stop = min(data.num_samples, start + data.chunk_samples)
        rows = np.ascontiguousarray(image[start:stop]).reshape(stop - start, -1).view(np.uint8)
        ids = label[start:stop].astype(np.float32).reshape(-1, 1).view(np.uint8)
        np.concatenate([rows, ids], axis=1).tofile(place / f"chunk-{number:05d}.bin")
    (place / "done").touch()


def _place(data: Data) -> Path:
    return data.chunks if data.kind == "tokens" else data.root / "fixed-length"


def epochs(data: Data, *, buffer_chunks: int) -> Iterator[Any]:
    paths = sorted(map(str, _place(data).glob("*.bin")))
    numbers = WINDOW if data.kind == "tokens" else int(np.prod(data.shape)) + 1
    dtype = tf.uint16 if data.kind == "tokens" else tf.float32
    batches = (
        tf.data.Dataset.from_tensor_slices(paths)
        .shuffle(len(paths), seed=0)
        .interleave(
            lambda path: tf.data.FixedLengthRecordDataset(path, numbers * dtype.size),
            cycle_length=2,
            block_length=16,
            num_parallel_calls=2,
            deterministic=False,
        )
        .shuffle(buffer_chunks * data.chunk_samples)
        .batch(data.batch_size)
        .map(lambda records: tf.io.decode_raw(records, dtype), num_parallel_calls=2)
        .prefetch(4)
    )
    while True:
        if data.kind == "tokens":
            yield ((batch, window_ids(batch)) for batch in batches.as_numpy_iterator())
        else:
            yield ((batch[:, :-1], batch[:, -1].astype(np.int64)) for batch in batches.as_numpy_iterator())
