"""Arrays: how fast do shuffled batches come, beside the loop one would write with NumPy, and beside PyTorch?

    python benchmarks/arrays.py dense|small [--repeat 5] [--workers 0 1 2] [--readers 1]

The bare loop takes `x[permutation[i : i + 256]]` from one memory-mapped .npy, in one thread.  Every contender runs in
turn, over and over, and the medians are compared: these are ratios of one run on one machine, page cache warm.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from making import DENSE, SMALL, make_arrays, place

from pyloader import DataLoader, NumpyReader

BATCH_SIZE = 256


def bare_loop(root: Path) -> int:
    image, label = (np.load(root / f"{name}.npy", mmap_mode="r") for name in ("image", "label"))
    permutation = np.random.default_rng(0).permutation(len(image))
    total = 0
    for start in range(0, len(image), BATCH_SIZE):
        rows = permutation[start : start + BATCH_SIZE]
        batch = {"image": image[rows], "label": label[rows]}
        total += len(batch["label"])
    return total


def loader(root: Path, *, mmap: bool = False, **options: int) -> int:
    total = 0
    reader = NumpyReader(mmap=mmap)
    with DataLoader(reader, data_dir=root / "chunks", batch_size=BATCH_SIZE, shuffle=True, **options) as batches:
        for batch in batches:
            total += len(batch["label"])
    return total


def torch_getitem(root: Path, num_samples: int = 50_000) -> int:
    """PyTorch's DataLoader over a map-style dataset; its rate does not depend on how long it runs."""
    import torch.utils.data

    image, label = (np.load(root / f"{name}.npy", mmap_mode="r") for name in ("image", "label"))

    class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return min(num_samples, len(image))

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return np.array(image[index]), int(label[index])

    batches = torch.utils.data.DataLoader(Rows(), BATCH_SIZE, shuffle=True)
    return sum(len(labels) for _, labels in batches)


def contenders(root: Path, all_workers: list[int], readers: int) -> dict[str, Callable[[], int]]:
    """Return what is compared, the bare loop first."""
    found: dict[str, Callable[[], int]] = {"bare loop": lambda: bare_loop(root)}
    for workers in all_workers:
        for window, mmap in ((1, True), (1, False), (4, False), (8, False)):
            name = f"pyloader, window {window}, {'mmap' if mmap else 'read'}, {workers} workers"
            options = {"shuffle_window": window, "num_workers": workers, "num_readers": readers}
            options["max_queue_size"] = (4 if window == 1 else 10) + readers - 1
            found[name] = lambda mmap=mmap, options=options: loader(root, mmap=mmap, **options)  # type: ignore[misc]
    try:
        import torch.utils.data  # noqa: F401
    except ImportError:
        print("PyTorch is not installed, and left out")
    else:
        found["torch DataLoader, __getitem__"] = lambda: torch_getitem(root)
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["dense", "small"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--samples", type=int, help="fewer samples, to try it out")
    arguments = parser.parse_args()
    case = {**(DENSE if arguments.case == "dense" else SMALL)}
    if arguments.samples:
        case["num_samples"] = arguments.samples
    root = make_arrays(place() / f"{arguments.case}-{case['num_samples']}", **case)  # type: ignore[arg-type]
    rates: dict[str, list[float]] = {}
    for _ in range(arguments.repeat):
        for name, run in contenders(root, arguments.workers, arguments.readers).items():
            begun = time.perf_counter()
            total = run()
            rates.setdefault(name, []).append(total / (time.perf_counter() - begun))
    bare = statistics.median(rates["bare loop"])
    for name, values in rates.items():
        median = statistics.median(values)
        print(
            f"{name:42} {median:12,.0f} samples/s   {median / bare:5.2f}   ({min(values):,.0f} to {max(values):,.0f})"
        )


if __name__ == "__main__":
    main()
