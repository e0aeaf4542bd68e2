"""Chunks of a store that were named one by one, or by a pattern: as on a disk, with what a manifest above them says."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from pyloader.errors import DataDirError
from pyloader.files.address_patterns import above_pattern, is_pattern, matches
from pyloader.files.chunk_list import ChunkList
from pyloader.files.fetching import ask_again
from pyloader.files.manifest import MANIFEST_NAME, parse_manifest
from pyloader.files.stored import StoreOptions
from pyloader.files.stored_listing import chunk_list, list_stored, listed_in
from pyloader.files.stored_objects import (
    Found,
    above_of,
    by_chunk,
    headed,
    manifest_in,
    may_be_chunk,
    remember,
    remembered,
)
from pyloader.files.stores import Address, Stored, open_store, parse_address, printable

__all__ = ["list_address", "list_named"]

_CHOSEN = ".chosen"  # in the cache, of what was named so


def list_address(url: str, options: StoreOptions, *, version: int | None = None) -> ChunkList:
    """Return the chunks at an address, or of all addresses that match a pattern.

    Raises:
      DataDirError: nothing is there, or two datasets are; or a version is asked for.
      ManifestError, StoreError: as `list_stored`.
    """
    if version is not None:
        what = f"is in a store, where earlier versions cannot be read: data_version={version}."
        raise DataDirError(printable(url), what, "Copy the set to a disk, or leave data_version out")
    return (list_matching if is_pattern(parse_address(url)) else list_stored)(url, options)


def list_matching(url: str, options: StoreOptions) -> ChunkList:
    """Return the chunks whose addresses match a pattern.

    Raises:
      DataDirError: none does.
      ManifestError, StoreError: as `list_stored`.
    """
    pattern = parse_address(url)
    above = above_pattern(pattern)
    patterns = pattern.path[len(above.path) :].strip("/").split("/")

    def ask() -> list[Stored]:
        store = open_store(above, storage_options=options.storage_options)
        objects = {stored.name: stored for stored in ask_again(lambda: list(store.list()))}
        chunks = by_chunk(above, {name: stored for name, stored in objects.items() if may_be_chunk(name)})
        return [stored for name, each in chunks.items() if matches(name.split("/"), patterns) for stored in each]

    found = _found(above, [str(pattern)], options, ask)
    if not found.objects:
        raise DataDirError(str(pattern), "matches nothing.", "In a shell, quote the pattern")
    return dataclasses.replace(_chosen(above, found, options), named=str(pattern))


def list_named(urls: Sequence[str], options: StoreOptions) -> ChunkList:
    """Return the chunks at some addresses of one store, each that of a chunk.

    Raises:
      DataDirError: nothing is at one of them, or they are of several stores.
      ManifestError, StoreError: as `list_stored`.
    """
    addresses = [parse_address(url) for url in urls]
    first = addresses[0]
    for address in addresses:
        if (address.scheme, address.place) != (first.scheme, first.place):
            what = f"is in another store than {first}, and chunks that are trained on together are in one."
            raise DataDirError(str(address), what, "Copy them to one place, or train on one after the other")
        if (address.user, address.query) != (first.user, first.query):
            what = "has another password or signature in it than the first one, and all are asked for with the same."
            raise DataDirError(str(address), what, "Give what opens all of them: storage_options={'headers': {...}}")
    paths = sorted(address.path for address in addresses)
    for path, following in itertools.pairwise(paths):
        if path == following:
            raise DataDirError(
                "the list of chunks", f"names {first.scheme}://{first.place}/{path} twice.", "Name it once"
            )
    above = dataclasses.replace(first, path=os.path.commonpath([f"/{os.path.dirname(path)}" for path in paths])[1:])

    def at(address: Address) -> list[Stored]:
        parent, name = above_of(address)
        below = parent.path[len(above.path) :].strip("/")
        whole = f"{below}/{name}" if below else name
        store = open_store(above, storage_options=options.storage_options)
        if name.endswith(".columns"):
            objects = ask_again(lambda: list(store.list(whole)))
        else:
            stored = headed(store, whole)
            objects = [] if stored is None else [stored]
        if not objects:
            raise DataDirError(str(address), "does not exist.", "A list names chunks; give one directory, or a pattern")
        return objects

    def ask() -> list[Stored]:
        return [stored for each in options.called([partial(at, address) for address in addresses]) for stored in each]

    return _chosen(above, _found(above, paths, options, ask), options)


def _found(above: Address, said: Sequence[str], options: StoreOptions, ask: Callable[[], list[Stored]]) -> Found:
    """Return the objects of the chunks, by their names below `above`, and the manifest of the directory they are in.

    Args:
      above: A directory in which all are.
      said: What names them: the cache keeps what was found for that.
      options: How the store is asked.
      ask: Asks it.
    """
    digest = hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]
    kept_as = parse_address(above.of(f"{_CHOSEN}/{digest}"))
    if options.offline:
        return remembered(kept_as, options)
    objects = ask()
    if not objects:
        return Found(None, ())
    place = dataclasses.replace(above, path=f"{above.path}/{_directory_of(objects)}".strip("/"))
    store = open_store(place, storage_options=options.storage_options)
    [manifest] = options.called([partial(manifest_in, store, MANIFEST_NAME)])
    found = Found(manifest, tuple(sorted((stored.name, stored.size, stored.version) for stored in objects)))
    remember(kept_as, found, options)
    return found


def _chosen(above: Address, found: Found, options: StoreOptions) -> ChunkList:
    """Return the chunks, named below the directory that they have in common, which may have a manifest of them all."""
    objects = [Stored(*about) for about in found.objects]
    directory = _directory_of(objects)
    address = dataclasses.replace(above, path=f"{above.path}/{directory}".strip("/"))
    start = len(directory) + 1 if directory else 0
    below = {stored.name[start:]: dataclasses.replace(stored, name=stored.name[start:]) for stored in objects}
    chunks = by_chunk(address, below)
    if found.manifest is not None:
        manifest = parse_manifest(found.manifest, place := address.of(MANIFEST_NAME))
        mine = tuple(entry for entry in manifest.chunks if entry.source in chunks)
        if not manifest.root and len({entry.source for entry in mine}) == len(chunks):
            return listed_in(address, place, msgspec.structs.replace(manifest, chunks=mine), chunks, options)
    return chunk_list(address, tuple(chunks), tuple(chunks.values()), None, options)


def _directory_of(objects: Iterable[Stored]) -> str:
    """Return the directory that the chunks of objects have in common."""
    names = (stored.name.partition(".columns/")[0] for stored in objects)
    return os.path.commonpath([f"/{os.path.dirname(name)}" for name in names])[1:]
