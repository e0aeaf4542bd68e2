"""Overlap: what does a step of 5 ms take, when its batch costs the loader 4 ms?

python benchmarks/overlap.py [--framework numpy|torch] [--device cuda]

Step and loader are each held to one thread.  Without overlap a step would take the sum; with it, the longer of the two.
With --framework torch the step may be on a GPU; the loop reads each loss, and so waits for it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from making import place

from pyloader import DataLoader, Dataset, NumpyReader
from pyloader.columns import Columns

ROWS, WIDTH, BATCH = 8192, 64, 64

# A function of the loader that returns its batches, and one of a batch that is a training step.
Road = tuple[Callable[[DataLoader], Any], Callable[[Any], None]]


class Work(Dataset):
    """Work of a known length: sines are computed so many times.

    Args:
      times: How often, for each batch.
    """

    def __init__(self, times: int) -> None:
        self.times = times

    def batch_encode(self, columns: Columns) -> Columns:
        compute(self.times)
        return columns


def compute(times: int) -> None:
    """Compute sines: NumPy does so in this thread alone, and leaves the interpreter's lock meanwhile."""
    angles = np.ones(2**15)
    for _ in range(times):
        np.sin(angles, out=angles)


def times_for(seconds: float, work: Callable[[int], None]) -> int:
    """Return how often `work` is done in so many seconds, by the fastest of 9 tries."""
    tries = []
    for _ in range(9):
        begun = time.perf_counter()
        work(20)
        tries.append((time.perf_counter() - begun) / 20)
    return max(1, round(seconds / min(tries)))


def with_numpy(step_seconds: float, _device: str) -> Road:
    times = times_for(step_seconds, compute)
    return lambda loader: loader, lambda batch: compute(times)


def with_torch(step_seconds: float, device: str) -> Road:
    import torch

    from pyloader.torch import prefetch_to_device

    torch.set_num_threads(1)
    # Wide on a GPU, so that it computes for longer than the interpreter takes to tell it to.
    weights = torch.randn(WIDTH, 1024 if device == "cpu" else 2**20, device=device)

    def step(batch: Any, times: int) -> None:
        rows = batch["row"]
        for _ in range(times):
            rows = torch.tanh(rows @ weights) @ weights.T
        rows.sum().item()

    batch = {"row": torch.ones(BATCH, WIDTH, device=device)}
    times = times_for(step_seconds, lambda times: step(batch, times))
    return lambda loader: prefetch_to_device(loader, device), lambda batch: step(batch, times)


FRAMEWORKS = {"numpy": with_numpy, "torch": with_torch}


def made_chunks() -> Path:
    """Return a directory of chunks of rows of float32."""
    chunks = place() / "overlap"
    for number in range(8):
        chunk = chunks / f"chunk-{number}.columns"
        if not chunk.exists():
            chunk.mkdir(parents=True)
            np.save(chunk / "row.npy", np.ones((ROWS // 8, WIDTH), np.float32))
    return chunks


def seconds_per_step(batches: Iterator[Any], step: Callable[[Any], None], num_steps: int) -> float:
    """Return the mean over so many steps, after ten that are not counted."""
    for batch in islice(batches, 10):
        step(batch)
    begun = time.perf_counter()
    for batch in islice(batches, num_steps):
        step(batch)
    return (time.perf_counter() - begun) / num_steps


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", choices=FRAMEWORKS, default="numpy")
    parser.add_argument("--device", default="cpu", help="where torch's step is")
    parser.add_argument("--steps", type=int, default=200, help="steps measured each time")
    parser.add_argument("--repeat", type=int, default=5, help="how many times, in turn; medians are shown")
    parser.add_argument("--step-ms", type=float, default=5)
    parser.add_argument("--batch-ms", type=float, default=4)
    arguments = parser.parse_args()

    wrap, step = FRAMEWORKS[arguments.framework](arguments.step_ms / 1000, arguments.device)
    work = Work(times_for(arguments.batch_ms / 1000, compute))
    found: dict[str, list[float]] = {"the step alone": [], "the batch alone": [], "inline": [], "ahead": []}
    for _ in range(arguments.repeat):
        for num_workers, name in ((0, "inline"), (1, "ahead")):
            options: dict[str, Any] = {"batch_size": BATCH, "num_epochs": None, "num_workers": num_workers}
            with DataLoader(NumpyReader(), work, None, made_chunks(), **options) as loader:
                batches = iter(wrap(loader))
                found[name].append(seconds_per_step(batches, step, arguments.steps))
                if name == "inline":
                    found["the batch alone"].append(seconds_per_step(batches, lambda batch: None, arguments.steps))
                    same = next(batches)
        found["the step alone"].append(seconds_per_step(iter([same] * (10 + arguments.steps)), step, arguments.steps))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    print(f"{arguments.framework}, {arguments.repeat} x {arguments.steps} steps: medians, and the fastest of each")
    for name, median in medians.items():
        step_alone, fastest = medians["the step alone"], min(found[name])
        print(f"{name:16} {median * 1000:6.2f} ms   {median / step_alone:.2f} of the step", end="   ")
        print(f"{fastest * 1000:6.2f} ms   {fastest / min(found['the step alone']):.2f}")


if __name__ == "__main__":
    main()
