"""Overlap: does a JAX loop run at the pace of its step while the loader makes the next batches?

python benchmarks/overlap_jax.py

A step of 5 ms, held to one thread, and a loader that needs 4 ms a batch on one thread: its batch_encode is either
NumPy, which leaves the interpreter's lock, or plain Python, which does not.  The step is on JAX's default device: a GPU
where JAX sees one.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# One thread for XLA, which would share a step out over all cores.  (--xla_cpu_multi_thread_eigen=false no longer holds
# it to one: a product of two 900 x 900 matrices kept two threads busy with jaxlib 0.10.)
os.environ["NPROC"] = "1"

import jax
import numpy as np
from making import make_arrays, place

from pyloader import DataLoader, Dataset
from pyloader.columns import Columns
from pyloader.jax import prefetch_to_device

BATCH_SIZE = 256
STEP_SECONDS, BATCH_SECONDS = 0.005, 0.004


class Encoding(Dataset):
    """Rows of float32, after work that takes a thread some time."""

    def __init__(self, work: Callable[[int], object], amount: int) -> None:
        self.work, self.amount = work, amount

    def batch_encode(self, columns: Columns) -> Columns:
        self.work(self.amount)
        return {"image": columns["image"]}


def numpy_work(amount: int) -> object:
    """Work without the interpreter's lock."""
    values = np.ones(20_000, np.float32)
    for _ in range(amount):
        np.sin(values, out=values)
    return values


def python_work(amount: int) -> object:
    """Work under the interpreter's lock."""
    return sum(number & 7 for number in range(amount * 1000))


@jax.jit
def train_step(weights: jax.Array, image: jax.Array, amount: int) -> jax.Array:
    """Return new weights, float32 [256, 256], after `amount` products of them."""
    weights = weights + image.mean()
    return jax.lax.fori_loop(0, amount, lambda _, w: jax.numpy.tanh(w @ w), weights)


def amount_for(seconds: float, act: Callable[[int], object]) -> int:
    """Return how much of `act` takes a processor, or a GPU, so many seconds."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    act(3)
    begun, amount = clock(), 300
    act(amount)
    return max(1, round(amount * seconds / (clock() - begun)))


def step_seconds(batches: Iterator[Any], num_steps: int, amount: int, *, reads_loss: bool = False) -> float:
    """Return what a step takes in a loop over `batches`, the first left out."""
    weights = jax.numpy.full((256, 256), 0.01)
    weights = train_step(weights, next(batches)["image"], amount).block_until_ready()
    begun = time.perf_counter()
    for batch in itertools.islice(batches, num_steps):
        weights = train_step(weights, batch["image"], amount)
        if reads_loss:
            float(weights[0, 0])
    weights.block_until_ready()
    return (time.perf_counter() - begun) / num_steps


def measure(chunks: Path, work: Callable[[int], object], num_steps: int, num_repeats: int) -> dict[str, list[float]]:
    """Return what a step took in each kind of loop, in seconds, one number for each turn; the bare step is first."""
    weights, image = jax.numpy.full((256, 256), 0.01), jax.numpy.ones((BATCH_SIZE, 64))
    step_amount = amount_for(STEP_SECONDS, lambda amount: train_step(weights, image, amount).block_until_ready())
    encoding = Encoding(work, amount_for(BATCH_SECONDS, work))

    def loader(**options: Any) -> DataLoader:
        options = {"batch_size": BATCH_SIZE, "num_epochs": None, "shuffle": True, **options}
        return DataLoader(None, encoding, data_dir=chunks, **options)

    def loop(batches: Any, **how: bool) -> float:
        with batches:
            return step_seconds(iter(batches), num_steps, step_amount, **how)

    loops = {
        "the step, on one batch that is there": lambda: step_seconds(
            itertools.repeat({"image": image}), num_steps, step_amount
        ),
        "all in the loop's thread (num_workers=0)": lambda: loop(loader(num_workers=0)),
        "the loader as it comes, NumPy to jit": lambda: loop(loader()),
        "prefetch_to_device": lambda: loop(prefetch_to_device(loader())),
        "prefetch_to_device, each loss read": lambda: loop(prefetch_to_device(loader()), reads_loss=True),
        "prefetch_to_device, worker_kind='process'": lambda: loop(prefetch_to_device(loader(worker_kind="process"))),
    }
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(num_repeats):  # in turn: the machine's speed moves
        for name, act in loops.items():
            taken[name].append(act())
    return taken


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    chunks = make_arrays(place() / "overlap", num_samples=65_536, shape=(64,), chunk_samples=4096) / "chunks"
    for work in (numpy_work, python_work):
        print(f"batch_encode: {(work.__doc__ or '').lower()}")
        taken = measure(chunks, work, arguments.steps, arguments.repeat)
        alone = next(iter(taken.values()))
        for name, seconds in taken.items():
            ratio = statistics.median(one / bare for one, bare in zip(seconds, alone, strict=True))
            print(f"  {name:42} {statistics.median(seconds) * 1000:7.2f} ms  {ratio:5.2f}")


if __name__ == "__main__":
    main()
