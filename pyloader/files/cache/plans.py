"""The plan of a loader, in a file that other processes read: what it needs at once, and which entries it reads next.

The file is locked as long as its process lives, so a plan ends with the process, however that ends.  All of it is
written and read under the lock of the directory, but for the position: that is one write of eight bytes.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from threading import Lock

import numpy as np

from pyloader.files.cache.locks import FileLock, take_lock

__all__ = ["Plan", "PlanFile", "live_plans", "plan_bytes"]

_NAME = re.compile(r"[0-9]+-[0-9a-f]{8}")
_FORMAT = 0x31306E616C507970  # pyPlan01
_HEADER = 5  # int64 numbers: format, bytes needed, the position of the first key, how many keys, the position now
_POSITION_AT = 4 * 8


def plan_bytes(num_keys: int) -> int:
    """Return the size of the file of a plan with so many keys."""
    return (_HEADER + num_keys) * 8


class PlanFile:
    """The plan of a loader of this process, until `close`; several threads may use it.

    Args:
      directory: Where the plans of all loaders are.
      needed: How many bytes of entries the loader must be able to hold at once.

    Raises:
      OSError: the disk is full, among others.
    """

    def __init__(self, directory: Path, needed: int) -> None:
        self._path = directory / f"{os.getpid()}-{os.urandom(4).hex()}"
        self._needed, self._position = needed, 0
        self._process, self._is_closed, self._guard = os.getpid(), False, Lock()
        lock = take_lock(self._path)
        assert lock is not None, "the name is new, and the caller holds the directory's lock"
        self._lock: FileLock = lock
        try:
            self._write_header(first=0, num_keys=0)
        except BaseException:
            self.close()
            raise

    def foresee(self, keys: np.ndarray, *, first: int) -> None:
        """Write down the keys of the reads `first`, `first` + 1, ...; under the directory's lock.

        Where the disk is full, nothing is foreseen: eviction knows less then, and all else goes on.
        """
        if self._process == os.getpid():
            with self._guard:
                if not self._is_closed:
                    self._write_keys(keys, first)

    def advance(self, position: int) -> None:
        """Say that all reads before the `position`-th are done."""
        if self._process == os.getpid():
            with self._guard:
                self._position = position
                if not self._is_closed:  # else the descriptor may be that of another file by now
                    os.pwrite(self._lock.descriptor, position.to_bytes(8, "little"), _POSITION_AT)

    def close(self) -> None:
        """Remove the file; does nothing the second time, and in a forked child."""
        if self._process == os.getpid():
            with self._guard:
                self._is_closed = True
                self._path.unlink(missing_ok=True)
                self._lock.release()

    def _write_keys(self, keys: np.ndarray, first: int) -> None:
        self._write_header(first=first, num_keys=0)
        os.ftruncate(self._lock.descriptor, _HEADER * 8)
        with contextlib.suppress(OSError):
            data = keys.astype("<u8").tobytes()
            if os.pwrite(self._lock.descriptor, data, _HEADER * 8) == len(data):
                self._write_header(first=first, num_keys=len(keys))

    def _write_header(self, *, first: int, num_keys: int) -> None:
        header = np.array([_FORMAT, self._needed, first, num_keys, self._position], "<i8")
        os.pwrite(self._lock.descriptor, header.tobytes(), 0)


class Plan:
    """The plan of a live loader, as its file says."""

    def __init__(self, path: Path, header: np.ndarray, num_bytes: int) -> None:
        self._path, self.num_bytes = path, num_bytes
        _, self.needed, self._first, self._num_keys, self._position = map(int, header)

    @property
    def process(self) -> int:
        """The number of its process."""
        return int(self._path.name.partition("-")[0])

    def upcoming(self) -> np.ndarray:
        """Return the keys of the reads that are not done, in order: a uint64 array."""
        done = min(max(0, self._position - self._first), self._num_keys)
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            return np.fromfile(self._path, "<u8", count=self._num_keys - done, offset=(_HEADER + done) * 8)
        return np.empty(0, np.uint64)


def live_plans(directory: Path) -> list[Plan]:
    """Return the plans of all loaders that live, and remove the others; under the directory's lock."""
    plans = []
    for name in sorted(filter(_NAME.fullmatch, os.listdir(directory))):
        path = directory / name
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            header = np.fromfile(path, "<i8", count=_HEADER)
            num_bytes = path.stat().st_size
            if num_bytes and (len(header) < _HEADER or header[0] != _FORMAT):
                continue  # not the cache's
            if (lock := take_lock(path)) is None:
                plans.append(Plan(path, header, num_bytes))
            else:
                path.unlink()
                lock.release()
    return plans
