"""The chunks of a dataset: where they are, how large, and what is known of them."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash

from pyloader.files.compressors import packing_of
from pyloader.files.fetching import FetchTerms
from pyloader.files.manifest import Manifest
from pyloader.files.opening import suffix_of
from pyloader.files.stored import StoredChunks

__all__ = ["ChunkList", "fingerprint_of", "form_of"]


@dataclass(frozen=True, eq=False)
class ChunkList:
    """The chunks of a dataset, sorted by name."""

    root: Path | str  # the directory that the names are relative to; of a store its address, a str
    names: tuple[str, ...]  # the chunks' paths relative to `root`, with forward slashes, sorted
    sizes: np.ndarray  # int64 array of shape [len(names)]: bytes on disk
    manifest: Manifest | None = None  # what is known of them, one entry for each in the same order, or None
    # the manifest of the newest version of a set that may have several; None where there are no versions
    newest: Manifest | None = None
    stored: StoredChunks | None = None  # what fetches them out of a store; None where they are on a disk
    # int64 array of shape [len(names)]: the rows that are made of each chunk's samples; None where a sample is a row
    made_rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> str:
        """Return where chunk `index` is: what errors name, and on a disk what is read."""
        return os.path.join(self.root, self.names[index])

    @contextlib.contextmanager
    def on_disk(self, index: int) -> Iterator[str]:
        """Give the path of chunk `index`, which is on a disk."""
        yield self.path(index)

    @contextlib.contextmanager
    def held(self, index: int, terms: FetchTerms) -> Iterator[str]:
        """Give the path of chunk `index` on this machine; of a store it is fetched, and kept inside of this."""
        if self.stored is None:
            yield self.path(index)
        else:
            with self.stored.held(index, terms) as path:
                yield path

    @cached_property
    def counts(self) -> np.ndarray | None:
        """int64 array of shape [len(self)]: rows that each chunk gives, most often its samples; None when unknown."""
        if self.made_rows is not None:
            return self.made_rows
        if self.manifest is None:
            return None
        return np.array([chunk.num_samples for chunk in self.manifest.chunks], np.int64)

    @property
    def data_version(self) -> int | None:
        """The number of their version; None in a set that was never added to."""
        if self.newest is None or self.manifest is None or self.newest.version_number == 1:
            return None
        return self.manifest.version_number

    @property
    def row_bytes(self) -> int | None:
        """Bytes of memory that a row takes, where all columns are arrays; None where they are not, or nobody knows."""
        columns = () if self.manifest is None else self.manifest.columns
        if not columns or any(spec.kind != "array" or np.dtype(spec.dtype).hasobject for spec in columns):
            return None
        return sum(np.dtype(spec.dtype).itemsize * math.prod(spec.item_shape) for spec in columns)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when names or sizes do, but not when the directory moves.

        Counts have no part in it: a state that was saved before there was a manifest can be loaded afterwards.
        """
        return fingerprint_of(self.names, self.sizes)


def fingerprint_of(names: Sequence[str], sizes: np.ndarray) -> str:
    """Return the fingerprint of chunks, which are sorted by name: 16 hexadecimal digits."""
    digest = xxhash.xxh3_64("\n".join(names).encode("utf-8", "surrogateescape"))
    digest.update(sizes.astype("<i8").tobytes())
    return digest.hexdigest()


def form_of(name: str) -> str:
    """Return what the names of chunks of one form end with: ".jsonl.zst"."""
    return suffix_of(name) + packing_of(name)
