"""Keeping a cache in order: what is in it, whether it is undamaged, and removing what nobody needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pyloader.files.cache.bound import discard, entry_names, remove_leftovers, take_room, used_bytes
from pyloader.files.cache.directory import CacheDirectory
from pyloader.files.cache.identity import room_of_name
from pyloader.files.cache.locks import take_lock
from pyloader.files.cache.plans import live_plans
from pyloader.files.cache.records import Record, is_undamaged, read_record

__all__ = ["CacheEntry", "Pruned", "cache_entries", "cached_names", "damaged_entries", "prune", "total_bytes"]


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An entry of a cache.

    Attributes:
      name: Its name in the cache.
      url: Where it came from; "" where its record is damaged.
      num_bytes: The size of its files, or what it has of one.
      room_bytes: What it takes on the disk.
      used_at: When it was last used, in seconds since 1970.
    """

    name: str
    url: str
    num_bytes: int
    room_bytes: int
    used_at: float


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` has removed.

    Attributes:
      num_leftovers: Entries that killed processes were fetching.
      num_entries: Whole entries.
      num_bytes: What all of them took on the disk.
    """

    num_leftovers: int
    num_entries: int
    num_bytes: int


def cache_entries(directory: CacheDirectory) -> list[CacheEntry]:
    """Return the whole entries of a cache, by URL."""
    found = []
    for name in entry_names(directory.entries):
        place = directory.entries / name
        record = read_record(place)
        try:
            used_at = os.stat(place).st_mtime
        except FileNotFoundError:
            continue  # evicted meanwhile
        size = _num_bytes(record) if record else 0
        found.append(CacheEntry(name, record.url if record else "", size, room_of_name(name), used_at))
    return sorted(found, key=lambda entry: (entry.url, entry.name))


def _num_bytes(record: Record) -> int:
    return sum(stop - start for start, stop in record.ranges or ((0, size) for _, size in record.files))


def cached_names(directory: CacheDirectory) -> frozenset[str]:
    """Return `Identity.name` of every whole entry: which chunks of a data set are here, without a look for each."""
    return frozenset(entry_names(directory.entries))


def total_bytes(directory: CacheDirectory) -> int:
    """Return what a cache takes on the disk, with what is being fetched."""
    with directory.held():
        return used_bytes(directory, live_plans(directory.plans))


def damaged_entries(
    directory: CacheDirectory, progress: Callable[[Sequence[CacheEntry]], Iterable[CacheEntry]] = iter
) -> list[CacheEntry]:
    """Compare every entry with its checksum; remove those that are damaged, and return them.

    An entry that another process has locked, because it is fetching or removing it, is left out.

    Raises:
      OSError: one cannot be read.
    """
    damaged = []
    for entry in progress(cache_entries(directory)):
        place = directory.entries / entry.name
        lock = take_lock(directory.locks / entry.name, shared=True)
        if lock is None:
            continue
        with lock:
            record = read_record(place)
            if not place.exists() or (record is not None and is_undamaged(place, record)):
                continue
        damaged.append(entry)
        if (lock := take_lock(directory.locks / entry.name)) is not None:  # a loader that reads it keeps it
            with lock:
                discard(directory, entry.name)
    return damaged


def prune(directory: CacheDirectory, *, keep_bytes: int | None = None) -> Pruned:
    """Remove what killed processes have left, and entries until the cache takes at most `keep_bytes`.

    What loaders use stays.  Entries go in the order in which they are evicted.

    Args:
      directory: The cache's.
      keep_bytes: How many bytes may stay, 0 for none; None removes no entry.
    """
    with directory.held():
        plans = live_plans(directory.plans)
        before, names = used_bytes(directory, plans), set(entry_names(directory.entries))
        num_leftovers = remove_leftovers(directory)
        if keep_bytes is not None:
            take_room(directory, keep_bytes, 0, lambda: None, plans=plans, counts=True)
        left = set(entry_names(directory.entries))
        _remove_locks(directory, left)
        return Pruned(num_leftovers, len(names - left), before - used_bytes(directory, plans))


def _remove_locks(directory: CacheDirectory, names: set[str]) -> None:
    """Remove the locks of entries that are gone, unless somebody has them; under the directory's lock."""
    for name in entry_names(directory.locks):
        if name not in names and (lock := take_lock(directory.locks / name)) is not None:
            with lock:
                (directory.locks / name).unlink()
