"""Placing: how fast do shuffled batches of images come to a device?

    python benchmarks/placing.py [--device cuda] [--repeat 5]

Images of float32 [28, 28] and labels, in batches of 256: what pyloader and torch's DataLoader bring to the device, and
what bare copies of one batch from page-locked memory do.  Nothing is computed there.  All in turn, several times over.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from contenders.torch_dataloader import RowsTogether, as_it_is
from workloads import Data, make

from pyloader import DataLoader, NumpyReader
from pyloader.torch import TorchDataCollator, prefetch_to_device


def bare_copies(data: Data, device: str) -> Iterator[Any]:
    """One batch, again and again: from memory that the device reads by itself into memory that is there."""
    pins = device != "cpu"
    image, label = torch.rand(data.batch_size, *data.shape), torch.arange(data.batch_size)
    if pins:
        image, label = image.pin_memory(), label.pin_memory()
    there = image.to(device), label.to(device)
    for _ in range(data.num_samples // data.batch_size):
        yield there[0].copy_(image, non_blocking=pins), there[1].copy_(label, non_blocking=pins)


def loader_of(data: Data, *, pins: bool = False, **options: Any) -> DataLoader:
    collator = TorchDataCollator(pin_memory=pins)
    return DataLoader(NumpyReader(), None, collator, data.chunks, batch_size=data.batch_size, shuffle=True, **options)


def plain(data: Data, device: str, **options: Any) -> Iterator[Any]:
    """The loader, and the loop's own copies."""
    with loader_of(data, **options) as loader:
        for batch in loader:
            yield batch["image"].to(device), batch["label"].to(device)


def prefetched(data: Data, device: str, **options: Any) -> Iterator[Any]:
    with prefetch_to_device(loader_of(data, **options), device) as batches:
        for batch in batches:
            yield batch["image"], batch["label"]


def torch_batches(data: Data, device: str, num_workers: int) -> Iterator[Any]:
    """torch's DataLoader at its best: whole batches by `__getitems__`, pinned by a thread of its own."""
    pins = device != "cpu"
    batches = torch.utils.data.DataLoader(
        RowsTogether(data), data.batch_size, True, num_workers=num_workers, collate_fn=as_it_is, pin_memory=pins
    )
    for image, label in batches:
        yield image.to(device, non_blocking=pins), label.to(device, non_blocking=pins)


def contenders(device: str, workers: list[int]) -> dict[str, Callable[[Data], Iterable[Any]]]:
    """Return what is compared, the bare copies first."""
    found: dict[str, Callable[[Data], Iterable[Any]]] = {
        "one batch, copied again and again": lambda data: bare_copies(data, device),
        "pyloader, batch.to(device)": lambda data: plain(data, device),
    }
    for window, pins, num in itertools.product((1, 4), (False, True), workers):
        options: dict[str, Any] = {"shuffle_window": window, "pins": pins, "num_workers": num}
        name = f"pyloader, window {window}{', pin_memory' if pins else ''}, {num} workers, prefetch_to_device"
        found[name] = lambda data, options=options: prefetched(data, device, **options)  # type: ignore[misc]
    for num in workers:
        name = f"torch DataLoader, __getitems__, {num} workers"
        found[name] = lambda data, num=num: torch_batches(data, device, num)  # type: ignore[misc]
    return found


def samples_per_second(batches: Iterable[Any], device: str) -> float:
    """Return the rate of an epoch, from its first batch on, until all has arrived."""
    total, begun = 0, 0.0
    for image, _ in batches:
        if not begun:
            begun = time.perf_counter()
        else:
            total += len(image)
    if device != "cpu":
        torch.cuda.synchronize(device)
    return total / (time.perf_counter() - begun)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="few samples, to try it out")
    arguments = parser.parse_args()
    data = make("dense", tiny=arguments.tiny)
    rates: dict[str, list[float]] = {}
    for _ in range(arguments.repeat):
        for name, batches in contenders(arguments.device, arguments.workers).items():
            rates.setdefault(name, []).append(samples_per_second(batches(data), arguments.device))
    sample_bytes = data.array("image")[0].nbytes + 8
    print(f"to {arguments.device}, {arguments.repeat} rounds: medians, lowest and highest")
    for name, found in rates.items():
        median = statistics.median(found)
        print(
            f"{name:62} {median:12,.0f} samples/s  {median * sample_bytes / 1e9:6.2f} GB/s   "
            f"({min(found):,.0f} to {max(found):,.0f})"
        )


if __name__ == "__main__":
    main()
