"""Larger than memory: do chunks stream at the disk's speed when no cache can hold them?

    python benchmarks/larger.py [--gigabytes 30] [--seconds 10] [--repeat 3]

Samples are float32 [28, 28] and a label, in chunks of 4,096, shuffled, in batches of 256.  Before each case the system
is asked to forget the files.  "as dd does" reads them one after another; "bare" takes rows of the mapped chunks by a
permutation of all of them.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from making import forget_files, place

from pyloader import DataLoader
from pyloader.write import ChunkWriter

BATCH_SIZE = 256
CHUNK_SAMPLES = 4096
SAMPLE_BYTES = 28 * 28 * 4


def make_data(gigabytes: float) -> Path:
    """Make the chunks, if they are not there yet."""
    num_chunks = max(8, round(gigabytes * 1e9 / (CHUNK_SAMPLES * SAMPLE_BYTES)))
    root = place() / f"larger-{num_chunks}"
    if (root / "manifest.json").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    with ChunkWriter(root, format="columns", chunk_samples=CHUNK_SAMPLES) as writer:
        for chunk in range(num_chunks):
            image = np.random.default_rng(chunk).random((CHUNK_SAMPLES, 28, 28), np.float32)
            first = chunk * CHUNK_SAMPLES
            writer.write_columns({"image": image, "label": np.arange(first, first + CHUNK_SAMPLES)})
    return root


def as_dd(root: Path) -> Iterator[int]:
    """Read file after file; yield how many samples' worth came."""
    buffer = bytearray(BATCH_SIZE * SAMPLE_BYTES)
    for path in sorted(root.rglob("*.npy")):
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                yield count // SAMPLE_BYTES


def bare(root: Path) -> Iterator[int]:
    """Take rows of all chunks in random order."""
    images = [np.asarray(np.load(path, mmap_mode="r")) for path in sorted(root.glob("*/image.npy"))]
    places = np.random.default_rng(0).permutation(len(images) * CHUNK_SAMPLES)
    for start in range(0, len(places), BATCH_SIZE):
        rows = places[start : start + BATCH_SIZE].tolist()
        yield len(np.stack([images[row // CHUNK_SAMPLES][row % CHUNK_SAMPLES] for row in rows]))


def window(root: Path, num_chunks: int) -> Iterator[int]:
    """Deliver batches that mix so many chunks."""
    with DataLoader(
        data_dir=root, batch_size=BATCH_SIZE, shuffle=True, shuffle_window=num_chunks, num_epochs=None
    ) as loader:
        while True:
            yield len(next(loader)["label"])


CASES: dict[str, Callable[[Path], Iterator[int]]] = {
    "as dd does": as_dd,
    "pyloader, window 1": lambda root: window(root, 1),
    "pyloader, window 4": lambda root: window(root, 4),
    "pyloader, window 8": lambda root: window(root, 8),
    "bare": bare,
}


def measure(batches: Iterator[int], seconds: float) -> tuple[float, float]:
    """Return samples a second from the very beginning on, and when the first batch came."""
    begun = time.perf_counter()
    total, first = next(batches), time.perf_counter() - begun
    for num_samples in itertools.takewhile(lambda _: time.perf_counter() - begun < seconds, batches):
        total += num_samples
    return total / (time.perf_counter() - begun), first


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each case in each round")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    root = make_data(arguments.gigabytes)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for _, (name, case) in itertools.product(range(arguments.repeat), CASES.items()):
        forget_files(root)
        found[name].append(measure(case(root), arguments.seconds))
    limit = statistics.median(rate for rate, _ in found["as dd does"])
    for name, runs in found.items():
        rate, first = (statistics.median(values) for values in zip(*runs, strict=True))
        gigabytes = rate * SAMPLE_BYTES / 1e9
        print(
            f"{name:20}{rate:12,.0f} samples/s {gigabytes:6.2f} GB/s {rate / limit:6.2f}   first {first * 1000:.0f} ms"
        )


if __name__ == "__main__":
    main()
