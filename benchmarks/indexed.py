"""Random access: how fast do shuffled batches come, beside the loop that one would write, and other loaders?

    python benchmarks/indexed.py dense|small [--repeat 5]     image and label from two .npy, batches of 256
    python benchmarks/indexed.py records [--repeat 5]         the images of dense as ArrayRecord, one record each
    python benchmarks/indexed.py parquet                      rows of a Parquet file whose groups fit, or do not fit
    python benchmarks/indexed.py start                        the first batch of a shuffled shard of 10^9 items

The bare loop takes `x[permutation[i : i + 256]]` from memory-mapped arrays, in one thread; that of records reads all
records of a batch by one call of array_record's data source, and does nothing else.  Every contender runs in turn, over
and over, and the medians are compared: these are ratios of one run on one machine, page cache warm.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from making import DENSE, SMALL, make_arrays, place

from pyloader import ArrayRecordReader
from pyloader import DataLoader as Chunks
from pyloader.indexed import ARDataset, DataLoader, NPDataset, ParquetDataset, RangeDataset, converter

BATCH_SIZE = 256
FEW = 50  # batches of what is slow; a rate does not depend on how long it runs

Contenders = dict[str, Callable[[], Iterable[Any]]]


def permutations(length: int) -> Iterator[np.ndarray]:
    """Yield the indices of one batch after another, epoch after epoch."""
    rng = np.random.default_rng(0)
    while True:
        permutation = rng.permutation(length)
        yield from (permutation[start : start + BATCH_SIZE] for start in range(0, length, BATCH_SIZE))


def ours(*datasets: Any, **options: int) -> Iterator[Any]:
    """Yield our batches."""
    with DataLoader(*datasets, num_epochs=1, **options) as batches:
        yield from batches


def chunks(directory: Path, dataset: ARDataset) -> Iterator[Any]:
    """Yield the batches of the heart's loader, which reads every file once, whole."""
    reader = ArrayRecordReader(dtype=dataset.dtype, shape=dataset.shape)
    with Chunks(reader, data_dir=f"{directory}/*.ar", batch_size=BATCH_SIZE, shuffle=True) as batches:
        yield from batches


