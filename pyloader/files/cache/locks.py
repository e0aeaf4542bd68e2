"""Locks of the cache: flock on a file of its own, which ends with the process and which no forked child keeps."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from pyloader.files.own_files import close_own, open_own

if sys.platform != "win32":
    import fcntl

__all__ = ["FileLock", "take_lock"]


class FileLock:
    """A lock that is held, from `take_lock` to `release` or to the end of the `with`."""

    def __init__(self, descriptor: int) -> None:
        self._process, self._held = os.getpid(), [descriptor]

    @property
    def descriptor(self) -> int:
        """The descriptor of the locked file, open for reading and writing."""
        return self._held[0]

    def share(self) -> bool:
        """Let others share the lock; False when it was lost over that, and is released."""
        if _flock(self.descriptor, shared=True, wait=False):  # not atomic: another may come between
            return True
        self.release()
        return False

    def release(self) -> None:
        """Give the lock back; does nothing the second time, and in a forked child."""
        with contextlib.suppress(IndexError):
            descriptor = self._held.pop()  # once only, whichever thread comes first: numbers are used again
            if self._process == os.getpid():
                close_own(descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def take_lock(path: Path, *, shared: bool = False, wait: bool = False) -> FileLock | None:
    """Take the lock of a file, which is made when it is missing; None when others have it.

    Args:
      path: The file.
      shared: Whether others may share it.
      wait: Whether to wait until it is free, which Ctrl-C ends.
    """
    while True:
        descriptor = open_own(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        try:
            if not _flock(descriptor, shared=shared, wait=wait):
                close_own(descriptor)
                return None
            with contextlib.suppress(FileNotFoundError):  # `prune` has removed it before it was locked
                if os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor)):
                    return FileLock(descriptor)
        except BaseException:
            close_own(descriptor)
            raise
        close_own(descriptor)


def _flock(descriptor: int, *, shared: bool, wait: bool) -> bool:
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    return True
