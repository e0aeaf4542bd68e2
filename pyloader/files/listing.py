"""Which chunk files a directory, a glob, a list or a manifest names."""

from __future__ import annotations

import difflib
import glob
import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np

from pyloader.errors import DataDirError, ManifestError
from pyloader.files.chunk_directories import chunk_bytes, is_chunk_directory
from pyloader.files.chunk_list import ChunkList, form_of
from pyloader.files.coming import STAGING_NAME, coming_chunks
from pyloader.files.entries import unorderable
from pyloader.files.manifest import (
    MANIFEST_NAME,
    ChunkEntry,
    Manifest,
    index_name,
    is_index_of_file,
    is_manifest_name,
    read_manifest,
)
from pyloader.files.saved_datasets import without_unlisted
from pyloader.files.scanning import Scan, is_chunk_name, scan_directory
from pyloader.files.stored import StoreOptions
from pyloader.files.stored_choices import list_address, list_named
from pyloader.files.stored_listing import list_by_manifest
from pyloader.files.stores import parse_address, printable, store_scheme
from pyloader.files.versions import kept_chunks, read_versions

__all__ = [
    "DataDir",
    "chunks_of_scan",
    "find_manifests",
    "in_version_of",
    "list_chunks",
    "manifest_below",
    "no_such_place",
]

DataDir: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"

_SHOWN = 255  # characters of a name, in an error
_MAKE_SOME = "Make some: pyloader split DUMP... DIR"
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing"}


def list_chunks(data_dir: DataDir, store: StoreOptions | None = None, *, version: int | None = None) -> ChunkList:
    """Find the chunks.

    Args:
      data_dir: A directory (searched with its subdirectories), a glob pattern, a manifest.json, one chunk, or a list of
        chunks.  A directory that holds a manifest.json is exactly what the manifest lists.  In a directory, and among
        what a pattern matches, `is_chunk_name` decides; what is named one by one is taken as it is.  A directory called
        *.columns, *.zarr or *.lance is a chunk.  An address (s3://bucket/chunks) is a directory of a store, a pattern
        (s3://bucket/*.parquet) or one file; a list names chunks of one store.
      store: How an address is read; None by the defaults.
      version: Which version of the set; None is the newest.  Sets in stores have only that one.

    Raises:
      DataDirError: nothing is there, or two datasets are.
      ManifestError: the directory differs from its manifest, or there is no such version.
    """
    if isinstance(data_dir, str | os.PathLike):
        place = os.fspath(data_dir)
        scheme = store_scheme(place)
        if scheme and scheme != "file":
            return list_address(place, store or StoreOptions(), version=version)
        return _list_place(f"/{parse_address(place).path}" if scheme else place, version, store)
    if not isinstance(data_dir, Sequence) or isinstance(data_dir, bytes):
        raise TypeError(f"data_dir must be a directory, a glob, a manifest or a list of chunks, got {data_dir!r}")
    _check_no_version(version)
    places = [os.fspath(path) for path in data_dir]
    if any(store_scheme(place) not in ("", "file") for place in places):
        return list_named(places, store or StoreOptions())
    return _from_paths(places, "the list of chunks")


def find_manifests(place: str | os.PathLike[str]) -> list[Path]:
    """Return the manifests that speak for `place`: itself, the one in it or beside it, or all those below it.

    Raises:
      DataDirError: there is no such directory, or it holds chunks beside the sets with a manifest.
    """
    path = Path(place)
    if is_manifest_name(path.name) and path.is_file():
        return [path]
    if (path / MANIFEST_NAME).is_file():
        return [path / MANIFEST_NAME]
    if index := _index_beside(path):
        return [index[0]]
    if path.is_file():
        return []  # one large file that has no index
    if not path.is_dir():
        raise no_such_place(os.fspath(place))
    scan = scan_directory(path)
    _check_nothing_outside(path, scan, os.fspath(place))
    return [path / below / MANIFEST_NAME for below in scan.manifests]


