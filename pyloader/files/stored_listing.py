"""Which chunks lie at an address of a store; the list is kept in the cache, for when there is no network."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import xxhash

from pyloader.errors import CacheError, ClosedError, DataDirError, ManifestError, ObjectMissingError, StoreError
from pyloader.files.cache import Identity, cache_directory, cache_entries, register
from pyloader.files.chunk_list import ChunkList
from pyloader.files.fetching import ask_again
from pyloader.files.manifest import MANIFEST_NAME, ChunkEntry, Manifest, is_manifest_name, parse_manifest
from pyloader.files.opening import suffix_of
from pyloader.files.scanning import is_chunk_name
from pyloader.files.stored import LIST_NAME, StoredChunks, StoreOptions
from pyloader.files.stores import Address, Store, Stored, open_store, parse_address

__all__ = ["list_stored", "objects_at"]

_NO_LISTS = ("http", "https")
_ITSELF = ""  # the name of the object that an address names, and not one below it
_MAKE_SOME = "Split to a disk, and copy that directory there: pyloader split DUMP... DIR"


class _Found(msgspec.Struct, frozen=True):
    """What lies at an address: the manifest as it is, and all objects: their names, sizes and versions."""

    manifest: bytes | None
    objects: tuple[tuple[str, int, str], ...]


def list_stored(url: str, options: StoreOptions) -> ChunkList:
    """Return the chunks at an address, or at the address of a manifest, or of one chunk.

    Raises:
      DataDirError: nothing is there, or two datasets are.
      ManifestError: the objects differ from the manifest.
      StoreError: the store cannot be asked.
    """
    address = _address_of_chunks(url)
    if options.offline:
        return _chunks_of(address, _remembered(address, options), options)
    [found] = options.called([partial(_asked, address, options)])
    try:
        return _chunks_of(address, found, options)
    except ManifestError:  # the list may be older than the manifest, where both were asked for at the same time
        [found] = options.called([partial(_asked, address, options, together=False)])
    return _chunks_of(address, found, options)


def _chunks_of(address: Address, found: _Found, options: StoreOptions) -> ChunkList:
    if [name for name, _, _ in found.objects] == [_ITSELF]:
        address, name = _above(address)
        found = _Found(None, ((name, *found.objects[0][1:]),))
    objects = {name: Stored(name, size, version) for name, size, version in found.objects}
    if found.manifest is None:
        return _without_manifest(address, objects, options)
    manifest = parse_manifest(found.manifest, address.of(MANIFEST_NAME))
    return _listed_in(address, manifest, _by_chunk(objects), options)


def objects_at(url: str, options: StoreOptions) -> tuple[Address, dict[str, tuple[Stored, ...]], list[str]]:
    """Return the address of chunks, the objects of each chunk by its name, and the names of manifests, all below it.

    Objects are there whether a manifest lists them or not; over HTTP only those that it lists.

    Raises:
      DataDirError, ManifestError, StoreError: as `list_stored`.
    """
    address = _address_of_chunks(url)
    [found] = options.called([partial(_asked, address, options, remembers=False, together=False)])
    objects = {name: Stored(name, size, version) for name, size, version in found.objects}
    if found.manifest is not None:
        return address, _by_chunk(objects), [MANIFEST_NAME]
    return address, _by_chunk(objects), sorted(filter(_is_manifest, objects))


def _address_of_chunks(url: str) -> Address:
    address = parse_address(url)
    above, name = address.parent()
    if name == MANIFEST_NAME:
        return above
    if is_manifest_name(name):
        what = "is a manifest of chunks that lie elsewhere, and in a store a manifest lies beside its chunks."
        raise DataDirError(str(address), what, "Name the address of the chunks")
    return address


def _asked(address: Address, options: StoreOptions, *, remembers: bool = True, together: bool = True) -> _Found:
    store = open_store(address, storage_options=options.storage_options)
    asks: list[Callable[[], Any]] = [partial(_manifest_in, store)]
    has_list = address.scheme not in _NO_LISTS
    asks += [partial(ask_again, lambda: list(store.list()))] if has_list else []
    manifest, *lists = options.called(asks) if together else [ask() for ask in asks]
    if not has_list and manifest is not None:
        objects = _named_in(address, store, manifest, options)
    elif not has_list:
        objects = _itself(address, options)
        if not objects:
            what = f"has no {MANIFEST_NAME}, and nothing else lists what is there."
            raise DataDirError(str(address), what, "Make it where the chunks lie: pyloader index DIR")
    else:
        objects = [stored for stored in lists[0] if _may_be_chunk(stored.name)]
        objects = objects if lists[0] or manifest is not None else _itself(address, options)
    found = _Found(manifest, tuple(sorted((stored.name, stored.size, stored.version) for stored in objects)))
    if found.objects and remembers:
        _remember(address, found, options)
    return found


def _manifest_in(store: Store) -> bytes | None:
    try:
        return ask_again(partial(store.read, MANIFEST_NAME))
    except ObjectMissingError:
        return None


def _itself(address: Address, options: StoreOptions) -> list[Stored]:
    """Return the object that an address names, where it names one whose name has a suffix: a page has none."""
    above, name = _above(address)
    if not suffix_of(name):
        return []
    stored = _headed(open_store(above, storage_options=options.storage_options), name)
    return [] if stored is None else [Stored(_ITSELF, stored.size, stored.version)]


def _above(address: Address) -> tuple[Address, str]:
    above, name = address.parent()
    return above, urllib.parse.unquote(name) if address.scheme in _NO_LISTS else name


def _named_in(address: Address, store: Store, manifest: bytes, options: StoreOptions) -> list[Stored]:
    """Return the objects that a manifest names, where there is no other list."""
    entries = parse_manifest(manifest, address.of(MANIFEST_NAME)).chunks
    _refuse_parts(address, entries)
    for entry in entries:
        if entry.file.endswith(".columns"):
            what = f"lists {entry.file}, a directory of columns, and HTTP does not say what is in it."
            raise DataDirError(
                address.of(MANIFEST_NAME), what, "Name its address in an object store, or split to another format"
            )
    asked = options.called([partial(_headed, store, entry.file) for entry in entries])
    return [stored for stored in asked if stored is not None]


def _headed(store: Store, name: str) -> Stored | None:
    try:
        return ask_again(partial(store.head, name))
    except ObjectMissingError:
        return None


def _refuse_parts(address: Address, entries: Sequence[ChunkEntry]) -> None:
    """Raise where a chunk is a part of a file.

    Raises:
      ManifestError: so it is.
    """
    if part := next((entry for entry in entries if entry.as_part is not None), None):
        what = f"lists {part.file}, a part of a file, and parts are read on a disk alone."
        hint = "Copy the files to a disk, or write chunks of them: pyloader split"
        raise ManifestError(address.of(MANIFEST_NAME), what, hint)


def _may_be_chunk(name: str) -> bool:
    *above, last = name.split("/")
    return all(map(is_chunk_name, above)) and (is_chunk_name(last) or last == MANIFEST_NAME)


def _is_manifest(name: str) -> bool:
    return name.rpartition("/")[2] == MANIFEST_NAME


def _by_chunk(objects: Mapping[str, Stored]) -> dict[str, tuple[Stored, ...]]:
    """Return the objects of each chunk: one, or those of a directory of columns."""
    chunks: dict[str, list[Stored]] = defaultdict(list)
    for name, stored in sorted(objects.items()):
        if not _is_manifest(name):
            head, columns, _ = name.partition(".columns/")
            chunks[head + columns.rstrip("/")].append(stored)
    return {name: tuple(parts) for name, parts in chunks.items()}


def _without_manifest(address: Address, objects: Mapping[str, Stored], options: StoreOptions) -> ChunkList:
    sets = sorted(name.rpartition("/")[0] for name in objects if _is_manifest(name))
    if sets:
        what = f"holds chunk sets below it: {', '.join(f'{name}/' for name in sets[:3])}."
        raise DataDirError(str(address), what, f"Name one: data_dir={address.of(sets[0])!r}")
    chunks = _by_chunk(objects)
    if not chunks:
        raise DataDirError(str(address), "holds no chunk files.", _MAKE_SOME)
    return _chunk_list(address, chunks, None, options)


def _listed_in(
    address: Address, manifest: Manifest, chunks: dict[str, tuple[Stored, ...]], options: StoreOptions
) -> ChunkList:
    place = address.of(MANIFEST_NAME)
    verify = f"Copy the set there anew; all that differs says: pyloader verify {address}"
    if manifest.root:
        raise ManifestError(place, f"lists chunks in another directory, {manifest.root}.", "Make one beside the chunks")
    if not manifest.chunks:
        raise DataDirError(place, "lists no chunks.", _MAKE_SOME)
    _refuse_parts(address, manifest.chunks)
    listed: dict[str, tuple[Stored, ...]] = {}
    for entry in manifest.chunks:
        parts = chunks.get(entry.file)
        if parts is None:
            raise ManifestError(place, f"lists {entry.file}, which is missing.", verify)
        size = sum(stored.size for stored in parts)
        if size != entry.num_bytes:
            what = f"says that {entry.file} has {entry.num_bytes:,} bytes; it has {size:,}."
            raise ManifestError(place, what, verify)
        listed[entry.file] = parts
    return _chunk_list(address, listed, manifest, options)


def _chunk_list(
    address: Address, chunks: dict[str, tuple[Stored, ...]], manifest: Manifest | None, options: StoreOptions
) -> ChunkList:
    sizes = np.array([sum(stored.size for stored in parts) for parts in chunks.values()], np.int64)
    checksums = () if manifest is None else tuple(entry.checksum for entry in manifest.chunks)
    stored = StoredChunks(address, tuple(chunks), tuple(chunks.values()), options, checksums)
    return ChunkList(str(address), tuple(chunks), sizes, manifest, stored=stored)


def _remember(address: Address, found: _Found, options: StoreOptions) -> None:
    """Keep a list in the cache, as an entry among others, if it has room for that."""
    data = msgspec.json.encode(found)
    identity = Identity(url=address.of(LIST_NAME), size=len(data), version=xxhash.xxh3_64_hexdigest(data))
    directory = cache_directory(options.cache_dir)
    try:
        user = register(directory, fetches=1, readers=0, largest=len(data), bound=options.cache_bytes)
    except CacheError:  # what chunks need is said when they are registered
        return

    def fill(path: Path) -> None:
        path.write_bytes(data)

    try:
        # Where another process keeps the same list at this moment, that will do.
        with contextlib.suppress(ClosedError):
            user.get(identity, fill, wait=lambda _seconds: True).release()
    finally:
        user.close()


def _remembered(address: Address, options: StoreOptions) -> _Found:
    """Return the latest list that the cache has of an address."""
    directory = cache_directory(options.cache_dir)
    mine = [entry for entry in cache_entries(directory) if entry.url == address.of(LIST_NAME)]
    for entry in sorted(mine, key=lambda entry: entry.used_at, reverse=True):
        with contextlib.suppress(OSError, msgspec.DecodeError):  # evicted meanwhile, or damaged
            return msgspec.json.decode((directory.entries / entry.name / LIST_NAME).read_bytes(), type=_Found)
    what = f"is not in the cache {directory.root}, and offline=True asks no store for it."
    raise StoreError(str(address), what, f"Fetch it where there is a network: pyloader fetch {address}")
