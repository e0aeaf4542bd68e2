"""One entry of a cache: pinned when it is there, fetched when it is not, by one process at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from pyloader.errors import CacheError
from pyloader.files.cache.bound import allocate, discard, remove_leftovers, take_room
from pyloader.files.cache.directory import CacheDirectory
from pyloader.files.cache.disks import boot_of_machine
from pyloader.files.cache.identity import Identity, room_of_name
from pyloader.files.cache.locks import FileLock, take_lock
from pyloader.files.cache.records import (
    Record,
    has_its_files,
    is_undamaged,
    read_record,
    remove_entry,
    write_record,
)
from pyloader.files.cache.waiting import Wait, Waiting
from pyloader.files.manifest import checksum_of
from pyloader.files.no_room import no_room
from pyloader.options import format_bytes

__all__ = ["Fill", "Pinned", "fetched", "pinned"]

# Fetches into what is there at its full length: a file, with holes where only ranges are wanted, or a directory with
# the files of columns.  Returns the checksum of the bytes, as `checksum_of` gives it, when it has computed that; None
# has it computed.
Fill = Callable[[Path], str | None]


class Pinned:
    """An entry that is not evicted, until `release` or the end of the `with`.

    Attributes:
      path: The file, or the directory of columns, under the name that it has in the store.  Nobody may change it.
      was_there: Whether it did not have to be fetched.
    """

    def __init__(self, path: Path, lock: FileLock, *, was_there: bool) -> None:
        self.path, self.was_there, self._lock = path, was_there, lock

    def release(self) -> None:
        """Let it be evicted, when nobody else uses it; does nothing the second time."""
        self._lock.release()

    def __enter__(self) -> Pinned:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def pinned(directory: CacheDirectory, identity: Identity) -> Pinned | None:
    """Return an entry that is there; None when it is not, or others have its lock, or it must be compared first."""
    name = identity.name
    place = directory.entries / name
    if not place.exists():  # a look without the lock: who finds nothing takes it at once for fetching
        return None
    lock = take_lock(directory.locks / name, shared=True)
    return None if lock is None else _pin(directory, identity, lock, was_there=True)


def fetched(
    directory: CacheDirectory, bound: int, identity: Identity, fill: Fill, *, wait: Wait, deadline_seconds: float
) -> Pinned:
    """Return an entry, fetched by `fill` when it is not there.

    Lock and room are both tried, and both given back before waiting: nobody waits who holds something.

    Args:
      directory: The cache's.
      bound: How many bytes it may hold.
      identity: What is wanted.
      fill: Fetches it.
      wait: Waits so many seconds, and tells whether the loader was closed meanwhile.
      deadline_seconds: How long to wait for another process that does not get on.

    Raises:
      ClosedError: closed while waiting.
      StallError: another process does not get on.
      WriteError: the disk is full.
      CacheError: somebody has removed the cache.
      Exception: what `fill` raises.
    """
    waiting = Waiting(identity.url, wait, deadline_seconds)
    try:
        while True:
            found = pinned(directory, identity) or _tried(directory, bound, identity, fill)
            if isinstance(found, Pinned):
                return found
            waiting.once(found, _movement(directory, identity))
    except FileNotFoundError as exc:
        if directory.entries.exists():
            raise
        what = "was removed while a loader used it."
        raise CacheError(f"{directory.root}", what, "Make a new loader: it makes the directory again") from exc


def _tried(directory: CacheDirectory, bound: int, identity: Identity, fill: Fill) -> Pinned | str:
    """Fetch an entry, if nobody else does and there is room; else say what keeps it."""
    name = identity.name
    lock = take_lock(directory.locks / name)
    if lock is None:
        record = read_record(directory.partial / name)
        return f"process {record.process} is fetching it" if record else "another process has its lock"
    try:
        was_there = _is_whole(directory, name)
        if not was_there:
            if keeps := _allocated(directory, bound, identity):
                lock.release()
                return keeps
            _fetch(directory, identity, fill)
        found = _pin(directory, identity, lock, was_there=was_there) if lock.share() else None
    except BaseException:
        lock.release()
        raise
    return found or "another process has evicted it at once"


def _pin(directory: CacheDirectory, identity: Identity, lock: FileLock, *, was_there: bool) -> Pinned | None:
    """Pin an entry by its shared lock; when it is not there, or not known to be good, the lock is released."""
    place = directory.entries / identity.name
    if not _is_good(place):
        lock.release()
        return None
    now = time.time_ns()  # the system's own notion of now is 4 ms coarse
    with contextlib.suppress(OSError):
        os.utime(place, ns=(now, now))  # the time of its last use
    return Pinned(place / identity.file_name, lock, was_there=was_there)


def _allocated(directory: CacheDirectory, bound: int, identity: Identity) -> str:
    """Take the room for an entry whose lock is held; say what keeps it, "" when nothing does."""
    place = directory.partial / identity.name
    lock = directory.lock()
    if lock is None:
        return "another process has the lock of the cache"
    with lock:
        remove_leftovers(directory)
        remove_entry(place)  # of a process that was killed: we have its lock
        if take_room(directory, bound, room_of_name(identity.name), lambda: allocate(place, identity)):
            return ""
    return f"all of the {format_bytes(bound)} of {directory.root} are in use"


def _fetch(directory: CacheDirectory, identity: Identity, fill: Fill) -> None:
    place = directory.partial / identity.name
    try:
        path = place / identity.file_name
        checksum = fill(path) or checksum_of(path, identity.ranges)
        record = Record(url=identity.url, files=identity.files, process=os.getpid(), ranges=identity.ranges)
        if not has_its_files(place, record):
            raise CacheError(identity.url, "came with another size than the store had said.", "Make a new loader")
        for name, _ in identity.files:
            os.chmod(place / name, 0o400)  # whoever changes it changes it for all
        write_record(place, msgspec.structs.replace(record, boot=boot_of_machine(), checksum=checksum))
        os.rename(place, directory.entries / identity.name)
    except BaseException as exc:
        remove_entry(place)
        if full := no_room(directory.root, exc):
            raise full from exc
        raise


def _is_good(place: Path) -> bool:
    """Tell whether an entry is whole, and was so in this boot of the machine."""
    record = read_record(place)
    return record is not None and record.boot == boot_of_machine() and has_its_files(place, record)


def _is_whole(directory: CacheDirectory, name: str) -> bool:
    """Tell whether an entry is there and good, having compared its checksum after another boot; remove it if not.

    Nothing is synced to the disk when it is written, so a power failure may leave anything.
    """
    place = directory.entries / name
    if not place.exists() or _is_good(place):
        return place.exists()
    record = read_record(place)
    if record is None or not is_undamaged(place, record):
        discard(directory, name)
        return False
    write_record(place, msgspec.structs.replace(record, boot=boot_of_machine()))
    return True


def _movement(directory: CacheDirectory, identity: Identity) -> list[int]:
    """Return what changes when the entry is written to, or entries come and go."""
    partial = directory.partial / identity.name
    places = [partial / name for name, _ in identity.files] if partial.exists() else [directory.entries]
    times = []
    for place in places:
        with contextlib.suppress(OSError):
            times.append(os.stat(place).st_mtime_ns)
    return times
