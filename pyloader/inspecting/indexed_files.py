"""The files that `pyloader index` looks at: on a disk where they lie, of a store by ranges, or copies of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, TypeVar

import xxhash

from pyloader.datareader import DataReader, can_find_by_ranges
from pyloader.deliver import Pauses, at_once
from pyloader.files import ChunkList, FetchTerms, StoredChunks, StoredPath, checksum_of
from pyloader.files.fetching import object_blocks
from pyloader.part import InOrder, Part, part_name

__all__ = ["Look", "files_of"]

Out = TypeVar("Out")

# The index of a file, and how an object is fetched -> what was found out.
Look: TypeAlias = "Callable[[int, FetchTerms], Out]"

_NUM_AT_ONCE = 8


class Files:
    """Files on this machine.

    Args:
      chunks: The files, each a chunk.
      num_workers: How many threads look at them; several files come before several places of one.
    """

    def __init__(self, chunks: ChunkList, num_workers: int = 1) -> None:
        self._chunks = chunks
        self._num_files_at_once = min(num_workers, len(chunks), _NUM_AT_ONCE)
        self._num_places_at_once = num_workers // self._num_files_at_once

    def each(self, look: Look[Out], indices: Sequence[int]) -> Iterator[Out]:
        """Yield what `look` finds out of each of these files, in order."""
        terms = FetchTerms(wait=lambda _seconds: False)
        num_threads = min(len(indices), self._num_files_at_once)
        return _side_by_side(lambda index: look(index, terms), indices, num_threads)

    def in_order(self) -> InOrder:
        """Return what looks at places of one file."""
        num_threads = self._num_places_at_once
        return map if num_threads == 1 else lambda look, places: _side_by_side(look, places, num_threads)

    def find_at(self, reader: DataReader, index: int, terms: FetchTerms) -> AbstractContextManager[str]:
        """Give the path at which a reader finds the parts of a file."""
        return self.whole(index, terms)

    def whole(self, index: int, terms: FetchTerms) -> AbstractContextManager[str]:
        """Give the path of all of a file."""
        return contextlib.nullcontext(self._chunks.path(index))

    def some_parts(
        self, index: int, parts: Sequence[Part], chosen: Sequence[Part], terms: FetchTerms
    ) -> Iterator[tuple[Part, str]]:
        """Yield those that are chosen of all parts of a file, each with the path at which it is read."""
        return ((part, self._chunks.path(index)) for part in chosen)

    def checksum(self, index: int, part: Part, terms: FetchTerms) -> str:
        """Return the checksum of a part, as `checksum_of` gives it."""
        return checksum_of(self._chunks.path(index), part.ranges)


def _side_by_side(fn: Callable[[Any], Any], items: Iterable[Any], num_threads: int) -> Iterator[Any]:
    if num_threads <= 1:
        return map(fn, items)
    return at_once(lambda item, pauses: fn(item), items, num_threads=num_threads, name="index")


class StoredFiles(Files):
    """Objects of a store, several at a time; what is read of them stays in the cache, for those who train on them."""

    def each(self, look: Look[Out], indices: Sequence[int]) -> Iterator[Out]:
        """Yield what `look` finds out of each of these files, in order."""

        def looked_at(index: int, pauses: Pauses) -> Out:
            def come(_num_bytes: int) -> None:
                pauses(0)  # raises when the rest is not wanted any more

            return look(index, FetchTerms(wait=pauses, note_bytes=come))

        with contextlib.closing(at_once(looked_at, indices, num_threads=_NUM_AT_ONCE, name="index")) as results:
            yield from results

    @contextlib.contextmanager
    def find_at(self, reader: DataReader, index: int, terms: FetchTerms) -> Iterator[str]:
        """Give the path at which a reader finds the parts of a file; a copy, where it cannot do so by ranges."""
        if can_find_by_ranges(reader):
            yield StoredPath(*self._stored.object_of(index), terms)
        else:
            with self.whole(index, terms) as path:
                yield path

    @contextlib.contextmanager
    def whole(self, index: int, terms: FetchTerms) -> Iterator[str]:
        """Give the path of a copy of a file."""
        with contextlib.closing(self._stored.alone(index)) as stored, stored.held(0, terms) as path:
            yield path

    def some_parts(
        self, index: int, parts: Sequence[Part], chosen: Sequence[Part], terms: FetchTerms
    ) -> Iterator[tuple[Part, str]]:
        """Yield those that are chosen of all parts of a file, each with the path of a copy of its bytes."""
        name = self._chunks.names[index]
        names, ranges = [part_name(name, part) for part in parts], [part.ranges or None for part in parts]
        with contextlib.closing(self._stored.alone(index, names, ranges)) as stored:
            for part in chosen:
                with stored.held(parts.index(part), terms) as path:
                    yield part, path

    def checksum(self, index: int, part: Part, terms: FetchTerms) -> str:
        """Return the checksum of a part, as `checksum_of` gives it; its bytes are fetched, and not kept."""
        store, stored = self._stored.object_of(index)
        digest = xxhash.xxh3_64()
        for start, stop in part.ranges:
            for block in object_blocks(store, stored, terms, start, stop, needs_ranges=True):
                digest.update(block)
                terms.note_bytes(len(block))
        return f"xxh3:{digest.hexdigest()}"

    @property
    def _stored(self) -> StoredChunks:
        assert self._chunks.stored is not None
        return self._chunks.stored


def files_of(chunks: ChunkList, num_workers: int = 1) -> Files:
    """Return how these files are looked at."""
    return Files(chunks, num_workers) if chunks.stored is None else StoredFiles(chunks)
