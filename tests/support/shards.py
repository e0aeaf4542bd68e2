"""Shards as their own libraries write them, and the rows that are in them.

tests/data/shards holds what `python tests/support/shards.py tests/data/shards/NAME KIND` wrote with webdataset 1.0.2,
TensorFlow 2.21.0, mosaicml-streaming 0.13.0, litdata 0.2.76 and megatron-core 0.16.1.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import DataReader, Part
from pyloader.columns import Columns, concatenate_columns
from pyloader.datareader import read_chunk
from pyloader.testing.readers import assert_same_columns

__all__ = ["SHARDS", "WritesAFile", "assert_parts_are_the_whole", "rows_of", "write_fresh"]

SHARDS = Path(__file__).parents[1] / "data" / "shards"
NUM_ROWS = 12


class WritesAFile:
    """Makes a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def rows_of(kind: str, num_rows: int = NUM_ROWS, seed: int = 0) -> list[dict[str, Any]]:
    """Return the samples of a shard of this kind."""
    rng = np.random.default_rng(seed)
    if kind == "webdataset":
        num_rows = (num_rows + 1) // 2  # of a sample's files each takes a kilobyte
    rows = []
    for i in range(num_rows):
        image, vector = rng.bytes(i * 5), rng.standard_normal(3).astype(np.float32)
        tokens = rng.integers(-(2**40), 2**62, i % 4)
        if kind == "webdataset":
            row = {
                "__key__": f"n01/{i:05d}",
                "seg.png": image,
                "cls": i,
                "json": {"row": i, "text": f"é {i}"},
                "npy": vector,
            }
        elif kind == "example":
            row = {"image": image, "label": i - 5, "vector": vector, "tokens": tokens, "words": [b"a", b"b" * i]}
        elif kind == "sequence":
            row = {"id": i, "steps": tokens, "frames": [b"f" * n for n in range(i % 3)], "points": vector.reshape(1, 3)}
        elif kind == "mds":
            row = {
                "id": i - 5, "text": f"é {i}", "image": image, "half": np.float16(i / 4), "vector": vector,
                "tokens": tokens[:2] if len(tokens) else np.array([7]), "grid": np.full((i % 2 + 1, 2), i, np.int32),
                "tags": {"row": [i]}, "large": 10**30 + i, "exact": Decimal(f"{i}.10"), "third": i / 3,
            }  # fmt: skip
        elif kind == "litdata":
            row = {
                "id": i - 5, "third": i / 3, "text": f"é {i}", "image": image, "good": i % 2 == 0,
                "tokens": tokens, "grid": np.full((2, i % 2 + 1), i, np.float32),
                "inner": {"ids": tokens, "any": {1, i}},
            }  # fmt: skip
        else:  # documents of Megatron
            row = {"tokens": rng.integers(0, 60_000, i % 5).astype(np.uint16)}
        rows.append(row)
    return rows


def write_webdataset(path: Path, rows: list[dict[str, Any]]) -> None:
    import webdataset

    with webdataset.TarWriter(str(path), mtime=0) as writer:
        for row in rows:
            writer.write(row)


def write_example(path: Path, rows: list[dict[str, Any]]) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            features = {name: _feature(values) for name, values in row.items()}
            writer.write(
                tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)
            )


def write_sequence(path: Path, rows: list[dict[str, Any]]) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            lists = {
                name: tf.train.FeatureList(feature=[_feature(value) for value in values])
                for name, values in row.items()
                if name != "id"
            }
            example = tf.train.SequenceExample(
                context=tf.train.Features(feature={"id": _feature(row["id"])}),
                feature_lists=tf.train.FeatureLists(feature_list=lists),
            )
            writer.write(example.SerializeToString(deterministic=True))


def write_mds(path: Path, rows: list[dict[str, Any]], **options: Any) -> None:
    from streaming import MDSWriter

    encodings = {
        "id": "int", "text": "str", "image": "bytes", "half": "float16", "vector": "ndarray:float32:3",
        "tokens": "ndarray:int64", "grid": "ndarray", "tags": "json", "large": "str_int", "exact": "str_decimal",
        "third": "str_float",
    }  # fmt: skip
    with MDSWriter(out=str(path), columns=encodings, hashes=["sha1", "xxh3_64"], **options) as writer:
        for row in rows:
            writer.write(row)


