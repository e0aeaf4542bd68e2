"""Scaling: do the time of a sample, the memory and the first batch stay what they are when the dataset grows?

    python benchmarks/scaling.py [--most 8] [--repeat 3] [--seconds 2]      from 10^5 to 10^8 samples

Samples are float32 [4] and a label: chunks of 655,360 (16 MB) with a manifest, and two .npy for random access; 10^8 of
them are 5 GB on disk.  Batches of 256, shuffled, epoch after epoch, for about an epoch and some seconds at least; each
case in a fresh process, all in turn, files in the page cache, and medians are shown.  "bare" takes rows by random
numbers from the mapped .npy: what the machine's caches make of arrays that grow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from making import place, read_files

from pyloader import DataLoader, indexed
from pyloader.inspecting.measuring import measure
from pyloader.write import ChunkWriter

BATCH_SIZE = 256
CHUNK_SAMPLES = 655_360
SMALLEST = 5  # 10^5 samples
FASTEST = 10_000_000  # samples a second, about: for a guess of how long an epoch takes


def make_data(num_samples: int) -> Path:
    """Make a dataset, as chunks and as two .npy, if it is not there yet."""
    root = place() / f"scaling-{num_samples}"
    if (root / "done").exists():
        return root
    rng = np.random.default_rng(0)
    with ChunkWriter(root / "chunks", format="columns", chunk_samples=CHUNK_SAMPLES, overwrite=True) as writer:
        x = np.lib.format.open_memmap(root / "x.npy", "w+", np.float32, (num_samples, 4))
        for start in range(0, num_samples, CHUNK_SAMPLES):
            rows = x[start : start + CHUNK_SAMPLES]
            rows[:] = rng.random(rows.shape, np.float32)
            writer.write_columns({"x": rows, "label": np.arange(start, start + len(rows))})
    np.save(root / "label.npy", np.arange(num_samples))
    (root / "done").touch()
    return root


def window(root: Path, num_chunks: int) -> Iterable[Any]:
    """Return an endless loader that mixes so many chunks."""
    chunks = root / "chunks"
    return DataLoader(data_dir=chunks, batch_size=BATCH_SIZE, shuffle=True, shuffle_window=num_chunks, num_epochs=None)


def random_access(root: Path) -> Iterable[Any]:
    """Return an endless loader of rows in random order."""
    x, label = (indexed.NPDataset(root / f"{name}.npy") for name in ("x", "label"))
    return indexed.DataLoader({"x": x, "label": label}, batch_size=BATCH_SIZE, shuffle=True)


def bare(root: Path) -> Iterator[Any]:
    """Yield batches of random rows."""
    x, label = (np.asarray(np.load(root / f"{name}.npy", mmap_mode="r")) for name in ("x", "label"))
    rng = np.random.default_rng(0)
    while True:
        rows = rng.integers(len(x), size=BATCH_SIZE)
        yield {"x": x[rows], "label": label[rows]}


CASES: dict[str, Callable[[Path], Iterable[Any]]] = {
    "window 4": lambda root: window(root, 4),
    "window 8": lambda root: window(root, 8),
    "pyloader.indexed": random_access,
    "bare": bare,
}


def measure_here(case: str, num_samples: int, seconds: float) -> dict[str, float]:
    """Measure a case in this process."""
    make = CASES[case]
    next(iter(make(make_data(10**SMALLEST))))  # what is imported when first used
    root, making = make_data(num_samples), 0.0
    read_files(root)

    def timed() -> Iterable[Any]:
        nonlocal making
        begun = time.perf_counter()
        loader = make(root)
        making = time.perf_counter() - begun
        return loader

    return {**asdict(measure(timed, seconds=max(seconds, num_samples / FASTEST))), "making_seconds": making}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=8, help="the power of ten of the largest dataset's samples (8)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--case", choices=list(CASES), help="measure this one alone, here, and print JSON")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure_here(arguments.case, 10**arguments.most, arguments.seconds)), flush=True)
        return
    powers = range(SMALLEST, arguments.most + 1)
    for power in powers:
        make_data(10**power)
    found: dict[tuple[str, int], list[dict[str, float]]] = {(case, power): [] for case in CASES for power in powers}
    for _ in range(arguments.repeat):
        for (case, power), runs in found.items():
            words = ["--case", case, "--most", str(power), "--seconds", str(arguments.seconds)]
            done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, check=True)
            runs.append(json.loads(done.stdout))
    for (case, power), runs in found.items():
        median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        milliseconds = {name: median[f"{name}_seconds"] * 1000 for name in ("making", "first_batch")}
        print(
            f"10^{power}   {case:17} {1e9 / median['samples_per_second']:6.1f} ns a sample   "
            f"made in {milliseconds['making']:.2f} ms   first batch {milliseconds['first_batch']:6.1f} ms   "
            f"{median['memory_bytes'] / 1e6:6.1f} MB"
        )


if __name__ == "__main__":
    main()
