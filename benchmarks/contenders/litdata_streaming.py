"""litdata: StreamingDataset with StreamingDataLoader; tokens by its TokensLoader."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import litdata
import numpy as np
import torch
from workloads import WINDOW, Data, window_ids


def prepare(data: Data) -> None:
    place = _place(data)
    if (place / "index.json").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    tokens = data.kind == "tokens"
    make = partial(_windows, data) if tokens else partial(_rows, data)
    stop = data.num_samples
    litdata.optimize(
        fn=make,
        inputs=[(start, min(stop, start + 10_000)) for start in range(0, stop, 10_000)],
        output_dir=str(place),
        num_workers=1,
        keep_data_ordered=True,
        verbose=False,
        **(
            {"chunk_size": WINDOW * data.chunk_samples, "item_loader": _tokens()} if tokens else {"chunk_bytes": "64MB"}
        ),
    )


def _place(data: Data) -> Path:
    return data.root / f"litdata-{data.num_samples}"


def _tokens() -> Any:
    return litdata.TokensLoader(block_size=WINDOW)


def _rows(data: Data, span: tuple[int, int]) -> Iterator[dict[str, Any]]:
    image, label = data.array("image"), data.array("label")
    for row in range(*span):
        yield {"image": np.array(image[row]), "label": int(label[row])}


def _windows(data: Data, span: tuple[int, int]) -> Iterator[torch.Tensor]:
    windows = data.tokens().reshape(-1, WINDOW)
    for row in range(*span):
        yield torch.from_numpy(np.array(windows[row]))


def epochs(data: Data, *, num_workers: int) -> Iterator[Any]:
    tokens = data.kind == "tokens"
    options = {"item_loader": _tokens()} if tokens else {}
    dataset = litdata.StreamingDataset(str(_place(data)), shuffle=True, drop_last=False, **options)
    batches = litdata.StreamingDataLoader(
        dataset, batch_size=data.batch_size, num_workers=num_workers, persistent_workers=num_workers > 0
    )
    while True:
        if tokens:
            yield ((batch, window_ids(batch.numpy())) for batch in batches)
        else:
            yield ((batch["image"], batch["label"]) for batch in batches)
