"""Directories that are one chunk: *.columns, *.zarr, *.lance; and how large a chunk is."""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["chunk_bytes", "chunk_files", "is_chunk_directory"]

_FLAT, _DEEP = ".columns", (".zarr", ".lance")


def is_chunk_directory(name: str) -> bool:
    """Tell whether a directory of this name is one chunk: *.columns, *.zarr and *.lance are."""
    return name.endswith((_FLAT, *_DEEP))


def chunk_bytes(path: str | os.PathLike[str]) -> int:
    """Return a chunk's size on disk; a directory's is that of its files."""
    if os.path.isdir(path):
        return sum(size for _, size in chunk_files(path))
    return os.stat(path).st_size


def chunk_files(path: str | os.PathLike[str]) -> Iterator[tuple[str, int]]:
    """Yield (name, bytes) of the files of a directory that is a chunk, in any order.

    Names are relative to it.  Of *.columns they are those in it, of others those below it as well, without links to
    directories.
    """
    is_deep = os.fspath(path).endswith(_DEEP)
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(os.path.join(path, prefix)) as entries:
            for entry in entries:
                if entry.is_file():
                    yield prefix + entry.name, entry.stat().st_size
                elif is_deep and entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{prefix}{entry.name}/")