def chunks_of_scan(root: Path, scan: Scan, shown: str) -> ChunkList:
    """Return the chunks that a walk through `root` found, whatever a manifest says.

    Raises:
      DataDirError: there are none, or two datasets, or something that looks like a chunk cannot be read.
    """
    for name, problem in sorted(scan.unreadable.items()):
        raise DataDirError(os.path.join(root, name), f"{problem}.")
    for name in scan.unfinished:
        raise DataDirError(os.path.join(root, name), "is an unfinished download.", "Let it finish, or remove it")
    splits = sorted({name.partition("/")[0] for name in scan.chunks if "/" in name} & _SPLITS)
    if len(splits) > 1:
        raise _several(root, splits, shown)
    coming = {
        os.path.join(place, name)
        for place in _places(scan)
        for name in coming_chunks(root / place) | kept_chunks(root / place)
    }
    chunks = {name: size for name, size in without_unlisted(root, scan.chunks).items() if name not in coming}
    if not chunks:
        hint = "Those that are being put in place count when their manifest is there" if coming else _MAKE_SOME
        if (root / STAGING_NAME).is_dir():
            hint = "A split was begun here: its command goes on with it"
        raise DataDirError(shown, "holds no chunk files.", hint)
    return ChunkList(root, tuple(chunks), np.array(list(chunks.values()), np.int64))


def in_version_of(chunks: ChunkList, fingerprint: str, number: int | None) -> ChunkList | None:
    """Return a set in the version that has a fingerprint; None where none has.

    Args:
      chunks: The set, in some version.
      fingerprint: Of the chunks that are meant.
      number: The number that their version is said to have; None is not said.

    Raises:
      ManifestError: chunks of that version were deleted, or differ from what is known of them.
    """
    if chunks.newest is None or (chunks.fingerprint == fingerprint and chunks.data_version == number):
        return chunks if chunks.fingerprint == fingerprint else None
    versions = read_versions(chunks.root, chunks.newest)
    if found := versions.with_fingerprint(fingerprint, number or 1):
        return list_chunks(chunks.root, version=found.number)
    newest = list_chunks(chunks.root)
    return newest if newest.fingerprint == fingerprint else None


def no_such_place(shown: str) -> DataDirError:
    """Return the error for a path that does not exist, with the one that was perhaps meant."""
    if scheme := store_scheme(shown):
        what = f"is an address ({scheme}://), not a path."
        return DataDirError(printable(shown), what, "Give one address, or a list of addresses alone")
    parent, name = os.path.split(shown.rstrip("/"))
    if os.path.isdir(parent or "."):
        close = difflib.get_close_matches(name, os.listdir(parent or "."), n=1)
        hint = f"Did you mean {os.path.join(parent, close[0])!r}?" if close else ""
    else:
        hint = f"There is no directory {parent} either"
    home = os.path.expanduser(shown)
    if home != shown and os.path.exists(home):
        hint = f"Did you mean {home!r}?"
    return DataDirError(shown, "does not exist.", hint)


def _list_place(shown: str, version: int | None, store: StoreOptions | None) -> ChunkList:
    place = Path(shown)
    if not shown:
        raise DataDirError("data_dir=''", "names no directory.")
    if is_manifest_name(place.name) and place.is_file():
        if store_scheme((manifest := read_manifest(place)).root) not in ("", "file"):
            _check_no_version(version)
            return list_by_manifest(manifest, shown, store or StoreOptions())
        return _from_manifest(place, version, is_named=True)
    if not (place / MANIFEST_NAME).is_file() and (index := _index_beside(place)):
        return _from_manifest(index[0], version, manifest=index[1])
    if place.is_dir() and not is_chunk_directory(place.name):
        return _from_directory(place, shown, version)
    _check_no_version(version)
    if place.exists():
        return replace(_from_paths([shown], shown), named=shown)
    if glob.has_magic(shown):
        return _from_paths(_matches(shown), shown)
    raise no_such_place(shown)


def _index_beside(place: Path) -> tuple[Path, Manifest] | None:
    """Return where the index of a large file is, and what it says; None where there is none."""
    index = place.with_name(index_name(place.name)) if place.name else place
    if not index.is_file():
        return None
    manifest = read_manifest(index)
    return (index, manifest) if is_index_of_file(index, manifest) else None


def _check_no_version(version: int | None) -> None:
    if version is not None:
        raise ValueError(f"data_version={version} needs a data_dir with a {MANIFEST_NAME}: others have no versions")