def of_arrays(root: Path) -> Contenders:
    """Return who loads image and label from .npy files."""
    paths = [root / "image.npy", root / "label.npy"]
    image, label = (np.load(path, mmap_mode="r") for path in paths)
    datasets = [NPDataset(path) for path in paths]
    epoch = -(-len(image) // BATCH_SIZE)
    found: Contenders = {
        "bare loop": lambda: ((image[rows], label[rows]) for rows in islice(permutations(len(image)), epoch)),
        "pyloader.indexed, as it comes": lambda: ours(*datasets),
        "pyloader.indexed, inline": lambda: ours(*datasets, num_workers=0),
        "pyloader.indexed, 2 workers, 8 ahead": lambda: ours(*datasets, num_workers=2, prefetch_size=8),
    }
    if there("torch"):
        import torch.utils.data

        class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
            def __len__(self) -> int:
                return len(image)

            def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
                return np.array(image[index]), int(label[index])

        class RowsTogether(Rows):
            def __getitems__(self, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
                return image[indices], label[indices]

        def as_tensors(rows: tuple[np.ndarray, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.from_numpy(rows[0]), torch.from_numpy(rows[1])

        together = torch.utils.data.DataLoader(RowsTogether(), BATCH_SIZE, shuffle=True, collate_fn=as_tensors)
        single = torch.utils.data.DataLoader(Rows(), BATCH_SIZE, shuffle=True)
        found["torch DataLoader, __getitems__"] = lambda: together
        found["torch DataLoader, __getitem__"] = lambda: islice(single, FEW)
    if there("loaderx"):
        import loaderx

        parts = [loaderx.NPDataset(path) for path in paths]
        found["loaderx DataLoader"] = loaderx_batches(loaderx.DataLoader(*parts, batch_size=BATCH_SIZE), 4 * FEW)
    if there("grain"):

        class Source:
            def __len__(self) -> int:
                return len(image)

            def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
                return np.array(image[index]), label[index]

        found["grain MapDataset"] = lambda: grain_batches(Source())
    return found


def of_records(root: Path) -> Contenders:
    """Return who loads images from ArrayRecord files."""
    directory = root / "records"
    if not directory.exists():
        converter(np.load(root / "image.npy", mmap_mode="r"), directory, progress=False)
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    dataset, label = ARDataset(directory), NPDataset(root / "label.npy")
    source = ArrayRecordDataSource([str(directory / f"{block}.ar") for block in range(-(-len(dataset) // 4096))])
    found: Contenders = {
        "bare __getitems__": lambda: (source.__getitems__(rows) for rows in islice(permutations(len(source)), 2 * FEW)),
        "pyloader.indexed, as it comes": lambda: islice(ours(dataset, label), 2 * FEW),
        "pyloader.indexed, inline": lambda: islice(ours(dataset, label, num_workers=0), 2 * FEW),
        "pyloader.DataLoader, a file a chunk": lambda: chunks(directory, dataset),
    }
    if there("loaderx"):
        import loaderx

        parts = loaderx.ARDataset(str(directory)), loaderx.NPDataset(root / "label.npy")
        found["loaderx DataLoader"] = loaderx_batches(loaderx.DataLoader(*parts, batch_size=BATCH_SIZE), FEW)
    if there("grain"):

        def decoded(record: bytes) -> np.ndarray:
            return np.frombuffer(record, np.float32).reshape(dataset.shape)

        found["grain MapDataset"] = lambda: grain_batches(source, decoded)
    return found


def loaderx_batches(loader: Any, count: int) -> Callable[[], Iterator[Any]]:
    """Return what yields so many batches of loaderx, none of them made beforehand.

    Its close() does not return, so one loader serves all runs, and lives as long as the program.
    """

    def batches() -> Iterator[Any]:
        for _ in islice(loader, 24):  # what it has made ahead: three queues of four, and what its threads hold
            pass
        return islice(loader, count)

    return batches


def grain_batches(source: Any, decode: Callable[[Any], Any] | None = None) -> Iterator[Any]:
    """Yield grain's shuffled batches, read ahead as it does unless told otherwise."""
    import grain

    dataset = grain.MapDataset.source(source).shuffle(seed=0)
    if decode is not None:
        dataset = dataset.map(decode)
    return islice(iter(dataset.batch(BATCH_SIZE).to_iter_dataset()), FEW)


def there(package: str) -> bool:
    """Tell whether a package is installed, and say so if it is not."""
    found = find_spec(package) is not None
    if not found:
        print(f"{package} is not installed, and left out")
    return found


def rate(batches: Iterable[Any]) -> float:
    """Return how many batches a second there are, from the request for the first."""
    begun = time.perf_counter()
    count = sum(1 for _ in batches)
    return count / (time.perf_counter() - begun)


def compare(contenders: Contenders, repeat: int) -> None:
    """Measure the rates in turn, and print a table."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, run in contenders.items():
            rates[name].append(rate(run()) * BATCH_SIZE)
    bare = statistics.median(next(iter(rates.values())))
    ours = rates["pyloader.indexed, as it comes"]
    for name, values in rates.items():
        median = statistics.median(values)
        faster = statistics.median(mine / theirs for mine, theirs in zip(ours, values, strict=True))
        print(f"{name:38} {median:12,.0f} samples/s   {median / bare:5.2f} of the bare   ours {faster:6.2f} times it")


def parquet(root: Path, num_rows: int) -> None:
    """Measure rows in random order of a file of 32 row groups, of which all or 4 are kept, and rows in their order."""
    import pyarrow
    from pyarrow.parquet import write_table

    path = root / f"rows-{num_rows}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        columns = {f"x{number}": rng.random(num_rows, np.float32) for number in range(16)}
        write_table(pyarrow.table(columns), path, row_group_size=-(-num_rows // 32))
    for name, kept, shuffle in (("all kept", 32, True), ("4 kept", 4, True), ("4 kept, in order", 4, False)):
        with DataLoader(ParquetDataset(path, cached_groups=kept), shuffle=shuffle, num_epochs=1) as batches:
            found = rate(islice(batches, FEW if name == "4 kept" else num_rows // BATCH_SIZE)) * BATCH_SIZE
        print(f"Parquet, 32 row groups, {name:18} {found:12,.0f} samples/s")


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
    parser.add_argument("case", choices=["dense", "small", "records", "parquet", "start"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--samples", type=int, help="fewer samples, to try it out")
    arguments = parser.parse_args()
    if arguments.case == "start":
        start()
        return
    if arguments.case == "parquet":
        parquet(place(), arguments.samples or 1_000_000)
        return
    case = {**(SMALL if arguments.case == "small" else DENSE)}
    if arguments.samples:
        case["num_samples"] = arguments.samples
    form = "small" if arguments.case == "small" else "dense"
    root = make_arrays(place() / f"{form}-{case['num_samples']}", **case)  # type: ignore[arg-type]
    compare(of_records(root) if arguments.case == "records" else of_arrays(root), arguments.repeat)
    sys.stdout.flush()
    if "loaderx" in sys.modules:
        os._exit(0)  # its threads run on, and would fail one after another


if __name__ == "__main__":
    main()
