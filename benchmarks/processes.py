"""Processes: from which cost of a Python `batch_encode` on do worker processes pay, and what does the way there cost?

python benchmarks/processes.py [--lines 100000] [--repeat 5] [--rounds 0 40 150 600] [--workers 2]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from making import make_lines, place

from pyloader import Columns, DataLoader, Dataset, JsonlReader
from pyloader.deliver import RemoteFunction, Steps

BATCH_SIZE = 256
STEPS = 100
ENGINES: dict[str, dict[str, Any]] = {"inline": {"num_workers": 0}, "1 thread": {"num_workers": 1}}


class Hash(Dataset):
    """A number for each text, after so many rounds of plain Python."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def batch_encode(self, columns: Columns) -> Columns:
        rounds, found = self.rounds, []
        for text in columns["text"]:
            value = len(text)
            for _ in range(rounds):
                value = (value * 31 + 7) & 0xFFFF
            found.append(value)
        return {"hash": np.array(found)}


def rate(root: Path, rounds: int, options: dict[str, Any]) -> float:
    """Return samples per second once the run is under way."""
    parts = JsonlReader(), Hash(rounds), None, root / "chunks"
    with DataLoader(*parts, batch_size=BATCH_SIZE, shuffle=True, num_epochs=None, **options) as batches:
        list(itertools.islice(batches, 20))
        begun = time.perf_counter()
        list(itertools.islice(batches, STEPS))
        return STEPS * BATCH_SIZE / (time.perf_counter() - begun)


def microseconds_a_sample(rounds: int) -> float:
    columns: Columns = {"text": ["text"] * BATCH_SIZE}
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        Hash(rounds).batch_encode(columns)
        seconds.append(time.perf_counter() - begun)
    return min(seconds) / BATCH_SIZE * 1e6


def show_ways() -> None:
    """Print how long a worker takes to start, and a message to go there and back."""
    steps = Steps()
    begun = time.perf_counter()
    echo = steps.add_awaited(RemoteFunction(lambda value: value, doing=str))
    echo(None)
    print(f"a worker starts in {time.perf_counter() - begun:.2f} s")
    for name, size in (("64 KiB", 2**16), ("16 MiB", 2**24)):
        value, seconds = np.zeros(size, np.uint8), []
        for _ in range(50):
            begun = time.perf_counter()
            echo(value)
            seconds.append(time.perf_counter() - begun)
        print(f"{name} there and back: {statistics.median(seconds) * 1e6:,.0f} µs")
    steps.close()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--rounds", type=int, nargs="+", default=[0, 40, 150, 600])
    parser.add_argument("--workers", type=int, nargs="+", default=[2], help="numbers of processes")
    arguments = parser.parse_args()
    processes = {f"{n} processes": {"num_workers": n, "worker_kind": "process"} for n in arguments.workers}
    engines = {**ENGINES, **processes}
    show_ways()
    root = make_lines(place() / f"lines-{arguments.lines}", num_lines=arguments.lines)
    for rounds in arguments.rounds:
        rates: dict[str, list[float]] = {name: [] for name in engines}
        for _, (name, options) in itertools.product(range(arguments.repeat), engines.items()):
            rates[name].append(rate(root, rounds, options))
        medians = {name: statistics.median(values) for name, values in rates.items()}
        shown = "   ".join(f"{name} {value:,.0f} ({value / medians['inline']:.2f})" for name, value in medians.items())
        print(f"{microseconds_a_sample(rounds):5.1f} µs a sample, samples/s:   {shown}")


if __name__ == "__main__":
    main()
