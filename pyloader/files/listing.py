"""Which chunk files a directory, a glob, a list or a manifest names."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import xxhash

from pyloader.errors import DataDirError, ManifestError
from pyloader.files.manifest import MANIFEST_NAME, Manifest, read_manifest

__all__ = ["ChunkList", "DataDir", "list_chunks"]

DataDir: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"

_NOT_CHUNKS = {"readme", "license", "licence", "changelog", "notes"}


@dataclass(frozen=True)
class ChunkList:
    """The chunks of a dataset, sorted by name.

    Attributes:
      root: The directory that the names are relative to.
      names: The chunks' paths relative to `root`, with forward slashes, sorted.
      sizes: int64 array of shape [len(names)]: bytes on disk.
      manifest: What is known of them, or None.
    """

    root: Path
    names: tuple[str, ...]
    sizes: np.ndarray
    manifest: Manifest | None = None

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> str:
        """Return where chunk `index` is."""
        return os.path.join(self.root, self.names[index])

    @cached_property
    def counts(self) -> np.ndarray | None:
        """int64 array of shape [len(self)]: samples in each chunk; None without a manifest."""
        if self.manifest is None:
            return None
        return np.array([chunk.num_samples for chunk in self.manifest.chunks], np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when names, sizes or counts do, but not when the directory moves."""
        digest = xxhash.xxh3_64("\n".join(self.names).encode())
        digest.update(self.sizes.astype("<i8").tobytes())
        if self.counts is not None:
            digest.update(self.counts.astype("<i8").tobytes())
        return digest.hexdigest()


def list_chunks(data_dir: DataDir) -> ChunkList:
    """Find the chunks.

    Args:
      data_dir: A directory (searched with its subdirectories), a glob pattern, a manifest.json, one chunk, or a list of
        chunks.  A directory that holds a manifest.json is exactly what the manifest lists.  Hidden files, names that
        begin with "_", READMEs and licences are no chunks; a directory called *.columns is one.

    Raises:
      DataDirError: nothing is there, or two datasets are.
      ManifestError: the directory differs from its manifest.
    """
    if isinstance(data_dir, str | os.PathLike):
        return _list_place(Path(data_dir), os.fspath(data_dir))
    return _from_paths([Path(path) for path in data_dir], shown="the list of chunks")


def is_chunk_name(name: str) -> bool:
    """Tell whether a file of this name can be a chunk, by its name alone."""
    stem = name.partition(".")[0].lower()
    return not name.startswith((".", "_")) and name != MANIFEST_NAME and stem not in _NOT_CHUNKS


def chunk_bytes(path: str | os.PathLike[str]) -> int:
    """Return a chunk's size on disk; a directory's is that of its files."""
    if os.path.isdir(path):
        return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())
    return os.stat(path).st_size


def _list_place(place: Path, shown: str) -> ChunkList:
    if place.name == MANIFEST_NAME and place.is_file():
        return _from_manifest(place)
    if place.suffix == ".columns" or place.is_file():
        return _from_paths([place], shown)
    if place.is_dir():
        return _from_directory(place, shown)
    if glob.has_magic(shown):
        return _from_paths([Path(found) for found in sorted(glob.glob(shown, recursive=True))], shown)
    raise DataDirError(shown, "there is no such directory.")


def _from_directory(root: Path, shown: str) -> ChunkList:
    if (root / MANIFEST_NAME).is_file():
        return _from_manifest(root / MANIFEST_NAME)
    manifests = sorted(path.parent for path in root.rglob(MANIFEST_NAME) if not _is_hidden(path.relative_to(root)))
    if len(manifests) == 1:
        return _from_manifest(manifests[0] / MANIFEST_NAME)
    if manifests:
        named = " and ".join(f"{path.relative_to(root)}/" for path in manifests)
        raise DataDirError(
            shown, f"holds {len(manifests)} chunk sets, {named}.", f"Name one: data_dir={str(manifests[-1])!r}"
        )
    return _from_paths(list(_walk(root)), shown, root)


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _walk(directory: Path) -> Iterator[Path]:
    with os.scandir(directory) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if not is_chunk_name(entry.name):
            continue
        if entry.is_dir() and not entry.name.endswith(".columns"):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)


def _from_paths(paths: Sequence[Path], shown: str, root: Path | None = None) -> ChunkList:
    paths = [path for path in paths if is_chunk_name(path.name)]
    if not paths:
        raise DataDirError(
            shown,
            "holds no chunk files.",
            "Make some: pyloader split DUMP... DIR",
        )
    if root is None:
        root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
        paths = [path.absolute() for path in paths]
    names = sorted(path.relative_to(root).as_posix() for path in paths)
    for name, following in itertools.pairwise(names):
        if name == following:
            raise DataDirError(shown, f"names {name} twice.", "Name each chunk once")
    return ChunkList(root, tuple(names), _sizes(root, names))


def _sizes(root: Path, names: Iterable[str]) -> np.ndarray:
    sizes = []
    for name in names:
        try:
            sizes.append(chunk_bytes(root / name))
        except FileNotFoundError as exc:
            raise DataDirError(str(root / name), "there is no such chunk.") from exc
    return np.array(sizes, np.int64)


def _from_manifest(path: Path) -> ChunkList:
    manifest, root = read_manifest(path), path.parent
    if not manifest.chunks:
        raise DataDirError(str(path), "lists no chunks.", "Make some: pyloader split DUMP... DIR")
    names = tuple(chunk.file for chunk in manifest.chunks)
    for entry in manifest.chunks:
        try:
            found = chunk_bytes(root / entry.file)
        except FileNotFoundError as exc:
            raise _differs(path, f"lists {entry.file}, which is missing.") from exc
        if found != entry.num_bytes:
            raise _differs(path, f"says that {entry.file} has {entry.num_bytes:,} bytes; it has {found:,}.")
    listed = set(names)
    extra = [name for name in (path.relative_to(root).as_posix() for path in _walk(root)) if name not in listed]
    suffixes = {_suffixes(name) for name in names}
    if extra := [name for name in extra if _suffixes(name) in suffixes]:
        raise _differs(path, f"does not list {extra[0]}{f' and {len(extra) - 1:,} more' if len(extra) > 1 else ''}.")
    return ChunkList(root, names, np.array([chunk.num_bytes for chunk in manifest.chunks], np.int64), manifest)


def _suffixes(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2]


def _differs(path: Path, what: str) -> ManifestError:
    return ManifestError(str(path), what, f"See what is wrong: pyloader verify {path.parent}")
