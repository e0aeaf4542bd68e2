"""Automatic: are the numbers of threads that a loader finds by itself as good as the best that could be given?

    python benchmarks/automatic.py [--workload zst ...] [--repeat 3] [--seconds 0.6] [--processors 1]

For each workload loaders with fixed numbers of workers and readers, and one as it comes, run in turn; the medians are
compared.  The one as it comes is measured after its first seconds, in which it tries.  About four minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from making import make_arrays, make_lines, make_tokens, place

from pyloader import Columns, DataLoader, Dataset, JsonlReader, NumpyReader, TokenReader
from pyloader.cli.main import main as pyloader_command

WARM_SECONDS = 0.2
WINDOW = 1025
NARROW = {"shuffle_window": 1, "max_queue_size": 4}


class SlowDisk(NumpyReader):
    """One that waits for each chunk."""

    is_thread_safe = True

    def read_file(self, path: str) -> Any:
        time.sleep(0.01)
        return super().read_file(path)


class Roots(Dataset):
    """What NumPy computes, without the interpreter's lock."""

    is_thread_safe = True

    def batch_encode(self, columns: Columns) -> Columns:
        image = columns["image"]
        for _ in range(4):
            image = np.sqrt(image)
        return {**columns, "image": image}


class Words(Dataset):
    """What Python computes, holding the interpreter's lock."""

    is_thread_safe = True

    def batch_encode(self, columns: Columns) -> Columns:
        return {"length": [len(text.split()) for text in columns["text"]]}


def workloads(root: Path, num_samples: int) -> dict[str, Callable[..., DataLoader]]:
    """Return what makes a loader of each workload, of options."""
    dense = make_arrays(root / f"dense-{num_samples}", num_samples=num_samples, shape=(28, 28), chunk_samples=4096)
    small = make_arrays(
        root / f"small-{20 * num_samples}", num_samples=20 * num_samples, shape=(16,), chunk_samples=131_072
    )
    tokens = make_tokens(root / f"tokens-{num_samples}", num_windows=num_samples, window=WINDOW, chunk_windows=4096)
    lines = make_lines(root / f"lines-{num_samples}", num_lines=num_samples)
    packed = root / f"packed-{num_samples}"
    if not packed.exists():
        for chunk in sorted((dense / "chunks").iterdir()):
            (packed / "chunks" / chunk.name).mkdir(parents=True)
            for file in chunk.iterdir():
                content = zstandard.compress(file.read_bytes(), 3)
                (packed / "chunks" / chunk.name / f"{file.name}.zst").write_bytes(content)
    for directory in (dense, small, packed, lines):
        if not (directory / "chunks" / "manifest.json").exists():
            assert pyloader_command(["index", str(directory / "chunks"), "-q"]) == 0

    def made(directory: Path, *parts: Any, **own: Any) -> Callable[..., DataLoader]:
        options = {"data_dir": directory / "chunks", "batch_size": 256, "shuffle": True, "num_epochs": None, **own}
        return lambda **given: DataLoader(*parts, **options, **given)

    token_reader = TokenReader(window=WINDOW, dtype="uint16")
    return {
        "dense, window 1": made(dense, **NARROW),
        "dense, window 1, mapped": made(dense, NumpyReader(mmap=True), **NARROW),
        "dense, window 4": made(dense),
        "dense, window 8": made(dense, shuffle_window=8),
        "small, window 4": made(small),
        "tokens, window 4": made(tokens, token_reader, batch_size=32),
        "npy.zst, window 1": made(packed, **NARROW),
        "lines, strings": made(lines, JsonlReader()),
        "lines, Python encodes": made(lines, JsonlReader(), Words()),
        "dense, NumPy encodes": made(dense, None, Roots()),
        "dense, a slow disk": made(dense, SlowDisk(), **NARROW),
    }


def settings() -> Iterator[dict[str, Any]]:
    """Yield the fixed numbers, and at last none."""
    yield {"num_workers": 0}
    yield {"num_workers": 0, "num_readers": 1}
    for workers in (1, 2, 4):
        for readers in (1, 2, 4):
            if max(workers, readers) <= max(2, 2 * len(os.sched_getaffinity(0)) - 2):
                yield {"num_workers": workers, "num_readers": readers}
    yield {}


def rate(make: Callable[..., DataLoader], setting: dict[str, Any], *warm_and_measured: float) -> tuple[float, str]:
    """Return batches a second in the latter of some times, and what the loader has come to."""
    with make(**setting) as loader:
        for seconds in warm_and_measured:
            begun, number = time.perf_counter(), 0
            while (passed := time.perf_counter() - begun) < seconds:
                next(loader)
                number += 1
        stats = loader.stats()
        return number / passed, f"{stats.num_workers} + {stats.num_readers}"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", action="append", default=[], metavar="WORD", help="only those with this word")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--trying", type=float, default=2.5, help="seconds that it has to find its numbers")
    parser.add_argument("--processors", type=int, help="use so many processors only")
    parser.add_argument("--samples", type=int, default=65_536, help="fewer samples, to try it out")
    arguments = parser.parse_args()
    made = workloads(place(), arguments.samples)
    if arguments.processors:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.processors])
    print(f"{'':28}{'as it comes':>13}   {'workers + readers':18}{'best fixed':>13}   workers, readers   of the best")
    for name, make in made.items():
        if arguments.workload and not any(word in name for word in arguments.workload):
            continue
        rates: dict[str, list[float]] = {}
        found = []
        for _ in range(arguments.repeat):
            for setting in settings():
                warm = WARM_SECONDS if setting else arguments.trying
                measured, counts = rate(make, setting, warm, arguments.seconds)
                rates.setdefault(", ".join(map(str, setting.values())), []).append(measured)
                found += [] if setting else [counts]
        medians = {words: statistics.median(values) for words, values in rates.items()}
        auto = medians.pop("")
        best = max(medians, key=medians.__getitem__)
        came_to = ", ".join(sorted(set(found)))
        line = f"{name:28}{auto:13,.0f}   {came_to:18}{medians[best]:13,.0f}   {best:17}  {auto / medians[best]:.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
