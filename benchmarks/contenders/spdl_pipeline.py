"""SPDL: a pipeline of threads, fed with the indices of whole batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from spdl.pipeline import PipelineBuilder
from workloads import WINDOW, Data, encode_lines


def epochs(data: Data, *, num_threads: int) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    while True:
        yield _epoch(data, rng, num_threads)


def _epoch(data: Data, rng: np.random.Generator, num_threads: int) -> Iterator[Any]:
    builder = PipelineBuilder()
    if data.kind == "text":
        builder.add_source(_batches_of_lines(data)).pipe(encode_lines, concurrency=num_threads)
    else:
        if data.kind == "tokens":
            values = data.tokens().reshape(-1, WINDOW)
            ids = np.arange(len(values))
        else:
            values, ids = data.array("image"), data.array("label")
        rows = rng.permutation(len(ids))
        builder.add_source(rows[i : i + data.batch_size] for i in range(0, len(rows), data.batch_size))
        builder.pipe(lambda some: (values[some], ids[some]), concurrency=num_threads)
    pipeline = builder.add_sink(8).build(num_threads=num_threads)
    with pipeline.auto_stop():
        yield from pipeline


def _batches_of_lines(data: Data) -> Iterator[list[bytes]]:
    for path in sorted(data.chunks.iterdir()):
        lines = path.read_bytes().splitlines()
        yield from (lines[i : i + data.batch_size] for i in range(0, len(lines), data.batch_size))
