"""The bound of a cache: room for an entry is made and taken under the directory's lock, and names say what is taken."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pyloader.errors import WriteError
from pyloader.files.cache.account import noted_bytes, write_down
from pyloader.files.cache.directory import CacheDirectory
from pyloader.files.cache.eviction import NEVER, eviction_order, next_uses
from pyloader.files.cache.identity import Identity, keys_and_rooms, names_of_entries, room_of_files, room_of_name
from pyloader.files.cache.locks import take_lock
from pyloader.files.cache.plans import Plan, live_plans
from pyloader.files.cache.records import Record, remove_entry, write_record
from pyloader.files.no_room import no_room

__all__ = [
    "allocate",
    "discard",
    "entry_names",
    "evict",
    "overhead_bytes",
    "remove_leftovers",
    "take_room",
    "used_bytes",
]

_SHARE_AHEAD = 256
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)


def entry_names(place: Path) -> list[str]:
    """Return the names of the entries in a directory; what the cache has not made is not among them."""
    return names_of_entries(os.listdir(place))


def used_bytes(directory: CacheDirectory, plans: Sequence[Plan]) -> int:
    """Return how many bytes entries, those that are being fetched, and what goes with them take on the disk."""
    places = (directory.partial, directory.entries, directory.partial)  # entries may move either way meanwhile
    _, rooms = keys_and_rooms(list({name for place in places for name in entry_names(place)}))
    return int(rooms.sum()) + overhead_bytes(plans)


def overhead_bytes(plans: Sequence[Plan]) -> int:
    """Return how many bytes plans, and the file that says the bound, take on the disk."""
    return room_of_files(0) + sum(room_of_files(plan.num_bytes) for plan in plans)


def take_room(
    directory: CacheDirectory,
    bound: int,
    needed: int,
    use: Callable[[], None],
    *,
    plans: Sequence[Plan] | None = None,
    counts: bool = False,
) -> bool:
    """Evict entries until `needed` bytes are left of `bound`, then call `use`; under the directory's lock.

    Where the disk is full before that, more goes.  To look for what goes takes a while where there are many entries, so
    then some go that would be the next: at most a 256th of the bound.

    Args:
      directory: The cache's.
      bound: How many bytes it may hold.
      needed: How many bytes `use` takes.
      use: Takes them, or raises and leaves nothing behind.
      plans: Of the loaders that live; None looks.
      counts: Whether the directory is listed, though the account says that there is room.

    Returns:
      False when what is left is in use.

    Raises:
      WriteError: the disk is full, and nothing is left to evict; or a limit was reached.
    """
    plans = live_plans(directory.plans) if plans is None else plans
    overhead, noted = overhead_bytes(plans), None if counts else noted_bytes(directory)
    if noted is not None and noted + overhead + needed <= bound:
        write_down(directory, noted + needed)
        if _used(use, directory) is None:
            return True
    used, spare = used_bytes(directory, plans), bound // _SHARE_AHEAD
    leaving = _in_order(directory, plans)
    full, has_evicted = None, False
    while True:
        if used + needed <= bound:
            write_down(directory, used - overhead + needed)
            full = _used(use, directory)
            if full is None:
                break
        gone = next((name for name in leaving if evict(directory, name)), None)
        if gone is None:
            if full is not None:
                raise full
            return False
        used, has_evicted = used - room_of_name(gone), True
    while has_evicted and (name := next(leaving, None)) and (spare := spare - room_of_name(name)) >= 0:
        used -= room_of_name(name) * evict(directory, name)
    write_down(directory, used - overhead + needed)
    return True


def _used(use: Callable[[], None], directory: CacheDirectory) -> WriteError | None:
    """Call `use`; return the error when the disk is full, and raise all others."""
    try:
        use()
    except OSError as exc:
        full = no_room(directory.root, exc)
        if full is None:
            raise
        full.__cause__ = exc
        if exc.errno not in _DISK_IS_FULL:
            raise full from exc
        return full
    return None


def evict(directory: CacheDirectory, name: str) -> bool:
    """Remove an entry that nobody uses, and tell whether it is gone."""
    lock = take_lock(directory.locks / name)
    if lock is None:
        return False
    with lock:
        return discard(directory, name)


def discard(directory: CacheDirectory, name: str) -> bool:
    """Remove an entry whose lock is held, and tell whether it is gone."""
    place = directory.entries / name
    with contextlib.suppress(OSError):  # what others have put into it may keep it
        place = place.rename(directory.partial / name)  # after a kill it is a leftover, and never half an entry
    return remove_entry(place)


def remove_leftovers(directory: CacheDirectory) -> int:
    """Remove what killed processes were fetching, and return how many entries that were; under the directory's lock."""
    num_removed = 0
    for name in entry_names(directory.partial):
        if (lock := take_lock(directory.locks / name)) is not None:
            with lock:
                num_removed += remove_entry(directory.partial / name)
    return num_removed


def allocate(place: Path, identity: Identity) -> None:
    """Make the directory of an entry and its files, empty and at their full length; on an error nothing is left.

    Raises:
      OSError: the disk is full, among others.
    """
    place.mkdir(mode=0o700, exist_ok=True)
    try:
        write_record(place, Record(url=identity.url, files=identity.files, process=os.getpid()))
        for name, size in identity.files:
            (place / name).parent.mkdir(mode=0o700, exist_ok=True)
            (place / name).unlink(missing_ok=True)  # of an entry whose record somebody has removed
            with open(place / name, "xb") as file:
                _reserve(file.fileno(), size, identity.ranges)
    except BaseException:
        remove_entry(place)
        raise


def _reserve(descriptor: int, size: int, ranges: Sequence[tuple[int, int]] | None) -> None:
    os.ftruncate(descriptor, size)
    if hasattr(os, "posix_fallocate"):  # not on macOS: there the disk may be full later
        for start, stop in [(0, size)] if ranges is None else ranges:
            if start < stop:
                os.posix_fallocate(descriptor, start, stop - start)


def _in_order(directory: CacheDirectory, plans: Sequence[Plan]) -> Iterator[str]:
    """Yield the names of the entries in the order in which they go."""
    names = entry_names(directory.entries)
    keys, _ = keys_and_rooms(names)
    next_use = next_uses(keys, (plan.upcoming() for plan in plans))
    last_used = np.zeros(len(names), np.int64)
    for index in np.flatnonzero(next_use == NEVER):
        with contextlib.suppress(FileNotFoundError):
            last_used[index] = os.stat(directory.entries / names[index]).st_mtime_ns
    for index in eviction_order(next_use, last_used):
        yield names[index]
