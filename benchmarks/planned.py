"""Planned: what `pyloader plan` says of random settings, beside what the run then takes.

python benchmarks/planned.py --settings 20
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pyloader import ChunkWriter, DataLoader
from pyloader.inspecting.planning import Rate, measured_rate
from pyloader.run.predicting import Prediction

BOUNDS = {"read bytes": 0.01, "mixed chunks": 0.05, "resident bytes": 0.05, "rate": 0.15, "first batch": 1.0}  # or s


def drawn(rng: np.random.Generator, root: Path) -> dict[str, Any]:
    """Write chunks, and return options for them."""
    num_chunks, rows, width = rng.integers(8, 40), int(rng.integers(200, 1500)), rng.integers(10, 400)
    place = root / f"{num_chunks}-{rows}-{width}"
    with ChunkWriter(place, chunk_samples=rows) as writer:
        for number in range(num_chunks * rows - int(rng.integers(rows))):
            writer.write({"x": np.full(width, number, np.float32)})
    window, ranks = int(rng.choice([1, 2, 4, 8])), int(rng.choice([1, 1, 2]))
    return {
        "data_dir": place,
        "batch_size": int(rng.integers(16, 200)),
        "shuffle": True,
        "shuffle_window": window,
        "max_queue_size": window + int(rng.integers(2, 8)),
        "num_workers": int(rng.choice([1, 2])),
        "last_batch": "drop",
        "world": (0, ranks),
        "max_bytes": "4GB",  # only so that bytes are counted
    }


def planned(options: dict[str, Any], seconds: float, step_seconds: float) -> tuple[Prediction, Rate, int]:
    """Return what is said beforehand, with the rate for a loop that does nothing; and of how many epochs that is."""
    with DataLoader(**options, num_epochs=None) as loader:
        rate = measured_rate(loader, seconds=seconds, step_seconds=0.0)
    with DataLoader(**options) as loader:
        steps_per_second = rate.most_samples_per_second / options["batch_size"]
        epoch_seconds = len(loader) * max(1 / steps_per_second, step_seconds)
    num_epochs = max(1, round(seconds / epoch_seconds))
    with DataLoader(**options, num_epochs=num_epochs) as loader:
        return loader.plan(num_epochs=num_epochs), rate, num_epochs


def taken(options: dict[str, Any], num_epochs: int, step_seconds: float) -> dict[str, float]:
    """Return what a run takes whose step is a sleep."""
    with DataLoader(**options, num_epochs=num_epochs) as loader:
        for _ in loader:
            if step_seconds:
                time.sleep(step_seconds)
        return loader.metrics()


def mixing(options: dict[str, Any], num_steps: int) -> float:
    """Return the effective number of chunks in batches of rank 0, from where their samples come from."""
    found = []
    with DataLoader(**options) as loader:
        for step in np.linspace(0, num_steps - 1, min(num_steps, 100)).astype(int).tolist():
            chunks = [name for name, _ in islice(loader.locate(step), options["batch_size"])]
            counts = np.unique(chunks, return_counts=True)[1]
            found.append(len(chunks) ** 2 / np.square(counts).sum())
    return statistics.mean(found)


def main() -> None:
    """Draw, plan, run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=20, help="how many are drawn (default: 20)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="how long is measured, and about how long a run of whole epochs takes, at least one (default: 2)",
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    errors: dict[str, list[float]] = {name: [] for name in BOUNDS}
    with tempfile.TemporaryDirectory() as root:
        for number in range(arguments.settings):
            options = drawn(rng, Path(root))
            step_seconds = float(rng.choice([0.0, 0.002, 0.01]))
            prediction, rate, num_epochs = planned(options, arguments.seconds, step_seconds)
            metrics = taken(options, num_epochs, step_seconds)
            # A sleep is longer than was asked for, the more so the busier the machine.
            step_seconds = (metrics["loop_seconds"] - metrics["data_wait_seconds"]) / metrics["steps"]
            interval = options["batch_size"] / rate.most_samples_per_second
            pairs = {
                "read bytes": (prediction.read_bytes, metrics["read_bytes"]),
                "mixed chunks": (prediction.mixed_chunks, mixing(options, prediction.steps_per_epoch)),
                "resident bytes": (prediction.resident_bytes or 0, metrics["resident_bytes"]),
                "rate": (options["batch_size"] / max(interval, step_seconds), metrics["samples_per_second"]),
            }
            for name, (said, found) in pairs.items():
                errors[name].append(abs(said / found - 1))
            errors["first batch"].append(abs(rate.first_wait_seconds - metrics["first_wait_seconds"]))
            words = "   ".join(f"{name} {said:,.4g} / {found:,.4g}" for name, (said, found) in pairs.items())
            print(f"{number:3}   {words}", flush=True)
    for name, bound in BOUNDS.items():
        within = sum(error <= bound for error in errors[name])
        print(f"{name:15} within {bound:g}: {within} of {len(errors[name])}   at most {max(errors[name]):.3f}")


if __name__ == "__main__":
    main()
