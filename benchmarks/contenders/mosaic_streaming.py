"""MosaicML streaming: MDS shards, StreamingDataset with torch's DataLoader."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch.utils.data

# streaming imports torchvision, for its vision datasets alone.  A build of that for CUDA, beside a torch without it,
# misses these operators, which nothing here uses.
for operator in ("nms", "qnms"):
    with contextlib.suppress(RuntimeError):
        torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import streaming  # noqa: E402
from workloads import WINDOW, Data  # noqa: E402


def prepare(data: Data) -> None:
    place = _place(data)
    if (place / "index.json").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    if data.kind == "tokens":
        values, ids = data.tokens().reshape(-1, WINDOW), np.arange(data.num_samples)
        kind = f"ndarray:uint16:{WINDOW}"
    else:
        values, ids = data.array("image"), data.array("label")
        kind = f"ndarray:float32:{','.join(map(str, data.shape))}"
    with streaming.MDSWriter(out=str(place), columns={"values": kind, "id": "int"}, size_limit=2**26) as writer:
        for row in range(data.num_samples):
            writer.write({"values": np.array(values[row]), "id": int(ids[row])})


def _place(data: Data) -> Path:
    return data.root / f"mosaic-{data.num_samples}"


def epochs(data: Data, *, num_workers: int) -> Iterator[Any]:
    streaming.base.util.clean_stale_shared_memory()
    dataset = streaming.StreamingDataset(local=str(_place(data)), shuffle=True, batch_size=data.batch_size)
    batches = torch.utils.data.DataLoader(dataset, data.batch_size, num_workers=num_workers)
    while True:
        yield ((batch["values"], batch["id"]) for batch in batches)
