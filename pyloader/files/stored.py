"""Stored chunks: those of a store are fetched into the cache, and read from there."""

from __future__ import annotations

import contextlib
import os
import shutil
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pyloader.errors import CacheError, ChunkReadError
from pyloader.files.byte_ranges import Ranges, common_ranges, ranges_without
from pyloader.files.cache import (
    CacheUser,
    Identity,
    Pinned,
    cache_directory,
    cache_entries,
    cached_names,
    register,
    total_bytes,
)
from pyloader.files.cache.account import noted_bytes
from pyloader.files.cache.identity import room_of_files, room_of_name, room_of_ranges
from pyloader.files.cache.plans import plan_bytes
from pyloader.files.fetching import Called, FetchTerms, fetch_object, fetch_ranges, num_parts
from pyloader.files.manifest import checksum_of
from pyloader.files.stores import Address, Store, Stored, open_store
from pyloader.options import format_bytes

__all__ = ["LIST_NAME", "StoreOptions", "StoredChunks"]

LIST_NAME = ".pyloader-list.json"  # of the entry that keeps the list of an address; no object of the store


_BLOCK_BYTES = 2**20
_HAVE_RANGES = ("s3", "gs", "az")  # a server of HTTP that knows none would send the whole object for each part


def _one_by_one(calls: Iterable[Callable[[], Any]]) -> Iterator[Any]:
    return (call() for call in calls)


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """How the data of a store are read.

    Attributes:
      cache_dir: Where chunks are kept; None is $PYLOADER_CACHE, or ~/.cache/pyloader/chunks.
      cache_bytes: The most that is kept there; None is what the directory says, at first half of what is free.
      storage_options: Options of the store, such as keys.
      offline: Whether nothing is asked of the store: what the cache has is all there is.
      verifies: Whether what is fetched is compared with its checksum in the manifest before the cache keeps it.
      called: Makes calls that wait for the store, and yields what they return, in order; here one after the other.
    """

    cache_dir: str | None = None
    cache_bytes: int | None = None
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False)  # keys may be among them
    offline: bool = False
    verifies: bool = False
    called: Called = field(default=_one_by_one, repr=False)