def write_litdata(path: Path, rows: list[dict[str, Any]], **options: Any) -> None:
    import torch
    from litdata.streaming.cache import Cache

    path.mkdir()
    cache = Cache(str(path), chunk_bytes=2**11, **options)
    cache._reader._try_load_config()
    for index, row in enumerate(rows):
        inner = row["inner"] | {"ids": torch.from_numpy(row["tokens"]), "grid": torch.from_numpy(row["grid"])}
        cache[index] = row | {"inner": inner}
    cache.done()
    cache.merge()


def write_litdata_tokens(path: Path, rows: list[dict[str, Any]]) -> None:
    import torch
    from litdata import TokensLoader
    from litdata.streaming.cache import Cache

    path.mkdir()
    cache = Cache(str(path), chunk_size=40, item_loader=TokensLoader(block_size=1))
    cache._reader._try_load_config()
    for index, row in enumerate(rows):
        cache[index] = torch.from_numpy(row["tokens"].astype(np.int32))
    cache.done()
    cache.merge()


def write_megatron(path: Path, rows: list[dict[str, Any]]) -> None:
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(str(path), dtype=np.uint16)
    for row in rows:
        builder.add_document(row["tokens"], [len(row["tokens"])])
    builder.finalize(str(path.with_suffix(".idx")))


def _feature(values: Any) -> Any:
    import tensorflow as tf

    values = np.atleast_1d(values).tolist() if not isinstance(values, bytes) else [values]
    if values and isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


# Kind -> the library that writes it, and how.
WRITERS: dict[str, tuple[str, Callable[..., None]]] = {
    "webdataset": ("webdataset", write_webdataset),
    "example": ("tensorflow", write_example),
    "sequence": ("tensorflow", write_sequence),
    "mds": ("streaming", write_mds),
    "litdata": ("litdata", write_litdata),
    "litdata-tokens": ("litdata", write_litdata_tokens),
    "megatron": ("megatron.core.datasets", write_megatron),
}


def write_fresh(path: Path, kind: str, *, num_rows: int, seed: int, **options: Any) -> list[dict[str, Any]]:
    """Have the library of a kind write samples, and return them; skips the test where it is not installed.

    It writes in a process of its own: some of these libraries cannot be imported beside others.
    """
    library = WRITERS[kind][0]
    if importlib.util.find_spec(library.partition(".")[0]) is None:
        pytest.skip(f"could not find {library!r}")
    told = json.dumps({"num_rows": num_rows, "seed": seed, "options": options})
    subprocess.run([sys.executable, __file__, str(path), kind, told], check=True, capture_output=True)
    return rows_of(kind, num_rows, seed)


def assert_parts_are_the_whole(reader: DataReader, path: Path, tmp_path: Path, **sizes: Any) -> list[Part]:
    """Assert that the parts of a file, joined, are what `read_file` gives; each is read from its own ranges alone."""
    parts = reader.find_parts(str(path), **{"chunk_bytes": 2**30, **sizes})
    assert parts is not None
    assert [part.first for part in parts] == [0, *(part.stop for part in parts[:-1])]
    whole, columns = path.read_bytes(), []
    beside = tmp_path / "part" / path.name
    beside.parent.mkdir(exist_ok=True)
    for part in parts:
        sparse = bytearray(len(whole))
        for start, stop in part.ranges:
            sparse[start:stop] = whole[start:stop]
        beside.write_bytes(sparse)
        columns.append(read_chunk(reader, beside, part))
    joined: Columns = concatenate_columns(columns) if columns else {}
    assert_same_columns(read_chunk(reader, path), joined, f"{path.name} was read whole and in parts")
    return parts


if __name__ == "__main__":
    path, kind, told = Path(sys.argv[1]), sys.argv[2], json.loads((sys.argv[3:] or ["{}"])[0])
    path.parent.mkdir(exist_ok=True)
    rows = rows_of(kind, told.get("num_rows", NUM_ROWS), told.get("seed", 0))
    WRITERS[kind][1](path, rows, **told.get("options", {}))
