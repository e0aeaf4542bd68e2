"""grain: MapDataset over memory-mapped arrays, and over ArrayRecord files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grain
import numpy as np
from absl import flags
from array_record.python import array_record_module
from workloads import WINDOW, Data, encode_lines


class Rows:
    """A random-access source over memory-mapped arrays, which worker processes map for themselves."""

    def __init__(self, data: Data) -> None:
        self.data = data
        if data.kind == "tokens":
            self.values = data.tokens().reshape(-1, WINDOW)
            self.ids = np.arange(len(self.values))
        else:
            self.values, self.ids = (data.array(name)[: data.num_samples] for name in ("image", "label"))

    def __reduce__(self) -> Any:
        return Rows, (self.data,)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> tuple[np.ndarray, np.integer[Any]]:
        return self.values[index], self.ids[index]


def prepare(data: Data) -> None:
    path = _records(data)
    if data.kind == "tokens" or path.exists():
        return
    beside = path.with_suffix(".writing")
    writer = array_record_module.ArrayRecordWriter(str(beside), "group_size:1")
    if data.kind == "text":
        for chunk in sorted(data.chunks.iterdir()):
            for line in chunk.read_bytes().splitlines():
                writer.write(line)
    else:
        image, label = data.array("image"), data.array("label")
        for row in range(data.num_samples):
            writer.write(image[row].tobytes() + label[row].tobytes())
    writer.close()
    beside.rename(path)


def _records(data: Data) -> Any:
    return data.root / f"grain-{data.num_samples}.arrayrecord"


def epochs(data: Data, *, source: str, num_threads: int, num_workers: int = 0) -> Iterator[Any]:
    flags.FLAGS.mark_as_parsed()  # as absl's main would have; its worker processes ask
    dataset: Any
    if source == "ArrayRecord":
        dataset = grain.MapDataset.source(grain.sources.ArrayRecordDataSource(str(_records(data))))
    else:
        dataset = grain.MapDataset.source(Rows(data))
    dataset = dataset.shuffle(seed=0)
    if source == "ArrayRecord":
        decode = _decode_line if data.kind == "text" else _Decode(data.shape)
        dataset = dataset.map(decode)
    batches = dataset.batch(data.batch_size).to_iter_dataset(grain.ReadOptions(num_threads=num_threads))
    if num_workers:
        batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_workers))
    while True:
        yield batches


def _decode_line(line: bytes) -> tuple[np.ndarray, np.ndarray]:
    values, ids = encode_lines([line])
    return values[0], ids[0]


class _Decode:
    """Bytes -> a row and its label."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __call__(self, record: bytes) -> tuple[np.ndarray, np.integer[Any]]:
        values = np.frombuffer(record, np.float32, len(record) // 4 - 2).reshape(self.shape)
        return values, np.frombuffer(record, np.int64, 1, len(record) - 8)[0]
