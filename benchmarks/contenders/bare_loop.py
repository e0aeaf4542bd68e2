"""The bare loop: what one would write with NumPy alone, in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from workloads import WINDOW, Data, encode_lines


def epochs(data: Data, *, as_nanogpt: bool = False) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    while True:
        if data.kind == "arrays":
            yield _rows(data, rng)
        elif data.kind == "text":
            yield _lines(data)
        else:
            yield _random_windows(data, rng) if as_nanogpt else _windows(data, rng)


def _rows(data: Data, rng: np.random.Generator) -> Iterator[Any]:
    image, label = data.array("image"), data.array("label")
    permutation = rng.permutation(len(image))
    for start in range(0, len(image), data.batch_size):
        rows = permutation[start : start + data.batch_size]
        yield image[rows], label[rows]


def _lines(data: Data) -> Iterator[Any]:
    for path in sorted(data.chunks.iterdir()):
        lines = path.read_bytes().splitlines()
        for start in range(0, len(lines), data.batch_size):
            yield encode_lines(lines[start : start + data.batch_size])


def _windows(data: Data, rng: np.random.Generator) -> Iterator[Any]:
    windows = data.tokens().reshape(-1, WINDOW)
    permutation = rng.permutation(len(windows))
    for start in range(0, len(windows), data.batch_size):
        rows = permutation[start : start + data.batch_size]
        yield windows[rows], rows


def _random_windows(data: Data, rng: np.random.Generator) -> Iterator[Any]:
    """As nanoGPT does: windows at random places, each made int64, and stacked."""
    tokens = data.tokens()
    for _ in range(0, data.num_samples, data.batch_size):
        starts = rng.integers(0, len(tokens) - WINDOW, data.batch_size)
        yield np.stack([tokens[i : i + WINDOW].astype(np.int64) for i in starts.tolist()]), starts // WINDOW
