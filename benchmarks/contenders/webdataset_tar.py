"""webdataset: tar shards, a shuffle buffer, batches made in the pipeline."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset
from workloads import Data


def prepare(data: Data) -> None:
    place = _place(data)
    if (place / "done").exists():
        return
    place.mkdir(exist_ok=True)
    image, label = data.array("image"), data.array("label")
    shard_samples = min(data.chunk_samples, 4096)
    for number, start in enumerate(range(0, data.num_samples, shard_samples)):
        with tarfile.open(place / f"shard-{number:05d}.tar", "w") as shard:
            for row in range(start, min(data.num_samples, start + shard_samples)):
                for suffix, content in (("bin", image[row].tobytes()), ("cls", str(label[row]).encode())):
                    member = tarfile.TarInfo(f"{row:08d}.{suffix}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
    (place / "done").touch()


def _place(data: Data) -> Path:
    return data.root / f"webdataset-{data.num_samples}"


def epochs(data: Data, *, num_workers: int) -> Iterator[Any]:
    def decode(sample: tuple[bytes, bytes]) -> tuple[torch.Tensor, int]:
        image, label = sample
        return torch.frombuffer(bytearray(image), dtype=torch.float32).reshape(data.shape), int(label)

    dataset = (
        webdataset.WebDataset(sorted(map(str, _place(data).glob("*.tar"))), shardshuffle=1000, seed=0)
        .shuffle(5000)
        .to_tuple("bin", "cls")
        .map(decode)
        .batched(data.batch_size, collation_fn=_stack)
    )
    batches = webdataset.WebLoader(dataset, batch_size=None, num_workers=num_workers)
    while True:
        yield batches


def _stack(samples: list[tuple[torch.Tensor, int]]) -> tuple[torch.Tensor, np.ndarray]:
    images, labels = zip(*samples, strict=True)
    return torch.stack(images), np.array(labels)
