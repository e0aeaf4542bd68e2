"""Packing: how fast do packed batches come, and how full are their rows, beside Grain's best fit?

    python benchmarks/packing.py [--documents 32000] [--length 2048] [--bins 1024] [--repeat 3]

Documents of lognormal(6.2, 1.1) tokens, uint16, in chunks of 4,000 whose files are in the page cache; batches of 8,
shuffled, in the loop's own thread, one epoch, in turns.  Grain has the same documents in one array in memory, cut where
they are longer than a row, as `BestFitPackIterDataset` wants them.  CPU seconds.  Without grain only ours is measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pyloader import DataLoader, Ragged

BATCH = 8


def documents_of(number: int) -> Ragged:
    """Return documents of random tokens."""
    random = np.random.default_rng(0)
    lengths = np.maximum(1, random.lognormal(6.2, 1.1, number)).astype(np.int64)
    tokens = random.integers(0, 50_000, int(lengths.sum())).astype(np.uint16)
    return Ragged(tokens, np.concatenate([[0], np.cumsum(lengths)]))


def write(documents: Ragged, directory: Path, chunk_documents: int = 4000) -> None:
    """Write documents as chunks."""
    for first in range(0, len(documents), chunk_documents):
        chunk = documents[first : first + chunk_documents].copy()
        path = directory / f"{first:09d}.columns"
        path.mkdir(parents=True)
        np.save(path / "tokens.values.npy", chunk.values)
        np.save(path / "tokens.offsets.npy", chunk.offsets)


def ours(directory: Path, length: int) -> Callable[[int], Iterable[Any]]:
    """Return what gives the batches of an epoch."""

    def batches(epoch: int) -> Iterable[Any]:
        options = {"batch_size": BATCH, "shuffle": True, "seed": epoch, "num_workers": 0}
        with DataLoader(data_dir=directory, pack=length, **options) as loader:  # type: ignore[arg-type]
            for batch in loader:
                yield batch["segment_ids"]

    return batches


def grains(documents: Ragged, length: int, bins: int) -> Callable[[int], Iterable[Any]] | None:
    """Return what gives Grain's; None where it is not installed."""
    try:
        import grain
        from grain.experimental import BestFitPackIterDataset
    except ModuleNotFoundError:
        return None
    pieces = [
        {"tokens": document[start : start + length]}
        for document in documents
        for start in range(0, len(document), length)
    ]

    def batches(epoch: int) -> Iterable[Any]:
        shuffled = grain.MapDataset.source(pieces).shuffle(seed=epoch).to_iter_dataset()
        packed = BestFitPackIterDataset(
            shuffled, length_struct={"tokens": length}, num_packing_bins=bins, shuffle_bins=True
        )
        for batch in packed.batch(BATCH):
            yield batch["tokens_segment_ids"]

    return batches


def main() -> None:
    """Measure both in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=32_000)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--bins", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    documents, length = documents_of(arguments.documents), arguments.length
    with tempfile.TemporaryDirectory() as directory:
        write(documents, Path(directory))
        ways = {"pyloader": ours(Path(directory), length)}
        if (grain_batches := grains(documents, length, arguments.bins)) is not None:
            ways[f"grain, best fit, {arguments.bins:,} bins"] = grain_batches
        seconds = dict.fromkeys(ways, float("inf"))
        fills = dict.fromkeys(ways, 0.0)
        for epoch in range(-1, arguments.repeat):  # the first warms up, and is not counted
            for name, batches in ways.items():
                begun = time.process_time()
                real = places = 0
                for segment_ids in batches(epoch + 1):
                    real += int(np.count_nonzero(segment_ids))
                    places += segment_ids.size
                if epoch >= 0:
                    seconds[name] = min(seconds[name], time.process_time() - begun)
                    fills[name] = real / places
    tokens, fastest = int(documents.lengths.sum()), seconds["pyloader"]
    for name in ways:
        speed = f"{tokens / seconds[name] / 1e6:6.1f} million tokens/s of processor time"
        ratio = "" if name == "pyloader" else f"   pyloader: {seconds[name] / fastest:.1f} times as fast"
        print(f"{name:28} {speed}   rows filled to {fills[name]:.1%}{ratio}")


if __name__ == "__main__":
    main()
