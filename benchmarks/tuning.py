"""Tuning: what `pyloader tune` finds in its time, beside the best of a grid of 40 settings.

    python benchmarks/tuning.py [--only NAME] [--seconds 30]

For each of five workloads: the command searches; each setting of the grid is measured for a short time; the best five
of these and what the command found are measured again in turns, and their medians compared.  It takes about ten
minutes, and two idle processors.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pyloader import ChunkWriter, DataLoader, Dataset, JsonlReader
from pyloader.inspecting.measuring import measure

DATA = "PYLOADER_TUNING_DATA"  # the environment variable that says where the chunks are
GRID = [
    {"num_workers": workers, "num_readers": readers, "worker_kind": kind}
    for workers, readers, kind in itertools.product((1, 2, 3, 4, 6), (1, 2, 4, 8), ("thread", "process"))
]
NUM_BEST = 5


class PythonLengths(Dataset):
    """Work in Python, which holds the interpreter's lock."""

    def batch_encode(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"length": np.array([sum(map(ord, text)) % 1000 for text in batch["text"]])}


class Sorted(Dataset):
    """Work in NumPy, which lets go of the lock."""

    def batch_encode(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"x": np.sort(np.repeat(np.stack(batch["x"]), 4, axis=1), axis=1)[:, ::16]}


class FarReader(JsonlReader):
    """Reads lines from a disk that takes its time."""

    def read_file(self, path: str) -> Any:
        time.sleep(0.03)
        return super().read_file(path)


def _loader(name: str, *parts: Any, options: dict[str, Any]) -> DataLoader:
    place = Path(os.environ[DATA]) / name
    return DataLoader(
        *parts, **{"data_dir": place, "batch_size": 256, "shuffle": True, "num_epochs": None, "world": None, **options}
    )


def arrays(**options: Any) -> DataLoader:
    """Arrays, which are only gathered."""
    return _loader("arrays", options=options)


def lines(**options: Any) -> DataLoader:
    """Packed lines, which are only parsed."""
    return _loader("lines", options=options)


def python(**options: Any) -> DataLoader:
    """Lines, encoded in Python."""
    return _loader("lines", None, PythonLengths(), options=options)


def numpy(**options: Any) -> DataLoader:
    """Arrays, encoded in NumPy."""
    return _loader("arrays", None, Sorted(), options=options)


def far(**options: Any) -> DataLoader:
    """Lines from a slow disk."""
    return _loader("lines", FarReader(), options=options)


WORKLOADS: dict[str, Callable[..., DataLoader]] = {
    "arrays": arrays,
    "lines": lines,
    "python": python,
    "numpy": numpy,
    "far": far,
}


def write_chunks(root: Path, *, rows: int) -> None:
    """Write 24 chunks of arrays, and 24 of lines."""
    rng = np.random.default_rng(0)
    with ChunkWriter(root / "arrays", chunk_samples=rows, format="columns") as writer:
        for _ in range(24 * rows):
            writer.write({"x": rng.random(256, np.float32)})
    words = ["chunk", "loader", "sample", "window", "epoch"]
    with ChunkWriter(root / "lines", chunk_samples=rows, format="jsonl.zst") as writer:
        for number in range(24 * rows):
            writer.write({"text": " ".join(words[(number * k) % 5] for k in range(3, 43)), "label": number % 10})


def rate(make: Callable[..., DataLoader], setting: dict[str, Any], seconds: float) -> float:
    """Return samples a second, without the time that processes take to start."""
    with make(**setting) as loader:
        if setting["worker_kind"] == "process":
            for _ in islice(loader, 2 * (setting["num_workers"] + setting["num_readers"])):
                pass
        return measure(lambda: loader, seconds=seconds).samples_per_second


def tuned(name: str, seconds: float) -> dict[str, Any]:
    """Return the setting that the command finds."""
    words = ["tune", "--loader", f"{Path(__file__).stem}:{name}", "--seconds", str(seconds), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "pyloader", *words],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {option: json.loads(done.stdout)[0][option] for option in GRID[0]}


def compared(name: str, arguments: argparse.Namespace) -> float:
    """Search, measure the grid, print what was found, and return its rate by the best rate of the grid."""
    make, found = WORKLOADS[name], tuned(name, arguments.seconds)
    grid = GRID[:: 20 if arguments.tiny else 1]
    ranked = sorted(grid, key=lambda setting: -rate(make, setting, arguments.grid_seconds))
    finals = [found, *ranked[:NUM_BEST]]
    rounds = [[rate(make, setting, arguments.again_seconds) for setting in finals] for _ in range(arguments.repeat)]
    medians = [statistics.median(rates) for rates in zip(*rounds, strict=True)]
    best = max(range(1, len(finals)), key=medians.__getitem__)
    ratio = medians[0] / medians[best]
    for setting, median, what in ((found, medians[0], "tune"), (finals[best], medians[best], "grid")):
        print(f"{name:8} {what}   {_in_words(setting):52} {median:12,.0f} samples/s", flush=True)
    print(f"{name:8} {ratio:.2f} of the best of {len(grid)}", flush=True)
    return ratio


def _in_words(setting: dict[str, Any]) -> str:
    return ", ".join(f"{option}={value!r}" for option, value in setting.items())


def main() -> None:
    """Make the data, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*WORKLOADS], help="only these")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each search (default: 30)")
    parser.add_argument("--grid-seconds", type=float, default=0.4, help="of each setting of the grid (default: 0.4)")
    parser.add_argument("--again-seconds", type=float, default=0.6, help="of each turn of the best (default: 0.6)")
    parser.add_argument("--repeat", type=int, default=5, help="turns of the best (default: 5)")
    parser.add_argument("--rows", type=int, default=2000, help="of a chunk (default: 2,000)")
    parser.add_argument("--tiny", action="store_true", help="only to see whether it runs: few rows, settings and turns")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.seconds, arguments.grid_seconds, arguments.again_seconds = 0.5, 0.05, 0.05
        arguments.repeat, arguments.rows = 1, 300
    begun, names = time.perf_counter(), arguments.only or [*WORKLOADS]
    with tempfile.TemporaryDirectory() as root:
        write_chunks(Path(root), rows=arguments.rows)
        os.environ[DATA] = root
        ratios = [compared(name, arguments) for name in names]
    enough = sum(ratio >= 0.9 for ratio in ratios)
    print(f"0.90 reached in {enough} of {len(ratios)} workloads, in {time.perf_counter() - begun:,.0f} s")


if __name__ == "__main__":
    main()
