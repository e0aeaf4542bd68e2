"""The chunks of a dataset: where they are, how large, and what is known of them."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from pyloader.columns import ColumnSpec
from pyloader.files.compressors import packing_of
from pyloader.files.manifest import Manifest
from pyloader.files.opening import suffix_of
from pyloader.part import Part

if TYPE_CHECKING:  # what is on a disk needs nothing of stores
    from pyloader.files.fetching import FetchTerms
    from pyloader.files.stored import StoredChunks

__all__ = ["ChunkList", "fingerprint_of", "form_of"]


@dataclass(frozen=True, eq=False)
class ChunkList:
    """The chunks of a dataset, sorted by name."""

    root: Path | str  # the directory that the names are relative to; of a store its address, a str
    # the chunks' paths relative to `root`, with forward slashes, sorted; that of a part is "big.parquet[4000:8000]"
    names: tuple[str, ...]
    sizes: np.ndarray  # int64 array of shape [len(names)]: bytes on disk
    manifest: Manifest | None = None  # what is known of them, one entry for each in the same order, or None
    # the manifest of the newest version of a set that may have several; None where there are no versions
    newest: Manifest | None = None
    stored: StoredChunks | None = None  # what fetches them out of a store; None where they are on a disk
    # int64 array of shape [len(names)]: the rows that are made of each chunk's samples; None where a sample is a row
    made_rows: np.ndarray | None = None
    # the one file that was named, whole or in parts, or a pattern or manifest that names chunks in a store; "" where
    # `root` was named
    named: str = ""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def place(self) -> str:
        """What commands are given, to look at these chunks: `named`, or `root`."""
        return self.named or str(self.root)

    def path(self, index: int) -> str:
        """Return the name of chunk `index`, below `root`: what errors name."""
        return os.path.join(self.root, self.names[index])

    def file(self, index: int) -> str:
        """Return the file that chunk `index` is, or is a part of: on a disk what is read."""
        source = self.names[index] if self.manifest is None else self.manifest.chunks[index].source
        return os.path.join(self.root, source)

    def part(self, index: int) -> Part | None:
        """Return which part of its file chunk `index` is; None of a whole file."""
        return None if self.manifest is None else self.manifest.chunks[index].as_part

    def file_bytes(self, index: int) -> int:
        """Return the size of that file."""
        return int(self.sizes[index]) if self.manifest is None else self.manifest.chunks[index].source_bytes

    @cached_property
    def has_parts(self) -> bool:
        """Whether a chunk is a part of a file."""
        return any(self.part(index) is not None for index in range(len(self)))

    def list_of(self, index: int) -> ChunkList:
        """Return the list of the dataset that chunk `index` is of: this one, where there is one dataset."""
        return self

    def alike(self, index: int) -> range:
        """Return the chunks that may stand in for chunk `index`: those of the same dataset."""
        return range(len(self))

    @contextlib.contextmanager
    def on_disk(self, index: int) -> Iterator[str]:
        """Give the file of chunk `index`, which is on a disk."""
        yield self.file(index)

    @contextlib.contextmanager
    def held(self, index: int, terms: FetchTerms) -> Iterator[str]:
        """Give the file of chunk `index` on this machine; of a store it is fetched, and kept inside of this."""
        if self.stored is None:
            yield self.file(index)
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
    def known_columns(self) -> tuple[ColumnSpec, ...]:
        """The columns that the manifest names; none where there is no manifest."""
        return () if self.manifest is None else tuple(self.manifest.columns)

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
