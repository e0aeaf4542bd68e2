"""Which chunks lie at an address of a store; the list is kept in the cache, for when there is no network."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
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
from pyloader.files.manifest import (
    MANIFEST_NAME,
    Manifest,
    index_name,
    is_index_of_file,
    is_manifest_name,
    parse_manifest,
    read_manifest,
)
from pyloader.files.opening import suffix_of
from pyloader.files.scanning import is_chunk_name
from pyloader.files.stored import LIST_NAME, StoredChunks, StoreOptions
from pyloader.files.stores import Address, Store, Stored, open_store, parse_address, store_scheme

__all__ = ["files_at", "list_by_manifest", "list_stored", "manifest_elsewhere", "objects_at", "objects_of_manifest"]

_NO_LISTS = ("http", "https")
_DEEP = re.compile(r"(.*?\.(?:zarr|lance))/", re.DOTALL)
_ITSELF = ""  # the name of the object that an address names, and not one below it
_ELSEWHERE = ".elsewhere"  # in the cache, of what is listed by a manifest that lies elsewhere
_INDEX_ANEW = "Index the address: pyloader index s3://BUCKET/DATA --output PLACE"
_MAKE_SOME = "Split to a disk, and copy that directory there: pyloader split DUMP... DIR"


class _Found(msgspec.Struct, frozen=True):
    """What lies at an address: the manifest as it is, and all objects: their names, sizes and versions."""

    manifest: bytes | None
    objects: tuple[tuple[str, int, str], ...]

    @property
    def is_one(self) -> bool:
        """Whether the address is that of an object."""
        return [name for name, _, _ in self.objects] == [_ITSELF]

    def stored(self, address: Address) -> list[Stored]:
        """Return the objects; the one that is the address itself by its name below the address above."""
        if self.is_one:
            return [Stored(_above(address)[1], *self.objects[0][1:])]
        return [Stored(*about) for about in self.objects]


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
    found = _remembered(named, options) if options.offline else _Found(_read_manifest(address, name, options), ())
    if not options.offline:
        _remember(named, found, options)
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
    return manifest if store_scheme(manifest.root) else None


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
    return replace(_listed_in(address, place, listed, chunks, options), named=place)


def objects_of_manifest(
    manifest: Manifest, place: str, options: StoreOptions
) -> tuple[Address, dict[str, tuple[Stored, ...]]]:
    """Return the address of chunks in a store that a manifest elsewhere lists, and the objects of each by its name.

    Raises:
      DataDirError, ManifestError, StoreError: as `list_stored`.
    """
    root = manifest.root or str(parse_address(place).parent()[0])
    if not store_scheme(root):
        raise ManifestError(place, f"lists chunks in {manifest.root}, which is no address.", _INDEX_ANEW)
    address = parse_address(root)
    _check_sends_no_secret(address, place, options)
    file = manifest.chunks[0].source if is_index_of_file(place, manifest) else ""
    kept_as = parse_address(address.of(f"{_ELSEWHERE}/{file}"))
    if options.offline:
        found = _remembered(kept_as, options)
    else:
        [found] = options.called([partial(_asked_for, address, manifest, file=file, options=options)])
        _remember(kept_as, found, options)
    return address, _by_chunk(address, {stored.name: stored for stored in found.stored(address)})


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
        return _chunks_of(address, _remembered(address, options), options, is_named=is_named)
    [found] = options.called([partial(_asked, address, options)])
    try:
        return _chunks_of(address, found, options, is_named=is_named)
    except ManifestError:  # the list may be older than the manifest, where both were asked for at the same time
        [found] = options.called([partial(_asked, address, options, together=False)])
    return _chunks_of(address, found, options, is_named=is_named)


def _chunks_of(address: Address, found: _Found, options: StoreOptions, *, is_named: bool) -> ChunkList:
    objects = {stored.name: stored for stored in found.stored(address)}
    is_one = found.is_one
    place = address.of(MANIFEST_NAME)
    if is_one:
        above, name = _above(address)
        address, place = above, above.of(index_name(name))
    if found.manifest is None:
        chunks = _without_manifest(address, objects, options)
    else:
        manifest = parse_manifest(found.manifest, place)
        if manifest.root and is_named:
            return list_by_manifest(manifest, place, options)
        chunks = _listed_in(address, place, manifest, _by_chunk(address, objects), options)
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
        _refuse_sets_below(address, (name for name in manifests if name != MANIFEST_NAME))
    if not chunks:
        raise DataDirError(str(address), "holds no chunk files.", _MAKE_SOME)
    return _chunk_list(address, tuple(chunks), tuple(chunks.values()), None, options), is_set


def objects_at(url: str, options: StoreOptions) -> tuple[Address, dict[str, tuple[Stored, ...]], list[str]]:
    """Return the address of chunks, the objects of each chunk by its name, and the names of manifests, all below it.

    Objects are there whether a manifest lists them or not; over HTTP only those that it lists.

    Raises:
      DataDirError, ManifestError, StoreError: as `list_stored`.
    """
    address, name = parse_address(url).parent()
    if is_manifest_name(name) and name != MANIFEST_NAME:
        what = "is a manifest of chunks elsewhere, or of one file."
        raise DataDirError(str(parse_address(url)), what, "Name the address of the chunks, or of that file")
    address = address if name == MANIFEST_NAME else parse_address(url)
    [found] = options.called([partial(_asked, address, options, remembers=False, together=False)])
    objects = {stored.name: stored for stored in found.stored(address)}
    if found.is_one:
        above, name = _above(address)
        return above, _by_chunk(above, objects), [] if found.manifest is None else [index_name(name)]
    if found.manifest is not None:
        return address, _by_chunk(address, objects), [MANIFEST_NAME]
    return address, _by_chunk(address, objects), sorted(filter(_is_manifest, objects))


def _asked(address: Address, options: StoreOptions, *, remembers: bool = True, together: bool = True) -> _Found:
    store = open_store(address, storage_options=options.storage_options)
    asks: list[Callable[[], Any]] = [partial(_manifest_in, store, MANIFEST_NAME)]
    has_list = address.scheme not in _NO_LISTS
    asks += [partial(ask_again, lambda: list(store.list()))] if has_list else []
    manifest, *lists = options.called(asks) if together else [ask() for ask in asks]
    if not has_list and manifest is not None:
        objects = _named_in(address, store, parse_manifest(manifest, address.of(MANIFEST_NAME)), options)
    else:
        objects = [stored for stored in lists[0] if _may_be_chunk(stored.name)] if lists else []
        if manifest is None and not (lists and lists[0]):
            objects, manifest = _itself(address, options)
        if not has_list and not objects:
            what = f"has no {MANIFEST_NAME}, and nothing else lists what is there."
            raise DataDirError(str(address), what, "Make it where the chunks lie: pyloader index DIR")
    found = _Found(manifest, tuple(sorted((stored.name, stored.size, stored.version) for stored in objects)))
    if (found.objects or found.manifest is not None) and remembers:
        _remember(address, found, options)
    return found


def _asked_for(root: Address, manifest: Manifest, *, file: str, options: StoreOptions) -> _Found:
    """Return what lies at an address of what a manifest lists, which is elsewhere; `file` is the one of its index."""
    store = open_store(root, storage_options=options.storage_options)
    if file:
        stored = _headed(store, file)
        objects = [] if stored is None else [stored]
    elif root.scheme in _NO_LISTS:
        objects = _named_in(root, store, manifest, options)
    else:
        objects = [stored for stored in ask_again(lambda: list(store.list())) if _may_be_chunk(stored.name)]
    return _Found(None, tuple(sorted((stored.name, stored.size, stored.version) for stored in objects)))


def _manifest_in(store: Store, name: str) -> bytes | None:
    try:
        return ask_again(partial(store.read, name))
    except ObjectMissingError:
        return None


def _itself(address: Address, options: StoreOptions) -> tuple[list[Stored], bytes | None]:
    """Return the object that an address names, where it names one whose name has a suffix: a page has none.

    Its index is returned too, where one lies beside it.
    """
    above, name = _above(address)
    if not suffix_of(name):
        return [], None
    store = open_store(above, storage_options=options.storage_options)
    index = index_name(name)
    stored, data = options.called([partial(_headed, store, name), partial(_manifest_in, store, index)])
    if stored is None:
        return [], None
    if data is not None and not is_index_of_file(index, parse_manifest(data, above.of(index))):
        data = None
    return [Stored(_ITSELF, stored.size, stored.version)], data


def _above(address: Address) -> tuple[Address, str]:
    above, name = address.parent()
    return above, urllib.parse.unquote(name) if address.scheme in _NO_LISTS else name


def _named_in(address: Address, store: Store, manifest: Manifest, options: StoreOptions) -> list[Stored]:
    """Return the objects that a manifest names, where there is no other list."""
    names = sorted({entry.source for entry in manifest.chunks})
    for name in names:
        if name.endswith(".columns"):
            what = f"lists {name}, a directory of columns, and HTTP does not say what is in it."
            raise DataDirError(
                address.of(MANIFEST_NAME), what, "Name its address in an object store, or split to another format"
            )
    asked = options.called([partial(_headed, store, name) for name in names])
    return [stored for stored in asked if stored is not None]


def _headed(store: Store, name: str) -> Stored | None:
    try:
        return ask_again(partial(store.head, name))
    except ObjectMissingError:
        return None


def _may_be_chunk(name: str) -> bool:
    *above, last = name.split("/")
    return all(map(is_chunk_name, above)) and (is_chunk_name(last) or last == MANIFEST_NAME)


def _is_manifest(name: str) -> bool:
    return name.rpartition("/")[2] == MANIFEST_NAME


def _refuse_sets_below(address: Address, manifests: Iterable[str]) -> None:
    """Raise where there are manifests, by their names, below an address.

    Raises:
      DataDirError: so it is.
    """
    if sets := sorted(name.rpartition("/")[0] for name in manifests):
        what = f"holds chunk sets below it: {', '.join(f'{name}/' for name in sets[:3])}."
        raise DataDirError(str(address), what, f"Name one: data_dir={address.of(sets[0])!r}")


def _by_chunk(address: Address, objects: Mapping[str, Stored]) -> dict[str, tuple[Stored, ...]]:
    """Return the objects of each chunk: one, or those of a directory of columns.

    Raises:
      DataDirError: there is a directory that is a chunk of another form.
    """
    chunks: dict[str, list[Stored]] = defaultdict(list)
    for name, stored in sorted(objects.items()):
        if found := _DEEP.match(address.of(name)):
            what = "is a directory that is one chunk, and of those only *.columns is read from a store."
            copying = f": aws s3 sync {shlex.quote(found[1])} DIR" if address.scheme == "s3" else ""
            raise DataDirError(found[1], what, f"Copy it to a disk, and name that{copying}")
        if not _is_manifest(name):
            head, columns, _ = name.partition(".columns/")
            chunks[head + columns.rstrip("/")].append(stored)
    return {name: tuple(parts) for name, parts in chunks.items()}


def _without_manifest(address: Address, objects: Mapping[str, Stored], options: StoreOptions) -> ChunkList:
    _refuse_sets_below(address, filter(_is_manifest, objects))
    chunks = _by_chunk(address, objects)
    if not chunks:
        raise DataDirError(str(address), "holds no chunk files.", _MAKE_SOME)
    return _chunk_list(address, tuple(chunks), tuple(chunks.values()), None, options)


def _listed_in(
    address: Address, place: str, manifest: Manifest, chunks: dict[str, tuple[Stored, ...]], options: StoreOptions
) -> ChunkList:
    at = address if place == address.of(MANIFEST_NAME) else place.removesuffix(f".{MANIFEST_NAME}")
    verify = f"Copy it there anew, or index it again; all that differs says: pyloader verify {at}"
    if manifest.root:
        what = f"lists chunks in another directory, {manifest.root}."
        raise ManifestError(place, what, f"To go there, name the manifest: data_dir={place!r}")
    if not manifest.chunks:
        raise DataDirError(place, "lists no chunks.", _MAKE_SOME)
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
    return _chunk_list(address, tuple(entry.file for entry in manifest.chunks), listed, manifest, options)


def _chunk_list(
    address: Address,
    names: tuple[str, ...],
    objects: Sequence[tuple[Stored, ...]],
    manifest: Manifest | None,
    options: StoreOptions,
) -> ChunkList:
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