def _from_directory(root: Path, shown: str, version: int | None) -> ChunkList:
    while not (root / MANIFEST_NAME).is_file():
        scan = scan_directory(root)
        if scan.manifests == [""]:
            continue  # it has come during the walk
        if manifest := manifest_below(root, scan, shown):
            return _from_manifest(manifest, version)
        try:
            found = chunks_of_scan(root, scan, shown)
        except DataDirError:
            if not _have_manifest(root, scan):
                raise
            continue
        if not _have_manifest(root, scan):
            _check_no_version(version)
            return found
    return _from_manifest(root / MANIFEST_NAME, version)


def _have_manifest(root: Path, scan: Scan) -> bool:
    """Tell whether a writer has put a manifest beside the chunks since the walk that found none."""
    return any((root / place / MANIFEST_NAME).is_file() for place in _places(scan))


def _places(scan: Scan) -> set[str]:
    """Return the directories that hold the chunks of a walk, and "" for the one where it began."""
    return {"", *map(os.path.dirname, scan.chunks)}


def manifest_below(root: Path, scan: Scan, shown: str) -> Path | None:
    """Return the only manifest in the directories below `root`, or None.

    Raises:
      DataDirError: there are several, or chunks outside of the only one's directory.
    """
    if not scan.manifests:
        return None
    if len(scan.manifests) > 1:
        raise _several(root, scan.manifests, shown)
    _check_nothing_outside(root, scan, shown)
    return root / scan.manifests[0] / MANIFEST_NAME


def _check_nothing_outside(root: Path, scan: Scan, shown: str) -> None:
    sets = tuple(f"{name}/" for name in scan.manifests)
    outside = [name for name in scan.chunks if not name.startswith(sets)]
    if sets and outside:
        one = len(sets) == 1
        held = f"a chunk set, {sets[0]}," if one else f"{len(sets):,} chunk sets, {' '.join(sets)},"
        found = f"{len(outside):,} chunk file{'s' if len(outside) > 1 else ''} outside of {'it' if one else 'them'}"
        what = f"holds {held} and {found}, {outside[0]} first."
        raise DataDirError(shown, what, f"Name one: {_as_option(root / scan.manifests[0])}")


def _from_manifest(
    path: Path, version: int | None, *, is_named: bool = False, manifest: Manifest | None = None
) -> ChunkList:
    while True:
        manifest = manifest or read_manifest(path)
        try:
            return _listed_in(path, manifest, version, is_named=is_named)
        except ManifestError:
            if not path.is_file() or (now := read_manifest(path)) == manifest:
                raise
            manifest = now  # a writer has put another manifest here since the first was read: look again


def _listed_in(path: Path, newest: Manifest, version: int | None, *, is_named: bool) -> ChunkList:
    has_versions = path.name == MANIFEST_NAME and not newest.root
    if version is not None and not has_versions:
        raise ManifestError(str(path), "lists chunks in another directory, and has no versions.")
    manifest = newest if version is None else read_versions(path.parent, newest).manifest_of(version)
    if manifest.root and not is_named:
        where = f"lists chunks in another directory, {manifest.root}."
        raise ManifestError(str(path), where, f"To go there, name the manifest: {_as_option(path)}")
    if not manifest.chunks:
        raise DataDirError(str(path), "lists no chunks.", _MAKE_SOME)
    root = path.parent / manifest.root
    is_of_directory = path.name == MANIFEST_NAME or not is_index_of_file(path, manifest)
    scan = scan_directory(root) if is_of_directory else Scan()
    if problem := unorderable(manifest.chunks):
        raise _differs(path, problem)
    for entry in manifest.chunks:
        source = entry.source
        try:
            if source not in scan.chunks:
                scan.chunks[source] = chunk_bytes(root / source)
        except FileNotFoundError as exc:
            raise _differs(path, f"lists {source}, which is missing.") from exc
        except OSError as exc:  # a name that is too long, say
            raise _differs(path, f"lists {source[:_SHOWN]}, which cannot be read ({exc.strerror}).") from exc
        _compare_size(path, entry, scan.chunks[source])
    listed = {chunk.source for chunk in (*manifest.chunks, *newest.chunks)}
    forms = {form_of(chunk.source) for chunk in manifest.chunks}
    extra = [name for name in without_unlisted(root, scan.chunks).keys() - listed if form_of(name) in forms]
    if extra and (others := coming_chunks(root) | kept_chunks(root)):
        extra = [name for name in extra if name not in others]
    if extra:
        raise _differs(path, f"does not list {min(extra)}{f' and {len(extra) - 1:,} more' if len(extra) > 1 else ''}.")
    found = _chunk_list(root, manifest, newest if has_versions else None)
    return found if is_of_directory else replace(found, named=found.file(0))


