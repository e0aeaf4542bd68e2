"""Sources of a mixture whose rows say what they are, and loaders of several ranks over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pyloader import ChunkWriter, DataLoader, Dataset, World

_OF_RANK = ("cu_seqlens", "max_seqlen")  # what batches have that counts from the first row of each rank
FAR = 1_000_000  # row j of source i holds i * FAR + j


def write_sources(directory: Path, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Path]:
    """Write sources of so many rows, in chunks of so many, and return where each is."""
    for place, (name, (num_rows, chunk_samples)) in enumerate(sizes.items()):
        with ChunkWriter(directory / name, chunk_samples=chunk_samples) as writer:
            for row in range(num_rows):
                writer.write({"x": place * FAR + row})
    return {name: directory / name for name in sizes}


class WithKeys(Dataset):
    """Each row and its key."""

    def batch_encode(self, columns: dict[str, Any], keys: np.ndarray) -> dict[str, Any]:
        """Return the rows and their keys."""
        return {"x": columns["x"], "key": keys}


@contextmanager
def mixed_ranks(num_ranks: int, num_streams: int, *, share: int, **options: Any) -> Iterator[list[DataLoader]]:
    """Give the loader of each rank, in the caller's own thread unless told otherwise, and close them."""
    per_rank = share * num_streams // num_ranks
    options = {"num_workers": 0, "dataset": WithKeys(), "with_source": True, **options}
    with ExitStack() as closing:
        yield [
            closing.enter_context(DataLoader(batch_size=per_rank, world=World(rank, num_ranks, num_streams), **options))
            for rank in range(num_ranks)
        ]


def step_of_all(loaders: list[DataLoader]) -> dict[str, np.ndarray] | None:
    """Return the next batch over all ranks; None at the end, which comes on all ranks together."""
    batches = [next(loader, None) for loader in loaders]
    there = [batch for batch in batches if batch is not None]
    assert len(there) in (0, len(batches)), "ranks have different numbers of steps"
    names = [name for name in there[0] if name not in _OF_RANK] if there else []
    return {name: np.concatenate([batch[name] for batch in there]) for name in names} or None


def steps_of_all(loaders: list[DataLoader], most: int = 10_000) -> list[dict[str, np.ndarray]]:
    """Return the batches over all ranks until the end."""
    found: list[dict[str, np.ndarray]] = []
    while len(found) < most and (batch := step_of_all(loaders)) is not None:
        found.append(batch)
    return found