class StoredChunks:
    """The chunks of a store.

    Args:
      address: Where they are.
      objects: Of each chunk its object; several, where the chunk is a directory of columns.
      names: The chunks' names below the address.
      options: How they are read.
      checksums: Of each chunk what its manifest says; none where there is no manifest.
      ranges: Of each chunk that is a part of its object the bytes that it is read from, sorted and apart; None of one
        that is all of it.  None where all are.
    """

    def __init__(
        self,
        address: Address,
        names: Sequence[str],
        objects: Sequence[tuple[Stored, ...]],
        options: StoreOptions,
        checksums: Sequence[str] = (),
        ranges: Sequence[Ranges | None] | None = None,
    ) -> None:
        self.address, self.options = address, options
        self._names, self._objects, self._checksums = names, objects, checksums
        self._ranges = ranges
        self._common_identities: dict[str, Identity] = {}
        self._registered = 1, 1  # how many are fetched, and how many others kept, at the same time
        self._user: CacheUser | None = None
        self._store: Store | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_user": None, "_store": None}  # each process has its own

    @cached_property
    def keys(self) -> np.ndarray:
        """uint64 array of shape [number of chunks, 1 or 2]: what the cache calls each in plans.

        Where a chunk needs what is common to the parts of its file, that entry comes first.
        """
        keys = []
        for index in range(len(self._objects)):
            own, common = self._identity(index), self._common_identity(index)
            keys.append([(common or own).key, own.key] if self._common else [own.key])
        return np.array(keys, np.uint64).reshape(len(keys), -1)

    @cached_property
    def _common(self) -> dict[str, Ranges]:
        """What all parts of an object have, a header or a footer, by the object's name: it is fetched once."""
        parts: dict[str, list[Ranges]] = defaultdict(list)
        for objects, ranges in zip(self._objects, self._ranges or (), strict=False):
            if ranges is not None:
                parts[objects[0].name].append(ranges)
        found = {name: common_ranges(given) for name, given in parts.items() if len(given) > 1}
        return {name: ranges for name, ranges in found.items() if ranges}

    def register(self, *, num_fetches: int, num_readers: int) -> int:
        """Say how many chunks are fetched at the same time, and how many others are kept at the same time.

        Where the cache cannot hold so many, fewer are fetched: 1 at least.

        Returns:
          How many are.

        Raises:
          CacheError: it cannot hold what this loader and others need at once; the message has the arithmetic.
        """
        self.close()
        largest = max(self._bytes_at_once(index) for index in range(len(self._objects)))
        directory = cache_directory(self.options.cache_dir)
        while True:
            try:
                user = register(
                    directory,
                    fetches=num_fetches,
                    readers=num_readers,
                    largest=largest,
                    bound=self.options.cache_bytes,
                )
            except CacheError:
                if num_fetches <= 1:
                    raise
                num_fetches //= 2
            else:
                self._user, self._registered = user, (num_fetches, num_readers)
                weakref.finalize(self, user.close)
                return num_fetches

    def close(self) -> None:
        """Give back what was registered."""
        if self._user is not None:
            self._user.close()
            self._user = None

    def num_fetches(self) -> int:
        """Return how many chunks may be fetched at the same time."""
        self._register_again()
        return self._registered[0]

    @property
    def user(self) -> CacheUser:
        """The cache, as this loader uses it."""
        self._register_again()
        assert self._user is not None
        return self._user

    def _register_again(self) -> None:
        """Register in a copy, or after closing, what was registered before."""
        if self._user is None:
            num_fetches, num_readers = self._registered
            self.register(num_fetches=num_fetches, num_readers=num_readers)

    def hold(self, index: int, terms: FetchTerms) -> Pinned:
        """Return a chunk in the cache, which stays there until it is released; it is fetched when it is not there.

        Raises:
          ChunkReadError: it cannot be fetched, or, offline, is not in the cache.
          CacheError, StallError, WriteError: the cache cannot take it.
        """
        identity = self._identity(index)
        if self.options.offline and not self.user.has(identity):
            raise self._lacking(index)
        with self._common_held(index, terms) as common:

            def fill(path: Path) -> str | None:
                if self.options.offline:  # it was damaged, as a comparison after a start of the machine has found
                    raise self._lacking(index)
                return self._filled(index, path, terms, common)

            return self.user.get(identity, fill, wait=terms.wait, deadline_seconds=terms.deadline_seconds)

    @contextlib.contextmanager
    def _common_held(self, index: int, terms: FetchTerms) -> Iterator[Path | None]:
        """Give the file with what is common to the parts of an object, where that is needed to fetch one of them.

        It is held before the part's own lock and room are asked for: who has these waits for nothing.
        """
        identity = self._common_identity(index)
        if identity is None or self.options.offline or self.user.has(self._identity(index)):
            yield None
            return
        [stored], ranges = self._objects[index], self._common[self._objects[index][0].name]

        def fill(path: Path) -> None:
            fetch_ranges(self._opened(), stored, path, ranges, terms, self.options.called)

        with self.user.get(identity, fill, wait=terms.wait, deadline_seconds=terms.deadline_seconds) as found:
            yield found.path

    def _filled(self, index: int, path: Path, terms: FetchTerms, common: Path | None) -> str:
        """Fetch a chunk to its place, and return its checksum, which is that of the manifest where that counts."""
        ranges, objects = self._ranges_of(index), self._objects[index]
        if self._is_directory(index):
            for stored in objects:
                self._fetch(stored, path / stored.name.rpartition("/")[2], terms)
            checksum = checksum_of(path)
        elif ranges is None:
            checksum = self._fetch(objects[0], path, terms)
        else:
            copied = () if common is None else self._common[objects[0].name]
            own = ranges_without(ranges, copied)
            fetch_ranges(self._opened(), objects[0], path, own, terms, self.options.called)
            if common is not None:
                _copy_ranges(common, path, copied)
            checksum = checksum_of(path, ranges)
        if self.options.verifies and self._checksums:
            wanted = self._checksums[index]
            if wanted not in ("", checksum):
                what = "came with other bytes than its manifest was made of: the checksum differs."
                hint = "It is not kept. Read it again; if it comes so again, put the chunk there anew"
                raise ChunkReadError(self.address.of(self._names[index]), what, hint)
        return checksum

    def _fetch(self, stored: Stored, place: Path, terms: FetchTerms) -> str:
        """Fetch an object to a file of its length, and return its checksum."""
        if self.address.scheme in _HAVE_RANGES and num_parts(stored.size) > 1:
            fetch_ranges(self._opened(), stored, place, [(0, stored.size)], terms, self.options.called)
            return checksum_of(place)
        with open(place, "r+b", buffering=0) as file:
            return fetch_object(self._opened(), stored, file, terms)

    @contextlib.contextmanager
    def held(self, index: int, terms: FetchTerms) -> Iterator[str]:
        """Give the path of a chunk in the cache, and keep it there inside of this."""
        with self.hold(index, terms) as found:
            yield str(found.path)

    def object_of(self, index: int) -> tuple[Store, Stored]:
        """Return the object that a chunk is, or lies in, and where it is."""
        return self._opened(), self._objects[index][0]

    def alone(
        self, index: int, names: Sequence[str] | None = None, ranges: Sequence[Ranges | None] | None = None
    ) -> StoredChunks:
        """Return one chunk of these, or parts of its object: their names, and the bytes that each is read from."""
        names = [self._names[index]] if names is None else names
        return StoredChunks(self.address, names, [self._objects[index]] * len(names), self.options, (), ranges)

    @property
    def cache_dir(self) -> str:
        """The directory of the cache."""
        return str(cache_directory(self.options.cache_dir).root)

    def room(self) -> dict[str, int]:
        """Return how many bytes the cache takes at most, "cache_bytes", and its bound; {} where neither is known yet.

        Raises:
          OSError: the cache cannot be read.
        """
        if self._user is None or (num_bytes := noted_bytes(cache_directory(self.options.cache_dir))) is None:
            return {}
        return {"cache_bytes": num_bytes, "cache_bytes_bound": self._user.bound}

    def is_here(self, index: int) -> bool:
        """Tell whether a chunk is in the cache."""
        return self.user.has(self._identity(index))

    def are_here(self) -> np.ndarray:
        """Tell which chunks are in the cache: a bool array of shape [number of chunks]."""
        here = cached_names(cache_directory(self.options.cache_dir))
        return np.array([self._identity(index).name in here for index in range(len(self._objects))], bool)

    def own_bytes(self) -> np.ndarray:
        """Return what is fetched for each chunk alone: an int64 array of shape [number of chunks]."""
        own = [sum(stored.size for stored in objects) for objects in self._objects]
        for index, ranges in enumerate(self._ranges or ()):
            if ranges is not None:
                left = ranges_without(ranges, self._common.get(self._objects[index][0].name, ()))
                own[index] = sum(stop - start for start, stop in left)
        return np.array(own, np.int64)

    def common_bytes(self, indices: np.ndarray) -> int:
        """Return what is fetched once for all parts of the objects that some chunks lie in, and is not here."""
        found = {common.name: common for index in indices.tolist() if (common := self._common_identity(index))}
        lacking = found.keys() - cached_names(cache_directory(self.options.cache_dir))
        return sum(stop - start for name in lacking for start, stop in found[name].ranges or ())

    def check_room_for_all(self) -> None:
        """Raise when the cache cannot hold all chunks.

        Raises:
          CacheError: its bound, or its disk, is too small; the message has the arithmetic.
        """
        directory = cache_directory(self.options.cache_dir)
        indices = range(len(self._objects))
        wanted = {self._identity(index).name for index in indices}
        wanted |= {common.name for common in map(self._common_identity, indices) if common is not None}
        chunks = sum(map(room_of_name, wanted))
        lists = [entry.room_bytes for entry in cache_entries(directory) if entry.url == self.address.of(LIST_NAME)]
        others = max(lists, default=0) + room_of_files(plan_bytes(self.keys.size)) + room_of_files(0)
        arithmetic = (
            f"{len(self._objects):,} chunks take {format_bytes(chunks)}, their list and plan {format_bytes(others)}"
        )
        bound, needed = self.user.bound, chunks + others
        if needed > bound:
            what = f"may hold cache_bytes={bound:,}, which is less than {needed:,}: {arithmetic}."
            raise CacheError(str(directory.root), what, f"Write cache_bytes={needed} or more")
        has = total_bytes(directory) + shutil.disk_usage(directory.root).free
        if needed > has:
            what = f"lies on a disk with room for {format_bytes(has)}, which is less than {format_bytes(needed)}: "
            raise CacheError(str(directory.root), f"{what}{arithmetic}.", "Give one on a larger disk: cache_dir=...")

    def _lacking(self, index: int) -> ChunkReadError:
        what = "is not in the cache, and offline=True asks no store for it."
        return ChunkReadError(self.address.of(self._names[index]), what, f"Fetch it: pyloader fetch {self.address}")

    def _opened(self) -> Store:
        if self._store is None:
            self._store = open_store(self.address, storage_options=self.options.storage_options)
        return self._store

    def _identity(self, index: int) -> Identity:
        objects, members = self._objects[index], tuple[tuple[str, int], ...]()
        if self._is_directory(index):
            members = tuple((stored.name.rpartition("/")[2], stored.size) for stored in objects)
        return Identity(
            url=self.address.of(self._names[index] if members else objects[0].name),
            size=sum(stored.size for stored in objects),
            version=" ".join(stored.version for stored in objects),
            ranges=self._ranges_of(index),
            members=members,
        )

    def _common_identity(self, index: int) -> Identity | None:
        """Return the entry of what is common to the parts of a chunk's object; None where nothing is."""
        name = self._objects[index][0].name
        if name in self._common and name not in self._common_identities:
            self._common_identities[name] = replace(self._identity(index), ranges=self._common[name])
        return self._common_identities.get(name)

    def _ranges_of(self, index: int) -> Ranges | None:
        return None if self._ranges is None else self._ranges[index]

    def _is_directory(self, index: int) -> bool:
        return self._names[index].endswith(".columns")

    def _bytes_at_once(self, index: int) -> int:
        """Return what of a chunk is kept at once while it is fetched, in bytes."""
        if (ranges := self._ranges_of(index)) is None:
            return sum(stored.size for stored in self._objects[index])
        common = self._common.get(self._objects[index][0].name, ())
        return room_of_ranges(ranges) + (room_of_ranges(common) if common else 0)


def _copy_ranges(source: Path, target: Path, ranges: Ranges) -> None:
    with open(source, "rb", buffering=0) as file, open(target, "r+b", buffering=0) as copy:
        for start, stop in ranges:
            for begin in range(start, stop, _BLOCK_BYTES):
                num_bytes = min(_BLOCK_BYTES, stop - begin)
                copy.seek(begin)
                copy.write(os.pread(file.fileno(), num_bytes, begin))