def _from_paths(given: Sequence[str], shown: str) -> ChunkList:
    if not given:
        raise DataDirError(shown, "names no chunks.", _MAKE_SOME)
    paths = sorted(map(os.path.abspath, given))
    for path, following in itertools.pairwise(paths):
        if path == following:
            raise DataDirError(shown, f"names {path} twice.", "Name each chunk once")
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [path[len(root) :].lstrip("/") for path in paths]
    sizes = []
    for path in paths:
        if os.path.isdir(path) and not is_chunk_directory(path):
            hint = "Give one directory, or a list of chunks; several datasets are mixed by name: data_dir={'one': ...}"
            raise DataDirError(shown, f"names the directory {path}.", hint)
        try:
            sizes.append(chunk_bytes(path))
        except FileNotFoundError as exc:
            raise no_such_place(path) from exc
    sized = dict(sorted(zip(names, sizes, strict=True)))
    manifest = _part_of_manifest(Path(root), sized)
    if manifest is None:
        return ChunkList(Path(root), tuple(sized), np.array(list(sized.values()), np.int64))
    return _chunk_list(Path(root), manifest)


def _chunk_list(root: Path, manifest: Manifest, newest: Manifest | None = None) -> ChunkList:
    sizes = np.array([chunk.num_bytes for chunk in manifest.chunks], np.int64)
    return ChunkList(root, tuple(chunk.file for chunk in manifest.chunks), sizes, manifest, newest)


def _part_of_manifest(root: Path, sizes: dict[str, int]) -> Manifest | None:
    """The manifest beside the chunks, cut down to these; None when there is none, or it does not know them all."""
    path = root / MANIFEST_NAME
    if not path.is_file():
        return None
    manifest = read_manifest(path)
    chunks = tuple(chunk for chunk in manifest.chunks if chunk.source in sizes)
    if manifest.root or len({chunk.source for chunk in chunks}) < len(sizes):
        return None
    for chunk in chunks:
        _compare_size(path, chunk, sizes[chunk.source])
    return msgspec.structs.replace(manifest, chunks=chunks)


def _matches(pattern: str) -> list[str]:
    """What `pattern` matches, less what cannot be a chunk by its name, and less what is inside of a chunk."""
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        raise DataDirError(pattern, "matches nothing.", "In a shell, quote the pattern")
    directories = {path for path in found if os.path.isdir(path)}
    fixed = len(list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.split("/"))))
    chunks = []
    for path in found:
        *above, name = path.split("/")[fixed:]
        is_whole = is_chunk_directory(name) if path in directories else True
        is_inside_of_chunk = any(map(is_chunk_directory, above))
        if is_whole and not is_inside_of_chunk and all(map(is_chunk_name, [*above, name])):
            chunks.append(path)
    if not chunks:
        what = "directories" if directories else "files that are no chunks by their names"
        raise DataDirError(pattern, f"matches only {what}, {found[0]} first.", "Name one directory, or match files")
    return chunks


def _compare_size(path: Path, entry: ChunkEntry, found: int) -> None:
    if found != entry.source_bytes:
        what = f"says that {entry.source} has {entry.source_bytes:,} bytes; it has {found:,}."
        raise _differs(path, what)


def _differs(path: Path, what: str) -> ManifestError:
    place = path.parent if path.name == MANIFEST_NAME else path
    return ManifestError(str(path), what, f"See what is wrong: pyloader verify {place}")


def _several(root: Path, sets: Sequence[str], shown: str) -> DataDirError:
    number = {2: "two", 3: "three", 4: "four"}.get(len(sets), f"{len(sets):,}")
    named = " and ".join([", ".join(f"{name}/" for name in sets[:-1]), f"{sets[-1]}/"])
    if len(sets) > 4:
        named = f"{sets[0]}/, {sets[1]}/ and {len(sets) - 2:,} more"
    return DataDirError(shown, f"holds {number} chunk sets, {named}.", f"Name one: {_as_option(root / sets[0])}")


def _as_option(path: Path) -> str:
    return f"data_dir={str(path)!r}"
