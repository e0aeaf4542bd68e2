"""A file or directory is at its place whole, or not at all: written beside, synced, renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyloader.errors import SplitError

__all__ = ["WRITING", "disk_full", "remove", "sync_directory", "written_whole"]

WRITING = ".writing"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give the path to write to; at the end of the `with`, what was written there is synced and renamed to `path`.

    After an exception nothing is left of it.

    Raises:
      SplitError: the disk is full.
    """
    beside = path.with_name(f".{path.name}{WRITING}")
    remove(beside)
    try:
        yield beside
        for file in sorted(beside.iterdir()) if beside.is_dir() else [beside]:
            _sync(file)
        if beside.is_dir():
            sync_directory(beside)
            remove(path)  # a directory cannot be renamed onto one that holds files
        os.replace(beside, path)
        sync_directory(path.parent)
    except BaseException as exc:
        remove(beside)
        if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(path, exc) from exc
        raise


def disk_full(path: Path, exc: OSError) -> SplitError:
    """Return the error for a disk that is full; nothing half-written is left at `path`."""
    return SplitError(
        str(path),
        f"could not be written: {(exc.strerror or 'the disk is full').lower()}.",
        "Make room, then give the same command again: it goes on from here",
    )


def sync_directory(path: Path) -> None:
    """Make the names in the directory `path` last through a power failure."""
    _sync(path)


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
