"""Where a file is that is looked at and not fetched: on this disk, or an object of a store, read by ranges."""

from __future__ import annotations

import io
import os
from collections.abc import Hashable
from functools import partial

from pyloader.errors import ObjectMissingError
from pyloader.files.fetching import FetchTerms, ask_again
from pyloader.files.object_file import ObjectFile
from pyloader.files.stores import Store, Stored

__all__ = ["StoredPath", "bytes_at", "found_beside", "num_bytes_of", "open_bytes"]


class StoredPath(str):
    """The address of an object, in the place of a path: `open_bytes` opens it, and open() finds nothing.

    Args:
      store: Where the object is.
      stored: The object.
      terms: How it is fetched.
    """

    store: Store
    stored: Stored
    terms: FetchTerms

    def __new__(cls, store: Store, stored: Stored, terms: FetchTerms) -> StoredPath:
        made = super().__new__(cls, f"{store.url.rstrip('/')}/{stored.name}")
        made.store, made.stored, made.terms = store, stored, terms
        return made


def open_bytes(path: str | os.PathLike[str], *, goes_on: bool = True) -> io.RawIOBase:
    """Open a file for reading bytes, without a buffer.

    Args:
      path: The file.
      goes_on: Whether it will be read from the first place on towards its end: of an object one request brings that.

    Raises:
      OSError: as open() does.
      StoreError: while reading: an object cannot be had, or has changed.
    """
    if isinstance(path, StoredPath):
        stop = path.stored.size if goes_on else 0
        return ObjectFile(path.store, path.stored, path.terms, stop=stop, needs_ranges=True)
    return io.FileIO(os.fspath(path))


def num_bytes_of(path: str | os.PathLike[str]) -> int:
    """Return the size of a file in bytes."""
    return path.stored.size if isinstance(path, StoredPath) else os.path.getsize(path)


def found_beside(path: str | os.PathLike[str], name: str) -> tuple[str, Hashable] | None:
    """Return the path of another file in the same directory, and what changes when it does; None where there is none.

    Raises:
      StoreError: the store cannot be asked.
    """
    if isinstance(path, StoredPath):
        above, slash, _ = path.stored.name.rpartition("/")
        try:
            stored = ask_again(partial(path.store.head, f"{above}{slash}{name}"))
        except ObjectMissingError:
            return None
        return StoredPath(path.store, stored, path.terms), (stored.version, stored.size)
    found = os.path.join(os.path.dirname(path), name)
    try:
        status = os.stat(found)
    except OSError:
        return None
    return found, (status.st_mtime_ns, status.st_size)


def bytes_at(file: io.RawIOBase, start: int, num_bytes: int) -> bytes:
    """Return bytes of a file that `open_bytes` has opened; fewer at its end."""
    if not isinstance(file, ObjectFile):
        return os.pread(file.fileno(), num_bytes, start)
    file.seek(start)
    found = bytearray()
    while part := file.read(num_bytes - len(found)):
        found += part
    return bytes(found)
