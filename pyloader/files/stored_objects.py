"""What lies at an address of a store: objects and a manifest; the list is kept in the cache, for lack of a network."""

from __future__ import annotations

import contextlib
import re
import shlex
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from pyloader.errors import CacheError, ClosedError, DataDirError, ObjectMissingError, StoreError
from pyloader.files.address_patterns import above_pattern, is_pattern
from pyloader.files.cache import Identity, cache_directory, cache_entries, register
from pyloader.files.fetching import ask_again
from pyloader.files.manifest import (
    MANIFEST_NAME,
    Manifest,
    index_name,
    is_index_of_file,
    is_manifest_name,
    parse_manifest,
)
from pyloader.files.opening import suffix_of
from pyloader.files.scanning import is_chunk_name
from pyloader.files.stored import LIST_NAME, StoreOptions
from pyloader.files.stores import Address, Store, Stored, open_store, parse_address

__all__ = [
    "Found",
    "above_of",
    "asked",
    "asked_for",
    "by_chunk",
    "headed",
    "is_manifest",
    "manifest_in",
    "may_be_chunk",
    "objects_at",
    "refuse_sets_below",
    "remember",
    "remembered",
]

_NO_LISTS = ("http", "https")
_DEEP = re.compile(r"(.*?\.(?:zarr|lance))/", re.DOTALL)
_ITSELF = ""  # the name of the object that an address names, and not one below it


class Found(msgspec.Struct, frozen=True):
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
            return [Stored(above_of(address)[1], *self.objects[0][1:])]
        return [Stored(*about) for about in self.objects]


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
    if is_pattern(address):
        what = "is a pattern, and this takes a directory or one file."
        raise DataDirError(str(address), what, f"Name the directory: {above_pattern(address)}")
    [found] = options.called([partial(asked, address, options, remembers=False, together=False)])
    objects = {stored.name: stored for stored in found.stored(address)}
    if found.is_one:
        above, name = above_of(address)
        return above, by_chunk(above, objects), [] if found.manifest is None else [index_name(name)]
    if found.manifest is not None:
        return address, by_chunk(address, objects), [MANIFEST_NAME]
    return address, by_chunk(address, objects), sorted(filter(is_manifest, objects))


def asked(address: Address, options: StoreOptions, *, remembers: bool = True, together: bool = True) -> Found:
    store = open_store(address, storage_options=options.storage_options)
    asks: list[Callable[[], Any]] = [partial(manifest_in, store, MANIFEST_NAME)]
    has_list = address.scheme not in _NO_LISTS
    asks += [partial(ask_again, lambda: list(store.list()))] if has_list else []
    manifest, *lists = options.called(asks) if together else [ask() for ask in asks]
    if not has_list and manifest is not None:
        objects = _named_in(address, store, parse_manifest(manifest, address.of(MANIFEST_NAME)), options)
    else:
        objects = [stored for stored in lists[0] if may_be_chunk(stored.name)] if lists else []
        if manifest is None and not (lists and lists[0]):
            objects, manifest = _itself(address, options)
        if not has_list and not objects:
            what = f"has no {MANIFEST_NAME}, and nothing else lists what is there."
            raise DataDirError(str(address), what, "Make it where the chunks lie: pyloader index DIR")
    found = Found(manifest, tuple(sorted((stored.name, stored.size, stored.version) for stored in objects)))
    if (found.objects or found.manifest is not None) and remembers:
        remember(address, found, options)
    return found


def asked_for(root: Address, manifest: Manifest, *, file: str, options: StoreOptions) -> Found:
    """Return what lies at an address of what a manifest lists, which is elsewhere; `file` is the one of its index."""
    store = open_store(root, storage_options=options.storage_options)
    if file:
        stored = headed(store, file)
        objects = [] if stored is None else [stored]
    elif root.scheme in _NO_LISTS:
        objects = _named_in(root, store, manifest, options)
    else:
        objects = [stored for stored in ask_again(lambda: list(store.list())) if may_be_chunk(stored.name)]
    return Found(None, tuple(sorted((stored.name, stored.size, stored.version) for stored in objects)))


def manifest_in(store: Store, name: str) -> bytes | None:
    try:
        return ask_again(partial(store.read, name))
    except ObjectMissingError:
        return None


def _itself(address: Address, options: StoreOptions) -> tuple[list[Stored], bytes | None]:
    """Return the object that an address names, where it names one whose name has a suffix: a page has none.

    Its index is returned too, where one lies beside it.
    """
    above, name = above_of(address)
    if not suffix_of(name):
        return [], None
    store = open_store(above, storage_options=options.storage_options)
    index = index_name(name)
    stored, data = options.called([partial(headed, store, name), partial(manifest_in, store, index)])
    if stored is None:
        return [], None
    if data is not None and not is_index_of_file(index, parse_manifest(data, above.of(index))):
        data = None
    return [Stored(_ITSELF, stored.size, stored.version)], data


def above_of(address: Address) -> tuple[Address, str]:
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
    found = options.called([partial(headed, store, name) for name in names])
    return [stored for stored in found if stored is not None]


def headed(store: Store, name: str) -> Stored | None:
    try:
        return ask_again(partial(store.head, name))
    except ObjectMissingError:
        return None


def may_be_chunk(name: str) -> bool:
    *above, last = name.split("/")
    return all(map(is_chunk_name, above)) and (is_chunk_name(last) or last == MANIFEST_NAME)


def is_manifest(name: str) -> bool:
    return name.rpartition("/")[2] == MANIFEST_NAME


def refuse_sets_below(address: Address, manifests: Iterable[str]) -> None:
    """Raise where there are manifests, by their names, below an address.

    Raises:
      DataDirError: so it is.
    """
    if sets := sorted(name.rpartition("/")[0] for name in manifests):
        what = f"holds chunk sets below it: {', '.join(f'{name}/' for name in sets[:3])}."
        raise DataDirError(str(address), what, f"Name one: data_dir={address.of(sets[0])!r}")


def by_chunk(address: Address, objects: Mapping[str, Stored]) -> dict[str, tuple[Stored, ...]]:
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
        if not is_manifest(name):
            head, columns, _ = name.partition(".columns/")
            chunks[head + columns.rstrip("/")].append(stored)
    return {name: tuple(parts) for name, parts in chunks.items()}


def remember(address: Address, found: Found, options: StoreOptions) -> None:
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


def remembered(address: Address, options: StoreOptions) -> Found:
    """Return the latest list that the cache has of an address."""
    directory = cache_directory(options.cache_dir)
    mine = [entry for entry in cache_entries(directory) if entry.url == address.of(LIST_NAME)]
    for entry in sorted(mine, key=lambda entry: entry.used_at, reverse=True):
        with contextlib.suppress(OSError, msgspec.DecodeError):  # evicted meanwhile, or damaged
            return msgspec.json.decode((directory.entries / entry.name / LIST_NAME).read_bytes(), type=Found)
    what = f"is not in the cache {directory.root}, and offline=True asks no store for it."
    raise StoreError(str(address), what, f"Fetch it where there is a network: pyloader fetch {address}")
