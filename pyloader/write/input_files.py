"""The files of a dump, on a disk or in an object store: what is known of each, and how it is opened."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import IO, NamedTuple, TypeAlias

from pyloader.deliver import Pauses
from pyloader.files import FetchTerms, ObjectFile, open_packed, store_scheme
from pyloader.files.stores import Address, Store, Stored, open_store, parse_address

__all__ = ["InputFile", "InputName", "InputNames", "as_names", "input_file", "open_input", "place_of", "store_of"]

InputName: TypeAlias = "str | os.PathLike[str]"
InputNames: TypeAlias = "InputName | Sequence[InputName] | Mapping[str, InputName | Sequence[InputName]]"


class InputFile(NamedTuple):
    """A file of a dump.

    Attributes:
      path: As it was named; of an object in a store, its address.
      num_bytes: Its size.
      modified_ns: When it was changed last, nanoseconds since 1970; 0 when unknown.
      column: The column that it was named for; "" where no column was.
      object_version: Of an object, the version that is read; "" for a file on a disk.
    """

    path: str
    num_bytes: int
    modified_ns: int
    column: str = ""
    object_version: str = ""

    def __fspath__(self) -> str:
        return self.path

    @property
    def is_stored(self) -> bool:
        """Whether it is an object in a store."""
        return bool(store_scheme(self.path))


def input_file(path: str, column: str = "") -> InputFile:
    """Return what is known of a file on a disk."""
    about = os.stat(path)
    return InputFile(path, about.st_size, about.st_mtime_ns, column)


def open_input(file: InputFile | str, *, packing: str | None = None, stop: int = 0) -> IO[bytes]:
    """Open an input for reading, at its beginning.

    Args:
      file: The input, or the path of a file on a disk.
      packing: As `open_packed` has it: None goes by the suffix, "" unpacks nothing.
      stop: Of an object: up to where it will be read, 0 when unknown.

    Raises:
      OSError: a file cannot be opened.
      StoreError: while reading: an object cannot be had, or has changed.
      ChunkReadError: while reading: a packed file is damaged.
    """
    if isinstance(file, str) or not file.is_stored:
        return open_packed(file if isinstance(file, str) else file.path, packing=packing)
    store, name = place_of(parse_address(file.path))
    raw = ObjectFile(store, Stored(name, file.num_bytes, file.object_version), FetchTerms(wait=Pauses()), stop=stop)
    return open_packed(file.path, packing=packing, raw=raw)


def place_of(address: Address) -> tuple[Store, str]:
    """Return the store of the directory that an address is in, and the name of its place there."""
    above, name = address.parent()
    return store_of(above), urllib.parse.unquote(name) if address.scheme in ("http", "https") else name


def store_of(directory: Address) -> Store:
    """Return the store of a directory, with the keys and endpoints of the environment.

    All that read from it share it: its connections serve one request after another.
    """
    return _store(directory, frozenset(os.environ.items()))


@lru_cache(maxsize=64)
def _store(directory: Address, _environment: frozenset[tuple[str, str]]) -> Store:
    return open_store(directory)


def as_names(names: InputName | Sequence[InputName]) -> list[InputName]:
    """Return one name, or several, as a list."""
    return [names] if isinstance(names, str | os.PathLike) else list(names)
