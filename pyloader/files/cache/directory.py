"""The directory of a cache: where it is, whose it is, what it may hold, and what lies where in it."""

from __future__ import annotations

import errno
import logging
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pyloader.errors import CacheError
from pyloader.files.cache.disks import unfit_disk
from pyloader.files.cache.locks import FileLock, take_lock

__all__ = ["CacheDirectory", "cache_directory"]

_VARIABLE = "PYLOADER_CACHE"
_DEFAULT = Path("~/.cache/pyloader/chunks")  # beside it are data sets that `pyloader.compat` downloads
_MARK, _LOCK = "pyloader-cache.json", "lock"
_NO_LOCKS_HERE = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ANOTHER = "Give a directory on a disk of this machine: cache_dir=..., or PYLOADER_CACHE=..."

_log = logging.getLogger("pyloader")


class _Mark(msgspec.Struct, frozen=True, kw_only=True):
    format: str = "pyloader-cache"
    version: int = 1
    bound: int | None = None  # bytes; None until the first loader has said what it needs


@dataclass(frozen=True, slots=True)
class CacheDirectory:
    """What lies where in the directory of a cache.

    Attributes:
      root: The directory.  All changes that make it larger are made under its lock.
    """

    root: Path

    @property
    def entries(self) -> Path:
        """Whole entries, a directory each."""
        return self.root / "entries"

    @property
    def partial(self) -> Path:
        """Entries that are being fetched, at their full size."""
        return self.root / "partial"

    @property
    def locks(self) -> Path:
        """A lock for each entry that is or was there: exclusive while it is changed, shared while it is read."""
        return self.root / "locks"

    @property
    def plans(self) -> Path:
        """The plans of the loaders that live."""
        return self.root / "loaders"

    @property
    def lock_file(self) -> Path:
        """The file of the lock of the directory; it holds the account."""
        return self.root / _LOCK

    def lock(self, *, wait: bool = False) -> FileLock | None:
        """Take the lock of the directory, as `take_lock` does."""
        return take_lock(self.lock_file, wait=wait)

    def held(self) -> FileLock:
        """Wait for the lock of the directory, which is held for milliseconds."""
        lock = self.lock(wait=True)
        assert lock is not None
        return lock

    def bound(self) -> int | None:
        """Return how many bytes the directory may hold; None before any loader has used it.

        Raises:
          CacheError: the file that says so is damaged, or of another version.
        """
        return _read_mark(self.root).bound

    def set_bound(self, bound: int) -> None:
        """Write down how many bytes the directory may hold; under its lock."""
        _write_mark(self.root, _Mark(bound=bound))


def cache_directory(directory: str | os.PathLike[str] | None = None, *, make: bool = True) -> CacheDirectory:
    """Return the directory of a cache.

    Args:
      directory: Where it is; None is $PYLOADER_CACHE, else ~/.cache/pyloader/chunks, or, where that is no disk of this
        machine or cannot be written, pyloader-UID in the directory of temporary files, which the log says.
      make: Whether it is made when it is missing.

    Raises:
      CacheError: it lies on a network disk, others may write in it, or it holds something else; or it is missing.
    """
    given = directory if directory is not None else os.environ.get(_VARIABLE)
    if given:
        return _prepared(Path(given).expanduser(), make=make)
    try:
        return _prepared(_DEFAULT.expanduser(), make=make)
    except (CacheError, OSError, RuntimeError) as exc:  # RuntimeError: nobody knows where this user's home is
        instead = Path(tempfile.gettempdir(), f"pyloader-{os.getuid()}")
        if not make and not instead.exists():
            raise
        prepared = _prepared(instead, make=make)
        reason = str(exc) if isinstance(exc, CacheError) else f"{_DEFAULT} cannot be made: {exc}"
        _log.warning("the cache is in %s: %s", instead, reason)
        return prepared


def _prepared(given: Path, *, make: bool) -> CacheDirectory:
    if unfit := unfit_disk(given):
        raise CacheError(f"{given}", unfit, _ANOTHER)
    if make:
        given.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not given.exists():
        raise CacheError(f"{given}", "is not there.", "The first loader that reads from a store makes it")
    root = given.resolve()
    _check_owner(root)
    strange = sorted(set(os.listdir(root)) - {_LOCK, _MARK, f"{_MARK}.new"})
    if strange and not (root / _MARK).exists():
        what = f"is no cache, and holds {strange[0]}{' and more' if len(strange) > 1 else ''}."
        raise CacheError(f"{root}", what, "Give an empty directory")
    found = CacheDirectory(root)
    with _excluding_lock(found):
        if not (root / _MARK).exists():
            _write_mark(root, _Mark())
        _read_mark(root)
        for place in (found.entries, found.partial, found.locks, found.plans):
            place.mkdir(mode=0o700, exist_ok=True)
            _check_owner(place)
    return found


def _excluding_lock(directory: CacheDirectory) -> FileLock:
    """Take the lock of the directory, and see that nobody else gets it."""
    what = "lies on a disk where files cannot be locked."
    try:
        lock = directory.held()
    except OSError as exc:
        if exc.errno not in _NO_LOCKS_HERE:
            raise
        raise CacheError(f"{directory.root}", what, _ANOTHER) from exc
    if (second := directory.lock()) is not None:
        second.release()
        lock.release()
        raise CacheError(f"{directory.root}", what, _ANOTHER)
    return lock


def _check_owner(place: Path) -> None:
    status = os.lstat(place)
    if not stat.S_ISDIR(status.st_mode):
        raise CacheError(f"{place}", "is a link or a file, where the cache has a directory.", "Remove it")
    if status.st_uid != os.geteuid():
        raise CacheError(f"{place}", f"belongs to another user (number {status.st_uid}).", _ANOTHER)
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise CacheError(f"{place}", "can be written by others, who could put other data there.", f"chmod go-w {place}")


def _read_mark(root: Path) -> _Mark:
    path = root / _MARK
    try:
        mark = msgspec.json.decode(path.read_bytes(), type=_Mark)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise CacheError(f"{path}", "is damaged.", "Remove the directory, which holds copies only") from exc
    if (mark.format, mark.version) != (_Mark().format, _Mark().version):
        what = f"is of format {mark.format!r}, version {mark.version}, which this pyloader does not read."
        raise CacheError(f"{path}", what, "Give another directory: cache_dir=..., or PYLOADER_CACHE=...")
    return mark


def _write_mark(root: Path, mark: _Mark) -> None:
    beside = root / f"{_MARK}.new"
    beside.write_bytes(msgspec.json.encode(mark))
    os.replace(beside, root / _MARK)
