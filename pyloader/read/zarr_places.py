"""Where the files of a Zarr lie: in a directory, or in a zip file."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

from pyloader.errors import ChunkReadError
from pyloader.files import file_spans
from pyloader.read.zarr_metadata import ZarrError

__all__ = ["ZarrPlace", "open_place"]

_METADATA = (".zarray", "zarr.json")
_METADATA_BYTES = 2**24


class ZarrPlace(Protocol):
    """The files of a Zarr, by names with forward slashes."""

    def names(self) -> list[str]:
        """Return the names of the arrays at the root, sorted."""

    def said(self, name: str) -> dict[str, Any] | None:
        """Return the metadata of an array; None where there is none."""

    def size(self, key: str) -> int | None:
        """Return how many bytes a file has; None where there is none."""

    def read(self, key: str, most: int) -> bytes | None:
        """Return a file; None where there is none.

        Raises:
          ZarrError: it has more bytes than `most`.
        """

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """Return some bytes of a file that is there; fewer where it ends before."""

    def ranges(self, keys: Iterable[str]) -> list[tuple[int, int]]:
        """Return where these files lie, and all that leads there, in bytes of the zip file or of the directory."""


@contextmanager
def open_place(path: str) -> Iterator[ZarrPlace]:
    """Open a directory or a zip file.

    Raises:
      OSError: it is missing or forbidden.
      zipfile.BadZipFile: it is no zip file, or damaged.
    """
    if os.path.isdir(path):
        yield _Directory(path)
        return
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        yield _Archive(path, archive)


class _Files:
    """What directories and zip files have in common."""

    def __init__(self, path: str) -> None:
        self._path = path

    def size(self, key: str) -> int | None:
        raise NotImplementedError

    def opened(self, key: str) -> IO[bytes]:
        raise NotImplementedError

    def read(self, key: str, most: int) -> bytes | None:
        size = self.size(key)
        if size is not None and size > most:
            raise ZarrError(f"has a file of {size:,} bytes, {key}, and {most:,} at most are expected.")
        return None if size is None else self.read_range(key, 0, size)

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        with self.opened(key) as file:
            file.seek(start)
            return file.read(stop - start)

    def said(self, name: str) -> dict[str, Any] | None:
        if ".." in name.split("/"):
            return None
        for file in _METADATA:
            text = self.read(f"{name}/{file}" if name else file, _METADATA_BYTES)
            if text is None:
                continue
            found = json.loads(text)
            if isinstance(found, dict) and found.get("zarr_format") == (2 if file == ".zarray" else 3):
                if found.get("node_type", "array") == "array":
                    return found
                continue
            what = f"has metadata that are damaged ({name}/{file})."
            raise ChunkReadError(self._path, what, "Fetch it again, or make it again")
        return None


class _Directory(_Files):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._spans: dict[str, tuple[int, int]] | None = None
        self._metadata: set[str] = set()

    def names(self) -> list[str]:
        there = sorted(entry.name for entry in os.scandir(self._path) if entry.is_dir())
        return [name for name in there if self.said(name) is not None]

    def size(self, key: str) -> int | None:
        try:
            found = os.stat(os.path.join(self._path, key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def opened(self, key: str) -> IO[bytes]:
        return open(os.path.join(self._path, key), "rb")

    def ranges(self, keys: Iterable[str]) -> list[tuple[int, int]]:
        if self._spans is None:
            self._spans = {name: (start, stop) for name, start, stop in file_spans(self._path)}
            self._metadata = {name for name in self._spans if name.rpartition("/")[2] in _METADATA}
        return [self._spans[name] for name in self._metadata.union(keys) & self._spans.keys()]


class _Archive(_Files):
    def __init__(self, path: str, archive: zipfile.ZipFile) -> None:
        super().__init__(path)
        self._archive = archive
        self._members = {info.filename: info for info in archive.infolist() if not info.is_dir()}

    def names(self) -> list[str]:
        there = sorted({name.partition("/")[0] for name in self._members if "/" in name})
        return [name for name in there if self.said(name) is not None]

    def size(self, key: str) -> int | None:
        found = self._members.get(key)
        return None if found is None else found.file_size

    def opened(self, key: str) -> IO[bytes]:
        return self._archive.open(self._members[key])

    def ranges(self, keys: Iterable[str]) -> list[tuple[int, int]]:
        wanted = set(keys)
        places = sorted(self._members.values(), key=lambda info: info.header_offset)
        ends = [*(info.header_offset for info in places[1:]), self._archive.start_dir]
        wanted |= {name for name in self._members if name.rpartition("/")[2] in _METADATA}
        ranges = [(info.header_offset, end) for info, end in zip(places, ends, strict=True) if info.filename in wanted]
        return [*ranges, (self._archive.start_dir, os.path.getsize(self._path))]
