"""Random access: how fast do shuffled batches come from one .npy, beside the loop one would write, and other loaders?

    python benchmarks/indexed.py dense|small [--repeat 5]     batches of 256 image and label rows
    python benchmarks/indexed.py start                        the first batch of a shuffled shard of 10^9 items

The bare loop takes `x[permutation[i : i + 256]]` from memory-mapped arrays, in one thread.  Every contender runs in
turn, over and over, and the medians are compared: these are ratios of one run on one machine, page cache warm.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from making import DENSE, SMALL, make_arrays, place

from pyloader.indexed import DataLoader, NPDataset, RangeDataset

BATCH_SIZE = 256


def bare_loop(image: np.ndarray, label: np.ndarray) -> int:
    permutation = np.random.default_rng(0).permutation(len(image))
    total = 0
    for start in range(0, len(image), BATCH_SIZE):
        rows = permutation[start : start + BATCH_SIZE]
        total += len(image[rows]) and len(label[rows])
    return total


def loader(image: NPDataset, label: NPDataset, **options: int) -> int:
    with DataLoader(image, label, num_epochs=1, **options) as batches:
        return sum(len(batch["label"]) for batch in batches)


def torch_rate(image: np.ndarray, label: np.ndarray, *, together: bool) -> int:
    """PyTorch's DataLoader over a map-style dataset; its rate does not depend on how long it runs."""
    import torch.utils.data

    class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return min(50_000, len(image))

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return np.array(image[index]), int(label[index])

    class RowsTogether(Rows):
        def __getitems__(self, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
            return image[indices], label[indices]

    def as_tensors(rows: tuple[np.ndarray, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(rows[0]), torch.from_numpy(rows[1])

    dataset, collate = (RowsTogether(), as_tensors) if together else (Rows(), None)
    return sum(
        len(labels) for _, labels in torch.utils.data.DataLoader(dataset, BATCH_SIZE, shuffle=True, collate_fn=collate)
    )


def contenders(root: Path) -> dict[str, Callable[[], int]]:
    """Return what is compared, the bare loop first."""
    paths = {name: root / f"{name}.npy" for name in ("image", "label")}
    mapped = [np.load(path, mmap_mode="r") for path in paths.values()]
    datasets = [NPDataset(path) for path in paths.values()]
    found: dict[str, Callable[[], int]] = {
        "bare loop": lambda: bare_loop(*mapped),
        "pyloader.indexed, inline": lambda: loader(*datasets, num_workers=0),
        "pyloader.indexed, 1 worker": lambda: loader(*datasets, num_workers=1),
        "pyloader.indexed, 2 workers, 8 ahead": lambda: loader(*datasets, num_workers=2, prefetch_size=8),
        "pyloader.indexed, as it comes": lambda: loader(*datasets),
    }
    try:
        import torch.utils.data  # noqa: F401
    except ImportError:
        print("PyTorch is not installed, and left out")
    else:
        found["torch DataLoader, __getitems__"] = lambda: torch_rate(*mapped, together=True)
        found["torch DataLoader, __getitem__"] = lambda: torch_rate(*mapped, together=False)
    try:
        import loaderx
    except ImportError:
        print("loaderx is not installed, and left out")
    else:
        # Its close() does not return, so one loader serves all runs, and lives as long as the program.
        theirs = loaderx.DataLoader(*(loaderx.NPDataset(path) for path in paths.values()), batch_size=BATCH_SIZE)
        found["loaderx"] = lambda: sum(len(batch["label"]) for batch in islice(theirs, 100))
    return found


def compare(root: Path, repeat: int) -> None:
    """Measure the rates, and print a table."""
    runs = contenders(root)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            begun = time.perf_counter()
            total = run()
            rates[name].append(total / (time.perf_counter() - begun))
    bare = statistics.median(rates["bare loop"])
    for name, values in rates.items():
        median = statistics.median(values)
        print(
            f"{name:42} {median:12,.0f} samples/s   {median / bare:5.2f}   ({min(values):,.0f} to {max(values):,.0f})"
        )


def start() -> None:
    """Measure the first batch of the shuffled 64th part of 10^9 items."""
    with DataLoader(RangeDataset(0, 1000).shuffle(0)) as warm:  # what is imported when first used
        next(warm)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    with DataLoader(RangeDataset(0, 10**9).shuffle(0).shard(rank=5, world_size=64)) as batches:
        next(batches)
        seconds = time.perf_counter() - begun
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e6
    print(f"first batch of a shuffled shard of 10^9 items: {seconds * 1000:.1f} ms, {megabytes:.1f} MB")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["dense", "small", "start"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--samples", type=int, help="fewer samples, to try it out")
    arguments = parser.parse_args()
    if arguments.case == "start":
        start()
        return
    case = {**(DENSE if arguments.case == "dense" else SMALL)}
    if arguments.samples:
        case["num_samples"] = arguments.samples
    root = make_arrays(place() / f"{arguments.case}-{case['num_samples']}", **case)  # type: ignore[arg-type]
    compare(root, arguments.repeat)


if __name__ == "__main__":
    main()
