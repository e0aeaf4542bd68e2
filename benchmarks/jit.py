"""Pipelines inside jit, beside cyreal; and chunks that feed a scan, beside the loader alone.

    python benchmarks/jit.py arrays           # the digits' size: 1,797 samples of 64 float32, batches of 128, shuffled
    python benchmarks/jit.py chunks           # 1,000,000 samples of 64 float32 in chunks

All contenders take turns, several times over; a figure is the median, in brackets the lowest and the highest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from making import make_arrays, place

import pyloader
from pyloader.cli.main import main as command_line
from pyloader.jax import ArraySource, BatchTransform, ChunkSource, DataLoader

NUM_SAMPLES, WIDTH, BATCH_SIZE = 1797, 64, 128


def digits_like() -> dict[str, np.ndarray]:
    """Return as many arrays, as large, as scikit-learn's digits."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(0)))
    return {
        "image": rng.random((NUM_SAMPLES, WIDTH), np.float32),
        "label": rng.integers(10, size=NUM_SAMPLES).astype(np.int32),
    }


def loop(loader: Any, steps: int) -> Callable[[], int]:
    """Return what calls a jitted next so many times."""
    step = jax.jit(loader.next)
    state = loader.init_state(jax.random.key(0))

    def run() -> int:
        nonlocal state
        for _ in range(steps):
            batch, state, mask = step(state)
        jax.block_until_ready((batch, state, mask))
        return steps

    return run


def scan(loader: Any, epochs: int) -> Callable[[], int]:
    """Return what runs so many jitted epochs, each a scan."""

    def body(total: Any, batch: Any, mask: Any) -> tuple[Any, None]:
        return total + jnp.sum(batch["image"].sum(axis=1) * mask), None

    epoch = jax.jit(lambda state, total: loader.scan_epoch(state, total, body)[:2])
    state = loader.init_state(jax.random.key(0))

    def run() -> int:
        nonlocal state
        for _ in range(epochs):
            state, total = epoch(state, jnp.float32(0))
        jax.block_until_ready((state, total))
        return epochs * int(loader.steps_per_epoch)

    return run


def arrays(repeat: int, epochs: int) -> None:
    """Measure steps a second over arrays in memory."""
    loaders: dict[str, Any] = {"pyloader.jax": DataLoader([ArraySource(digits_like()), BatchTransform(BATCH_SIZE)])}
    try:
        from cyreal.loader import DataLoader as Theirs
        from cyreal.sources import ArraySource as TheirSource
        from cyreal.transforms import BatchTransform as TheirBatches
    except ImportError:
        print("cyreal is not installed, and left out")
    else:
        data = jax.tree.map(jnp.asarray, digits_like())
        loaders["cyreal"] = Theirs([TheirSource(data), TheirBatches(BATCH_SIZE, pad_last_batch=True)])
    steps = epochs * next(iter(loaders.values())).steps_per_epoch
    runs = {f"jitted next, {name}": loop(loader, steps) for name, loader in loaders.items()}
    runs |= {f"scan_epoch, {name}": scan(loader, epochs) for name, loader in loaders.items()}
    compare(runs, repeat, "steps/s")


def chunks(root: Path, repeat: int) -> None:
    """Measure samples a second from chunks: the loader alone, and under scan."""
    options: dict[str, Any] = {"data_dir": root, "batch_size": 256, "shuffle": True, "last_batch": "drop"}
    alone = pyloader.DataLoader(**options, num_epochs=1)
    source = ChunkSource(pyloader.DataLoader(**options, num_epochs=None))
    with DataLoader(source) as loader, alone:
        name = next(iter(loader.element_spec()))

        def body(total: Any, batch: Any, _: Any) -> tuple[Any, None]:
            return total + batch[name][0].sum(), None

        state = loader.init_state(0)
        samples = loader.steps_per_epoch * 256

        def run_alone() -> int:
            for batch in alone:
                batch[name][0].sum()
            return samples

        step = jax.jit(lambda total, batch: body(total, batch, None)[0])

        def run_steps() -> int:
            total = jnp.float32(0)
            for batch in alone:
                total = step(total, batch)
            total.block_until_ready()
            return samples

        def run_scan() -> int:
            nonlocal state
            state, _, _ = loader.scan_epoch(state, jnp.float32(0), body)
            return samples

        def run_next() -> int:
            nonlocal state
            for _ in range(loader.steps_per_epoch):
                _, state, _ = loader.next(state)
            return samples

        runs = {
            "pyloader.DataLoader alone": run_alone,
            "pyloader.DataLoader, jitted step": run_steps,
            "ChunkSource, scan_epoch": run_scan,
            "ChunkSource, next": run_next,
        }
        compare(runs, repeat, "samples/s")


def compare(runs: dict[str, Callable[[], int]], repeat: int, unit: str) -> None:
    """Run all in turn, and print a table; the first run of each, which compiles, is not counted.

    Processor time is that of all threads together: other programs on the machine change it little.
    """
    rates: dict[str, list[float]] = {name: [] for name in runs}
    costs: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeat + 1):
        for name, run in runs.items():
            begun, busy = time.perf_counter(), time.process_time()
            done = run()
            if turn:
                rates[name].append(done / (time.perf_counter() - begun))
                costs[name].append((time.process_time() - busy) / done * 1e6)
    for name, values in rates.items():
        cost = f"{statistics.median(costs[name]):8.2f} µs of processor time each"
        print(
            f"{name:34} {statistics.median(values):12,.0f} {unit}   ({min(values):,.0f} to {max(values):,.0f}) {cost}"
        )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["arrays", "chunks"])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--samples", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.case == "arrays":
        arrays(arguments.repeat, arguments.epochs)
    else:
        root = place() / f"jit-{arguments.samples}"
        make_arrays(root, num_samples=arguments.samples, shape=(WIDTH,), chunk_samples=65_536)
        if not (root / "chunks" / "manifest.json").exists():
            command_line(["index", "--quiet", str(root / "chunks")])
        chunks(root / "chunks", arguments.repeat)


if __name__ == "__main__":
    main()
