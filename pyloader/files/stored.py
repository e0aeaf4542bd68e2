"""Stored chunks: those of a store are fetched into the cache, and read from there."""

from __future__ import annotations

import contextlib
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pyloader.errors import CacheError, ChunkReadError
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
from pyloader.files.cache.identity import room_of_files, room_of_name
from pyloader.files.cache.plans import plan_bytes
from pyloader.files.fetching import Called, FetchTerms, fetch_object, fetch_parts, num_parts
from pyloader.files.manifest import checksum_of
from pyloader.files.stores import Address, Store, Stored, open_store
from pyloader.options import format_bytes

__all__ = ["LIST_NAME", "StoreOptions", "StoredChunks"]

LIST_NAME = ".pyloader-list.json"  # of the entry that keeps the list of an address; no object of the store


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
    """

    foresees = True  # whether the cache is told what is read next

    def __init__(
        self,
        address: Address,
        names: Sequence[str],
        objects: Sequence[tuple[Stored, ...]],
        options: StoreOptions,
        checksums: Sequence[str] = (),
    ) -> None:
        self.address, self.options = address, options
        self._names, self._objects, self._checksums = names, objects, checksums
        self._registered = 1, 1  # how many are fetched, and how many others kept, at the same time
        self._user: CacheUser | None = None
        self._store: Store | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_user": None, "_store": None}  # each process has its own

    @cached_property
    def keys(self) -> np.ndarray:
        """uint64 array of shape [number of chunks]: what the cache calls each in plans."""
        return np.array([self._identity(index).key for index in range(len(self._objects))], np.uint64)

    def register(self, *, num_fetches: int, num_readers: int) -> int:
        """Say how many chunks are fetched at the same time, and how many others are kept at the same time.

        Where the cache cannot hold so many, fewer are fetched: 1 at least.

        Returns:
          How many are.

        Raises:
          CacheError: it cannot hold what this loader and others need at once; the message has the arithmetic.
        """
        self.close()
        largest = max(sum(stored.size for stored in objects) for objects in self._objects)
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
        identity, objects = self._identity(index), self._objects[index]
        if self.options.offline and not self.user.has(identity):
            raise self._lacking(index)

        def fill(path: Path) -> str | None:
            if self.options.offline:  # it was damaged, as a comparison after a start of the machine has found
                raise self._lacking(index)
            checksums = []
            for stored in objects:
                place = path / stored.name.rpartition("/")[2] if identity.members else path
                checksums.append(self._fetch(stored, place, terms))
            checksum = checksum_of(path) if identity.members else checksums[0]
            wanted = self._checksums[index] if self.options.verifies and self._checksums else ""
            if wanted not in ("", checksum):
                what = "came with other bytes than its manifest was made of: the checksum differs."
                hint = "It is not kept. Read it again; if it comes so again, put the chunk there anew"
                raise ChunkReadError(self.address.of(self._names[index]), what, hint)
            return checksum

        return self.user.get(identity, fill, wait=terms.wait, deadline_seconds=terms.deadline_seconds)

    def _fetch(self, stored: Stored, place: Path, terms: FetchTerms) -> str:
        """Fetch an object to a file of its length, and return its checksum."""
        if self.address.scheme in _HAVE_RANGES and num_parts(stored) > 1:
            fetch_parts(self._opened(), stored, place, terms, self.options.called)
            return checksum_of(place)
        with open(place, "r+b", buffering=0) as file:
            return fetch_object(self._opened(), stored, file, terms)

    @contextlib.contextmanager
    def held(self, index: int, terms: FetchTerms) -> Iterator[str]:
        """Give the path of a chunk in the cache, and keep it there inside of this."""
        with self.hold(index, terms) as found:
            yield str(found.path)

    @property
    def cache_dir(self) -> str:
        """The directory of the cache."""
        return str(cache_directory(self.options.cache_dir).root)

    def is_here(self, index: int) -> bool:
        """Tell whether a chunk is in the cache."""
        return self.user.has(self._identity(index))

    def are_here(self) -> np.ndarray:
        """Tell which chunks are in the cache: a bool array of shape [number of chunks]."""
        here = cached_names(cache_directory(self.options.cache_dir))
        return np.array([self._identity(index).name in here for index in range(len(self._objects))], bool)

    def check_room_for_all(self) -> None:
        """Raise when the cache cannot hold all chunks.

        Raises:
          CacheError: its bound, or its disk, is too small; the message has the arithmetic.
        """
        directory = cache_directory(self.options.cache_dir)
        chunks = sum(room_of_name(self._identity(index).name) for index in range(len(self._objects)))
        lists = [entry.room_bytes for entry in cache_entries(directory) if entry.url == self.address.of(LIST_NAME)]
        others = max(lists, default=0) + room_of_files(plan_bytes(len(self._objects))) + room_of_files(0)
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
        name, objects = self._names[index], self._objects[index]
        members: tuple[tuple[str, int], ...] = ()
        if name.endswith(".columns"):
            members = tuple((stored.name.rpartition("/")[2], stored.size) for stored in objects)
        return Identity(
            url=self.address.of(name),
            size=sum(stored.size for stored in objects),
            version=" ".join(stored.version for stored in objects),
            members=members,
        )
