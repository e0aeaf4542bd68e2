"""A file or directory is at its place whole, or not at all: written beside, synced, renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyloader.errors import WriteError
from pyloader.files.no_room import no_room

__all__ = ["remove", "sync", "sync_in_place", "write_text_whole", "written_whole"]

_WRITING = ".writing"


@contextmanager
def written_whole(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """Give the path to write to; at the end of the `with`, what was written there is synced and renamed to `path`.

    After an exception nothing is left of it.

    Args:
      path: The file, or directory of files.
      synced: Whether it lasts through a power failure; else whoever relies on it calls `sync_in_place` first.

    Raises:
      WriteError: the disk is full, or a limit was reached.
    """
    # In a directory made for it: making one fails where anything is, so no link that was put there is ever followed.
    room = path.with_name(f".{path.name}{_WRITING}")
    remove(room)
    beside = room / path.name
    try:
        room.mkdir()
        yield beside
        if synced:
            _sync_whole(beside)
        if beside.is_dir():
            remove(path)  # a directory cannot be renamed onto one that holds files
        os.replace(beside, path)
        room.rmdir()
        if synced:
            sync(path.parent)
    except BaseException as exc:
        remove(room)
        if full := no_room(path, exc):
            raise full from exc
        raise


def write_text_whole(path: Path, text: str, advice: str) -> None:
    """Write a text as UTF-8; it may not last through a power failure.

    Args:
      path: The file.
      text: What it will hold.
      advice: What to do where it cannot be written.

    Raises:
      WriteError: it cannot be written.
    """
    try:
        with written_whole(path, synced=False) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise WriteError(str(path), f"cannot be written: {exc.strerror or exc}.", advice) from exc


def remove(path: Path) -> None:
    """Remove a file, a directory, or a link (never what it points to), if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_in_place(path: Path) -> None:
    """Make what `written_whole` has put at `path`, not synced, last through a power failure."""
    _sync_whole(path)
    sync(path.parent)


def _sync_whole(path: Path) -> None:
    for file in sorted(path.iterdir()) if path.is_dir() else ():
        sync(file)
    sync(path)


def sync(path: Path) -> None:
    """Make a file, or the names in a directory, last through a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
