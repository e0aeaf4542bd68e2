"""Hugging Face datasets: Arrow files, shuffled by indices (map-style), or by a buffer (iterable)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from workloads import Data, encode_text


def prepare(data: Data) -> None:
    datasets.disable_progress_bars()
    place = _place(data)
    if (place / "state.json").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    if data.kind == "text":
        made = datasets.load_dataset(
            "json", data_files=sorted(map(str, data.chunks.iterdir())), split="train", cache_dir=str(data.root / "hf")
        )
    else:
        width = int(np.prod(data.shape))
        features = datasets.Features(
            {"image": datasets.Sequence(datasets.Value("float32"), length=width), "label": datasets.Value("int64")}
        )
        made = datasets.Dataset.from_generator(
            _blocks, features=features, gen_kwargs={"data": data}, cache_dir=str(data.root / "hf")
        )
    made.save_to_disk(str(place))
    shutil.rmtree(data.root / "hf", ignore_errors=True)


def _blocks(data: Data) -> Iterator[dict[str, Any]]:
    image, label = data.array("image"), data.array("label")
    for row in range(data.num_samples):
        yield {"image": image[row].reshape(-1), "label": label[row]}


def _place(data: Data) -> Path:
    return data.root / f"huggingface-{data.num_samples}"


def epochs(data: Data, *, style: str) -> Iterator[Any]:
    datasets.disable_progress_bars()
    whole = datasets.load_from_disk(str(_place(data)))
    number = 0
    while True:
        if style == "map":
            shuffled = whole.shuffle(seed=number)
        else:
            shuffled = whole.to_iterable_dataset(num_shards=16).shuffle(seed=number, buffer_size=10_000)
        batches = (shuffled if data.kind == "text" else shuffled.with_format("numpy")).iter(data.batch_size)
        if data.kind == "text":
            yield ((np.stack([encode_text(text) for text in batch["text"]]), batch["id"]) for batch in batches)
        else:
            yield ((batch["image"], batch["label"]) for batch in batches)
        number += 1
