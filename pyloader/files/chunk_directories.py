"""Directories that are one chunk: *.columns, *.zarr, *.lance; and how large a chunk is.

Where bytes of such a directory have a place, it is that in its files one after another, sorted by name.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["FileSpan", "chunk_bytes", "chunk_files", "file_spans", "is_chunk_directory", "spans_within"]

_FLAT, _DEEP = ".columns", (".zarr", ".lance")


class FileSpan(NamedTuple):
    """A file of a directory, or some bytes of it."""

    name: str
    start: int  # in bytes, among all bytes of the directory; of some bytes of a file, in that file
    stop: int


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


def file_spans(path: str | os.PathLike[str]) -> list[FileSpan]:
    """Return where the files of a directory are among all its bytes, sorted."""
    spans, start = [], 0
    for name, size in sorted(chunk_files(path)):
        spans.append(FileSpan(name, start, start + size))
        start += size
    return spans


def spans_within(spans: Sequence[FileSpan], start: int, stop: int) -> Iterator[FileSpan]:
    """Yield which bytes of which files are those from `start` to `stop` of a directory.

    Args:
      spans: All its files, as `file_spans` gives them.
      start: The first byte.
      stop: The byte after the last one.
    """
    first = max(0, bisect_right(spans, start, key=lambda span: span.start) - 1)
    for name, low, high in spans[first:]:
        if low >= stop:
            return
        if start < high:
            yield FileSpan(name, max(start, low) - low, min(stop, high) - low)
