"""Mixed chunks: the chunks of several sources as one list, one source after another."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xxhash

from pyloader.columns import ColumnSpec
from pyloader.files.chunk_list import ChunkList
from pyloader.files.fetching import FetchTerms
from pyloader.files.mixed_stored import MixedStored
from pyloader.files.verification import Verification
from pyloader.part import Part

__all__ = ["MixedChunks", "MixedVerification", "mixed_chunks"]


@dataclass(frozen=True, eq=False, kw_only=True)
class MixedChunks(ChunkList):
    """The chunks of several sources.  A chunk's name begins with that of its source."""

    of_sources: tuple[ChunkList, ...]  # those of each source
    starts: tuple[int, ...]  # the index of the first chunk of each, and the number of all
    labels: tuple[str, ...]  # what the sources are called

    def place_of(self, index: int) -> tuple[int, int]:
        """Return the source of chunk `index`, as its place in `of_sources`, and the chunk's index in that."""
        source = bisect_right(self.starts, index) - 1
        return source, index - self.starts[source]

    def list_of(self, index: int) -> ChunkList:
        """Return the list of the source that chunk `index` is of."""
        return self.of_sources[self.place_of(index)[0]]

    def path(self, index: int) -> str:
        """Return the path of chunk `index`: what errors name."""
        source, own = self.place_of(index)
        return self.of_sources[source].path(own)

    def file(self, index: int) -> str:
        """Return the file that chunk `index` is, or is a part of."""
        source, own = self.place_of(index)
        return self.of_sources[source].file(own)

    def part(self, index: int) -> Part | None:
        """Return which part of its file chunk `index` is; None of a whole file."""
        source, own = self.place_of(index)
        return self.of_sources[source].part(own)

    def file_bytes(self, index: int) -> int:
        """Return the size of that file."""
        source, own = self.place_of(index)
        return self.of_sources[source].file_bytes(own)

    def alike(self, index: int) -> range:
        """Return the chunks of the source of chunk `index`."""
        source, _ = self.place_of(index)
        return range(self.starts[source], self.starts[source + 1])

    @contextlib.contextmanager
    def held(self, index: int, terms: FetchTerms) -> Iterator[str]:
        """Give the file of chunk `index` on this machine; of a store it is fetched, and kept inside of this."""
        source, own = self.place_of(index)
        with self.of_sources[source].held(own, terms) as path:
            yield path

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 array of shape [len(self)]: rows that each chunk gives."""
        return _all_counts(self.of_sources)

    @property
    def known_columns(self) -> tuple[ColumnSpec, ...]:
        """The columns that the manifests name, those of all."""
        return tuple(spec for chunks in self.of_sources for spec in chunks.known_columns)

    @property
    def row_bytes(self) -> int | None:
        """Bytes of memory that a row takes, where all columns are arrays; None where they are not, or nobody knows."""
        sizes = [chunks.row_bytes for chunks in self.of_sources]
        known = [size for size in sizes if size is not None]
        return max(known) if len(known) == len(sizes) else None

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when a source's name or chunks do."""
        lines = (f"{label}\0{chunks.fingerprint}" for label, chunks in zip(self.labels, self.of_sources, strict=True))
        return xxhash.xxh3_64("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class MixedVerification(Verification):
    """Compares chunks of several sources with the checksums in their manifests."""

    def __init__(self, chunks: MixedChunks, of_sources: tuple[Verification, ...]) -> None:
        self._mixed, self._of_sources = chunks, of_sources

    def check(self, index: int, path: str) -> None:
        """Compare chunk `index`, which lies at `path`, as `Verification.check` does."""
        source, own = self._mixed.place_of(index)
        self._of_sources[source].check(own, path)


def mixed_chunks(sources: Mapping[str, ChunkList]) -> MixedChunks:
    """Return the chunks of sources, by name; all their counts are known."""
    lists = tuple(sources.values())
    chunks = MixedChunks(
        root="",
        named=", ".join(f"{name}: {chunks.place}" for name, chunks in sources.items()),
        names=tuple(f"{name}/{chunk}" for name, chunks in sources.items() for chunk in chunks.names),
        sizes=np.concatenate([chunks.sizes for chunks in lists]),
        of_sources=lists,
        made_rows=None if any(chunks.made_rows is None for chunks in lists) else _all_counts(lists),
        starts=(0, *np.cumsum([len(chunks) for chunks in lists]).tolist()),
        labels=tuple(sources),
    )
    if all(own.stored is None for own in lists):
        return chunks
    return replace(chunks, stored=MixedStored([own.stored for own in lists], chunks.starts, chunks.file))


def _all_counts(lists: tuple[ChunkList, ...]) -> np.ndarray:
    counts = [chunks.counts for chunks in lists]
    known = [each for each in counts if each is not None]
    assert len(known) == len(counts), "asked of chunks whose rows nobody has counted"
    return np.concatenate(known)
