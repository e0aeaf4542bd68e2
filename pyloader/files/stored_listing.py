"""Which chunks lie at an address of a store, or are listed by a manifest elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import msgspec
import numpy as np

from pyloader.errors import DataDirError, ManifestError
from pyloader.files.chunk_list import ChunkList
from pyloader.files.entries import unorderable
from pyloader.files.fetching import ask_again
from pyloader.files.manifest import (
    MANIFEST_NAME,
    Manifest,
    index_name,
    is_index_of_file,
    is_manifest_name,
    parse_manifest,
    read_manifest,
)
from pyloader.files.stored import StoredChunks, StoreOptions
from pyloader.files.stored_objects import (
    Found,
    above_of,
    asked,
    asked_for,
    by_chunk,
    is_manifest,
    objects_at,
    refuse_sets_below,
    remember,
    remembered,
)
from pyloader.files.stores import Address, Stored, open_store, parse_address, store_scheme

__all__ = [
    "chunk_list",
    "files_at",
    "list_by_manifest",
    "list_stored",
    "listed_in",
    "manifest_elsewhere",
    "not_followed",
    "objects_of_manifest",
]

_NO_LISTS = ("http", "https")
_ELSEWHERE = ".elsewhere"  # in the cache, of what is listed by a manifest that lies elsewhere
_INDEX_ANEW = "Index the address: pyloader index s3://BUCKET/DATA --output PLACE"
_WRITTEN = ("s3", "gs", "az")  # by pyloader split
_MAKE_SOME = "Split to a disk, and copy that directory there: pyloader split DUMP... DIR"


def list_stored(url: str, options: StoreOptions) -> ChunkList:
    """Return the chunks at an address, or at the address of a manifest, or of one file: a chunk, or one with an index.

    Raises:
      DataDirError: nothing is there, or two datasets are.
      ManifestError: the objects differ from the manifest.
      StoreError: the store cannot be asked.
    """
    address, name = parse_address(url).parent()
    if not is_manifest_name(name) or name == MANIFEST_NAME:
        is_named = name == MANIFEST_NAME
        return _list_address(address if is_named else parse_address(url), options, is_named=is_named)
    named = parse_address(url)
    found = remembered(named, options) if options.offline else Found(_read_manifest(address, name, options), ())
    if not options.offline:
        remember(named, found, options)
    assert found.manifest is not None
    return list_by_manifest(parse_manifest(found.manifest, str(named)), str(named), options)


def manifest_elsewhere(place: str, options: StoreOptions) -> Manifest | None:
    """Return the manifest at a place, a path or an address, that lists what is in a store and does not lie there.

    Returns:
      None: it is another place.

    Raises:
      ManifestError: it is damaged.
      StoreError: the store cannot be asked.
    """
    if store_scheme(place) not in ("", "file"):
        above, name = parse_address(place).parent()
        is_one = is_manifest_name(name) and name != MANIFEST_NAME
        return parse_manifest(_read_manifest(above, name, options), place) if is_one else None
    if not is_manifest_name(os.path.basename(place)) or not os.path.isfile(place):
        return None
    manifest = read_manifest(place)
    return manifest if store_scheme(manifest.root) not in ("", "file") else None


def list_by_manifest(manifest: Manifest, place: str, options: StoreOptions) -> ChunkList:
    """Return the chunks in a store that a manifest elsewhere lists: its root is their address, or it lies beside them.

    Args:
      manifest: The manifest.
      place: Its path or address, which the user has named.
      options: How the store is read.

    Raises:
      DataDirError, ManifestError, StoreError: as `list_stored`.
    """
    address, chunks = objects_of_manifest(manifest, place, options)
    listed = msgspec.structs.replace(manifest, root="")
    return replace(listed_in(address, place, listed, chunks, options), named=place)


def objects_of_manifest(
    manifest: Manifest, place: str, options: StoreOptions
) -> tuple[Address, dict[str, tuple[Stored, ...]]]:
    """Return the address of chunks in a store that a manifest elsewhere lists, and the objects of each by its name.

    Raises:
      DataDirError, ManifestError, StoreError: as `list_stored`.
    """
    if manifest.root and store_scheme(manifest.root) in ("", "file"):  # else a store could make us read what is here
        raise ManifestError(place, f"lists chunks in {manifest.root}, which is no address of a store.", _INDEX_ANEW)
    address = parse_address(manifest.root) if manifest.root else parse_address(place).parent()[0]
    _check_sends_no_secret(address, place, options)
    file = manifest.chunks[0].source if is_index_of_file(place, manifest) else ""
    kept_as = parse_address(address.of(f"{_ELSEWHERE}/{file}"))
    if options.offline:
        found = remembered(kept_as, options)
    else:
        [found] = options.called([partial(asked_for, address, manifest, file=file, options=options)])
        remember(kept_as, found, options)
    return address, by_chunk(address, {stored.name: stored for stored in found.stored(address)})


def _read_manifest(address: Address, name: str, options: StoreOptions) -> bytes:
    store = open_store(address, storage_options=options.storage_options)
    data: bytes
    [data] = options.called([partial(ask_again, partial(store.read, name))])
    return data


def _check_sends_no_secret(address: Address, place: str, options: StoreOptions) -> None:
    """Raise where headers, a token, would go to a server that a manifest names.

    Raises:
      ManifestError: so it is.
    """
    above = parse_address(place) if store_scheme(place) else None
    is_same = above is not None and (above.scheme, above.place) == (address.scheme, address.place)
    if address.scheme in _NO_LISTS and not is_same and (options.storage_options or {}).get("headers"):
        what = f"lists chunks at {address}, and headers are sent only to a server that you name."
        raise ManifestError(place, what, f"Copy it there, as {address.of(MANIFEST_NAME)}, and name that address")


def _list_address(address: Address, options: StoreOptions, *, is_named: bool) -> ChunkList:
    if options.offline:
        return _chunks_of(address, remembered(address, options), options, is_named=is_named)
    [found] = options.called([partial(asked, address, options)])
    try:
        return _chunks_of(address, found, options, is_named=is_named)
    except ManifestError:  # the list may be older than the manifest, where both were asked for at the same time
        [found] = options.called([partial(asked, address, options, together=False)])
    return _chunks_of(address, found, options, is_named=is_named)


def _chunks_of(address: Address, found: Found, options: StoreOptions, *, is_named: bool) -> ChunkList:
    objects = {stored.name: stored for stored in found.stored(address)}
    is_one = found.is_one
    place = address.of(MANIFEST_NAME)
    if is_one:
        above, name = above_of(address)
        address, place = above, above.of(index_name(name))
    if found.manifest is None:
        chunks = _without_manifest(address, objects, options)
    else:
        manifest = parse_manifest(found.manifest, place)
        if manifest.root and is_named:
            return list_by_manifest(manifest, place, options)
        chunks = listed_in(address, place, manifest, by_chunk(address, objects), options)
    return replace(chunks, named=chunks.file(0)) if is_one else chunks


def files_at(url: str, options: StoreOptions) -> tuple[ChunkList, bool]:
    """Return the files at an address that could be chunks, each whole, whatever a manifest says of them.

    Over HTTP only those that it lists are known.

    Returns:
      The files, and whether they are a directory: not the one file that the address names.

    Raises:
      DataDirError, ManifestError, StoreError: as `list_stored`.
    """
    address, chunks, manifests = objects_at(url, options)
    is_set = str(parse_address(url)) in (str(address), address.of(MANIFEST_NAME))
    if is_set:
        refuse_sets_below(address, (name for name in manifests if name != MANIFEST_NAME))
    if not chunks:
        raise DataDirError(str(address), "holds no chunk files: there is no such object, and nothing below it.")
    return chunk_list(address, tuple(chunks), tuple(chunks.values()), None, options), is_set


def _without_manifest(address: Address, objects: Mapping[str, Stored], options: StoreOptions) -> ChunkList:
    refuse_sets_below(address, filter(is_manifest, objects))
    chunks = by_chunk(address, objects)
    if not chunks:
        hint = f"Is the address right? To make some there: pyloader split DUMP... {address}"
        raise DataDirError(str(address), "holds no chunk files.", hint if address.scheme in _WRITTEN else _MAKE_SOME)
    return chunk_list(address, tuple(chunks), tuple(chunks.values()), None, options)


def listed_in(
    address: Address, place: str, manifest: Manifest, chunks: dict[str, tuple[Stored, ...]], options: StoreOptions
) -> ChunkList:
    """Return the chunks that a manifest lists, of the objects of each by its name; `place` is that of the manifest.

    Raises:
      DataDirError: it lists none.
      ManifestError: objects differ from it, or its chunks are elsewhere.
    """
    at = address if place == address.of(MANIFEST_NAME) else place.removesuffix(f".{MANIFEST_NAME}")
    verify = f"Copy it there anew, or index it again; all that differs says: pyloader verify {at}"
    if manifest.root:
        raise not_followed(place, manifest)
    if not manifest.chunks:
        raise DataDirError(place, "lists no chunks.", _MAKE_SOME)
    if problem := unorderable(manifest.chunks):
        raise ManifestError(place, problem, verify)
    listed = []
    for entry in manifest.chunks:
        objects = chunks.get(entry.source)
        if objects is None:
            raise ManifestError(place, f"lists {entry.source}, which is missing.", verify)
        size = sum(stored.size for stored in objects)
        if size != entry.source_bytes:
            what = f"says that {entry.source} has {entry.source_bytes:,} bytes; it has {size:,}."
            raise ManifestError(place, what, verify)
        listed.append(objects)
    return chunk_list(address, tuple(entry.file for entry in manifest.chunks), listed, manifest, options)


def not_followed(place: str, manifest: Manifest) -> ManifestError:
    """Return the error for a manifest that was found, and not named, and lists chunks in another place."""
    what = f"lists chunks in another directory, {manifest.root}."
    return ManifestError(place, what, f"To go there, name the manifest: data_dir={place!r}")


def chunk_list(
    address: Address,
    names: tuple[str, ...],
    objects: Sequence[tuple[Stored, ...]],
    manifest: Manifest | None,
    options: StoreOptions,
) -> ChunkList:
    """Return chunks at an address: their names, sorted, and the objects of each; a manifest has just these."""
    if manifest is None:
        sizes = [sum(stored.size for stored in each) for each in objects]
        stored = StoredChunks(address, names, objects, options)
    else:
        sizes = [entry.num_bytes for entry in manifest.chunks]
        # Of a part whose bytes nobody knows all of the object is fetched, once for all its parts.
        ranges = [None if (part := entry.as_part) is None else part.ranges or None for entry in manifest.chunks]
        checksums = tuple(entry.checksum for entry in manifest.chunks)
        stored = StoredChunks(address, names, objects, options, checksums, ranges)
    return ChunkList(str(address), names, np.array(sizes, np.int64), manifest, stored=stored)
