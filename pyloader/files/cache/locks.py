"""Locks of the cache: flock on a file of its own, which ends with the process and which no forked child keeps."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from pyloader.files.own_files import OwnFile

if sys.platform != "win32":
    import fcntl

__all__ = ["FileLock", "take_lock"]


class FileLock:
    """A lock that is held, from `take_lock` to `release`, to the end of the `with`, or until it is collected.

    Attributes:
      descriptor: That of the locked file, open for reading and writing.
    """

    def __init__(self, file: OwnFile) -> None:
        self._file, self.descriptor = file, file.descriptor

    def share(self) -> bool:
        """Let others share the lock; False when it was lost over that, and is released."""
        if _flock(self.descriptor, shared=True, wait=False):  # not atomic: another may come between
            return True
        self.release()
        return False

    def release(self) -> None:
        """Give the lock back; does nothing the second time, and in a forked child."""
        self._file.close()

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
        file = OwnFile(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        try:
            if not _flock(file.descriptor, shared=shared, wait=wait):
                file.close()
                return None
            with contextlib.suppress(FileNotFoundError):  # `prune` has removed it before it was locked
                if os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(file.descriptor)):
                    return FileLock(file)
        except BaseException:
            file.close()
            raise
        file.close()


def _flock(descriptor: int, *, shared: bool, wait: bool) -> bool:
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    return True
