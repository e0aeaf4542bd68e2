"""Which objects of a store differ from their manifest, and how: what `pyloader verify` shows of an address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

import xxhash

from pyloader.deliver import Pauses, at_once
from pyloader.errors import DataDirError, ManifestError, ObjectMissingError
from pyloader.files import MANIFEST_NAME, ChunkEntry, FetchTerms, Manifest, StoreOptions, makers_of, size_difference
from pyloader.files.fetching import ask_again, object_blocks
from pyloader.files.manifest import parse_manifest
from pyloader.files.stored_listing import manifest_elsewhere, not_followed, objects_of_manifest
from pyloader.files.stored_objects import objects_at
from pyloader.files.stores import Store, Stored, open_store, parse_address, printable
from pyloader.inspecting.damage import FileFinding, Inspection, Maker, Progress

__all__ = ["inspect_stored"]

_NUM_FETCHES = 8
_DIFFERS = "the checksum differs"
_MAKE_ONE = "Make them: pyloader index ADDRESS --checksums --overwrite"


def inspect_stored(
    url: str, options: StoreOptions, *, sizes_only: bool = False, progress: Progress = iter
) -> Iterator[Inspection]:
    """Compare the chunks at an address with their manifest, or those of each set below it.

    All bytes are fetched, 8 chunks at a time, and none is kept: the cache has no part in it.

    Args:
      url: The address of one set of chunks, of its manifest, or of several.
      options: How the store is asked.
      sizes_only: Compare only names and sizes: no chunk is fetched.
      progress: Wraps the chunks of a set as they are walked.

    Raises:
      DataDirError: there is no manifest.
      ManifestError: a manifest cannot be used, or has no checksums to compare with.
      StoreError: the store cannot be asked.
    """
    inspect = partial(_inspection, sizes_only=sizes_only, progress=progress)
    if (manifest := manifest_elsewhere(url, options)) is not None:
        address, chunks = objects_of_manifest(manifest, url, options)
        store = open_store(address, storage_options=options.storage_options)
        yield inspect(printable(url), store, manifest, chunks)
        return
    address, chunks, manifests = objects_at(url, options)
    if not manifests:
        raise DataDirError(
            str(address), f"has no {MANIFEST_NAME} to compare with.", f"Make one: pyloader index {address} --checksums"
        )
    store = open_store(address, storage_options=options.storage_options)
    for name in manifests:
        manifest = parse_manifest(ask_again(partial(store.read, name)), address.of(name))
        if manifest.root and str(parse_address(url)) != address.of(name):
            raise not_followed(address.of(name), manifest)
        if manifest.root:
            there, objects = objects_of_manifest(manifest, address.of(name), options)
            yield inspect(
                address.of(name), open_store(there, storage_options=options.storage_options), manifest, objects
            )
            continue
        below = name[: name.rfind("/") + 1]
        here = {key.removeprefix(below): found for key, found in chunks.items() if key.startswith(below)}
        yield inspect(address.of(name), store, manifest, here)


def _inspection(
    place: str,
    store: Store,
    manifest: Manifest,
    here: Mapping[str, tuple[Stored, ...]],
    *,
    sizes_only: bool,
    progress: Progress,
) -> Inspection:
    """Compare what a manifest lists with the objects of each chunk, by its name."""
    if not manifest.chunks:
        raise ManifestError(place, "lists no chunks.", "Make some: pyloader split DUMP... DIR")
    if not (sizes_only or all(chunk.checksum for chunk in manifest.chunks)):
        what = "has no checksums of some chunks, and --sizes-only compares sizes."
        raise ManifestError(place, what, _MAKE_ONE)

    def compared(chunk: ChunkEntry, pauses: Pauses) -> FileFinding | None:
        objects = here.get(chunk.source)
        found = _size_finding(chunk, objects)
        return found if found or sizes_only else _checksum_finding(chunk, objects or (), store, pauses)

    with closing(at_once(compared, manifest.chunks, num_threads=_NUM_FETCHES, name="verify")) as results:
        seen = list(zip(progress(manifest.chunks), results, strict=True))
    bad = {chunk.file for chunk, found in seen if found is not None}
    findings = {found.file: found for _, found in seen if found is not None}  # of an object whose size differs, one
    listed = {chunk.source for chunk in manifest.chunks}
    others = [FileFinding(file, "ignored", "not in the manifest") for file in sorted(here.keys() - listed)]
    return Inspection(
        manifest=place,
        compared="sizes" if sizes_only else "checksums",
        num_chunks=len(manifest.chunks),
        num_samples=manifest.num_samples,
        num_bad_chunks=len(bad),
        num_bad_samples=sum(chunk.num_samples for chunk in manifest.chunks if chunk.file in bad),
        findings=(*findings.values(), *others),
        made_by=manifest.made_by,
        makers=tuple(
            Maker(origin.command, origin.can_be_repeated, origin.is_partial, tuple(entry.file for entry in entries))
            for origin, entries in makers_of(manifest, list(bad))
        ),
    )


def _size_finding(chunk: ChunkEntry, objects: Sequence[Stored] | None) -> FileFinding | None:
    if objects is None:
        return FileFinding(chunk.source, "missing", "")
    size = sum(stored.size for stored in objects)
    what = size_difference(size, chunk)
    return FileFinding(chunk.source, "truncated" if size < chunk.source_bytes else "changed", what) if what else None


def _checksum_finding(chunk: ChunkEntry, objects: Sequence[Stored], store: Store, pauses: Pauses) -> FileFinding | None:
    """Compare the checksum as `checksum_of` gives it: of a directory of columns with the names of its files."""
    digest = xxhash.xxh3_64()
    try:
        for stored in sorted(objects, key=lambda stored: stored.name):
            if chunk.file.endswith(".columns"):
                digest.update(stored.name.rpartition("/")[2].encode() + b"\0")
            part = chunk.as_part
            for start, stop in [(0, stored.size)] if part is None else part.ranges:
                for block in object_blocks(
                    store, stored, FetchTerms(wait=pauses), start, stop, needs_ranges=part is not None
                ):
                    digest.update(block)
                    pauses(0)  # raises when the rest is not wanted any more
    except ObjectMissingError:
        return FileFinding(chunk.file, "missing", "removed meanwhile")
    return None if chunk.checksum == f"xxh3:{digest.hexdigest()}" else FileFinding(chunk.file, "changed", _DIFFERS)
