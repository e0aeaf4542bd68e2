"""Numbered chunks with their manifest, read by several ranks in one process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numbered import NumberedReader, write_chunks

from pyloader import DataLoader, DataReader, World
from pyloader.files import ChunkEntry, Manifest, PartEntry, PartSizes, write_manifest

PLENTY = 10_000


def write_counted(directory: Path, counts: Sequence[int]) -> Path:
    """Write numbered chunks and their manifest, and return their directory."""
    write_chunks(directory, counts)
    chunks = tuple(
        ChunkEntry(file=path.name, num_samples=count, num_bytes=path.stat().st_size)
        for path, count in zip(sorted(directory.glob("*.numbered")), counts, strict=True)
    )
    write_manifest(directory / "manifest.json", Manifest(columns=(), reader="numbered", chunks=chunks))
    return directory


def write_parts(directory: Path, counts: Sequence[int]) -> Path:
    """Write one file of numbered samples, and its index with parts of these counts; return the file."""
    write_chunks(directory, [sum(counts)])
    (file,) = directory.iterdir()
    size, ends = file.stat().st_size, itertools.accumulate(counts)
    chunks = tuple(
        ChunkEntry(
            file=f"{file.name}[{stop - count}:{stop}]",
            num_samples=count,
            num_bytes=size,
            part=PartEntry(file_bytes=size, file_samples=sum(counts), ranges=((0, size),)),
        )
        for count, stop in zip(counts, ends, strict=True)
        if count
    )
    manifest = Manifest(columns=(), reader="numbered", chunks=chunks, part_sizes=PartSizes(chunk_bytes=size))
    write_manifest(f"{file}.manifest.json", manifest)
    return file


def rank_loaders(
    directory: Path, size: int, *, num_streams: int | None = None, reader: DataReader | None = None, **options: Any
) -> list[DataLoader]:
    """Return the loader of each rank, with room for every stream, in the caller's own thread unless told otherwise."""
    options = {"num_workers": 0, "max_queue_size": PLENTY, **options}
    return [
        DataLoader(reader or NumberedReader(), data_dir=directory, world=World(rank, size, num_streams), **options)
        for rank in range(size)
    ]


def real_ids(batch: dict[str, Any]) -> list[int]:
    """Return a batch's sample numbers, less the padding."""
    ids = batch["id"]
    return (ids[batch["mask"]] if "mask" in batch else ids).tolist()


def global_batches(loaders: Sequence[DataLoader], num_steps: int | None = None) -> list[list[int]]:
    """Return the batches over all ranks, of a run or of so many steps; every rank must end with the others."""
    batches = []
    while num_steps is None or len(batches) < num_steps:
        met = [next(loader, None) for loader in loaders]
        if met[0] is None:
            assert met == [None] * len(met), "the ranks have different numbers of steps"
            break
        batches.append([number for batch in met for number in batch["id"].tolist()])
    return batches


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as it comes back from a checkpoint."""
    return json.loads(json.dumps(state))
