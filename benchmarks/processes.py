"""Processes: from which cost of a Python `batch_encode` on do worker processes pay, and what does the way there cost?

Of each are shown the samples/s, how many times those inline they are, and the processor time that a batch takes in all
processes together: where other programs use the machine, that can be compared.

python benchmarks/processes.py [--lines 100000] [--repeat 5] [--rounds 0 40 150 600] [--workers 2]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from making import make_lines, place
from processor_time import processor_seconds

from pyloader import Columns, DataLoader, Dataset, JsonlReader
from pyloader.deliver import RemoteFunction, Steps

BATCH_SIZE = 256
STEPS = 200
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


class Found(NamedTuple):
    """What was measured once the run was under way."""

    rate: float  # samples per second
    milliseconds: float  # of processor time for a batch, with those of worker processes


def measured(root: Path, rounds: int, options: dict[str, Any]) -> Found:
    """Deliver some batches, and measure the next `STEPS`."""
    parts = JsonlReader(), Hash(rounds), None, root / "chunks"
    with DataLoader(*parts, batch_size=BATCH_SIZE, shuffle=True, num_epochs=None, **options) as batches:
        list(itertools.islice(batches, 20))
        begun, worked = time.perf_counter(), processor_seconds()
        list(itertools.islice(batches, STEPS))
        seconds, worked = time.perf_counter() - begun, processor_seconds() - worked
        return Found(STEPS * BATCH_SIZE / seconds, worked / STEPS * 1000)


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
        found: dict[str, list[Found]] = {name: [] for name in engines}
        for _, (name, options) in itertools.product(range(arguments.repeat), engines.items()):
            found[name].append(measured(root, rounds, options))
        medians = {name: Found(*map(statistics.median, zip(*runs, strict=True))) for name, runs in found.items()}
        shown = "   ".join(
            f"{name} {value.rate:,.0f} ({value.rate / medians['inline'].rate:.2f}, {value.milliseconds:.2f} ms)"
            for name, value in medians.items()
        )
        print(f"{microseconds_a_sample(rounds):5.1f} µs a sample, samples/s:   {shown}")


if __name__ == "__main__":
    main()
