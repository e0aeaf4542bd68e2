"""Where the manifest of `pyloader index` goes: to a disk, or to a store, where nobody else's is written over."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from pyloader.errors import ManifestError, ObjectChangedError, ObjectExistsError, ObjectMissingError, WriteError
from pyloader.files import (
    MANIFEST_NAME,
    STAGING_NAME,
    VERSIONS_NAME,
    Manifest,
    encode_manifest,
    is_manifest_name,
    locked,
    read_manifest,
    store_scheme,
    write_manifest,
)
from pyloader.files.fetching import ask_again
from pyloader.files.manifest import check_names, parse_manifest, sorted_and_checked
from pyloader.files.store_writing import create_object, replace_object
from pyloader.files.stores import check_conditions, open_store, parse_address
from pyloader.write.placing import keep_version
from pyloader.write.removing import version_of_chunk

__all__ = ["StoredTarget", "Target", "target_of"]


class Target:
    """The place of a manifest on a disk.

    Args:
      path: The manifest.

    Attributes:
      shown: It in words.
      name: Its name.
      before: The manifest that is there; "" for one that cannot be read, None where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.shown, self.name = path, str(path), path.name
        self.before: Manifest | str | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Find out what is there, and keep other writers out inside of this: what is counted is what is listed."""
        self._check_rights()
        with locked([self._path.parent]):
            self.look()
            yield

    def _check_rights(self) -> None:
        """Raise, before hours of work, where no file can be written.

        Raises:
          WriteError: so it is.
        """
        above = self._path.parent
        if not above.is_dir():
            raise WriteError(self.shown, f"cannot be written: there is no directory {above}.", "Make it first")
        if not os.access(above, os.W_OK):
            remedy = "Have it in another directory, from which it leads to the chunks: --output DIR"
            raise WriteError(self.shown, f"cannot be written: {above} takes no files from this user.", remedy)

    @contextlib.contextmanager
    def looked_at(self) -> Iterator[None]:
        """Find out what is there; nothing will be written."""
        self.look()
        yield

    def look(self) -> None:
        """Find out what is there."""
        try:
            self.before = read_manifest(self._path)
        except FileNotFoundError:
            self.before = None
        except ManifestError:
            self.before = ""

    def is_beside(self, root: str) -> bool:
        """Tell whether it lies in this directory of chunks."""
        return not store_scheme(root) and self._path.parent.resolve() == Path(root).resolve()

    def write(self, manifest: Manifest) -> Manifest:
        """Write the manifest, and return it: as the next version of a set that has several."""
        manifest = self._next_version(manifest)
        write_manifest(self._path, manifest)
        return manifest

    def _next_version(self, manifest: Manifest) -> Manifest:
        """Return a manifest as the next version of a set that has several; the present one can be gone back to."""
        named = _named_version(manifest)
        if self.name != MANIFEST_NAME or (named == 1 and not self._path.with_name(VERSIONS_NAME).is_file()):
            return manifest
        try:
            number = max(named, read_manifest(self._path).version_number + 1)
        except (FileNotFoundError, ManifestError):  # it is lost: the chunks' names tell how far it had come
            return msgspec.structs.replace(manifest, data_version=max(2, named))
        after = msgspec.structs.replace(manifest, data_version=number)
        keep_version(self._path.parent, after)
        return after


class StoredTarget(Target):
    """The place of a manifest in a store.

    Args:
      url: The manifest's address.

    Raises:
      ValueError: nothing can be written there.
    """

    def __init__(self, url: str) -> None:
        self._address, name = parse_address(url).parent()
        super().__init__(Path(name))
        self.shown = self._address.of(name)
        if self._address.scheme in ("http", "https"):
            raise ValueError(f"{self.shown} is served by HTTP, which takes no files. Write it elsewhere: --output FILE")
        self._store = open_store(self._address)
        self._version = ""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Find out what is there, and before hours of work whether a manifest will be taken."""
        self.look()
        self._check_nobody_writes()
        ask_again(partial(check_conditions, self._store, replaces=bool(self._version)))
        yield

    def look(self) -> None:
        """Find out what is there."""
        try:
            self._version = ask_again(partial(self._store.head, self.name)).version
            data = ask_again(partial(self._store.read, self.name, version=self._version or None))
            self.before = parse_manifest(data, self.shown)
        except ObjectMissingError:
            self.before = None
        except ManifestError:
            self.before = ""

    def is_beside(self, root: str) -> bool:
        """Tell whether it lies at this address of chunks."""
        return str(self._address) == root

    def write(self, manifest: Manifest) -> Manifest:
        """Write the manifest, if what was there is there still, and return it.

        Raises:
          ManifestError: somebody else has written it meanwhile, or the set has several versions.
        """
        manifest = sorted_and_checked(self.shown, manifest)
        check_names(self.shown, [chunk.file for chunk in manifest.chunks])
        before = self.before.version_number if isinstance(self.before, Manifest) else 1
        if self.name == MANIFEST_NAME and max(before, _named_version(manifest)) > 1:
            what = "has several versions, and in a store index makes no new one."
            raise ManifestError(self.shown, what, "Add to it, or join its chunks: pyloader split --append, compact")
        self._check_nobody_writes()
        data = encode_manifest(manifest)
        try:
            if self._version:
                replace_object(self._store, self.name, data, version=self._version)
            else:
                create_object(self._store, self.name, data)
        except (ObjectExistsError, ObjectChangedError, ObjectMissingError) as exc:
            what = "was written by somebody else while this index was made, and stays."
            raise ManifestError(self.shown, what, "Look at it; to replace it: pyloader index --overwrite") from exc
        return manifest

    def _check_nobody_writes(self) -> None:
        """Raise where a split or an append is at work, or was begun.

        Raises:
          ManifestError: so it is.
        """
        with contextlib.suppress(ObjectMissingError):
            ask_again(partial(self._store.head, f"{STAGING_NAME}/lease"))
            what = "is where something is being written, or was begun and not ended."
            raise ManifestError(str(self._address), what, "Let that come to its end first: its command goes on with it")


def target_of(beside: str, output: str | None) -> Target:
    """Return where a manifest goes.

    Args:
      beside: Its place beside the chunks, a path or an address.
      output: The place that was typed instead, or the directory of it; None is beside the chunks.

    Raises:
      ValueError: `output` is no place for it.
    """
    place = beside if output is None else output
    typed = parse_address(place).parent()[1] if store_scheme(place) else os.path.basename(place)
    wanted = os.path.basename(beside)
    if is_manifest_name(typed) and typed != wanted != MANIFEST_NAME:
        # By another name it would be that of the directory, which may hold other files.
        raise ValueError(
            f"--output {output}: the index of one file has its name: --output {place[: -len(typed)]}{wanted}"
        )
    if store_scheme(place):
        name = typed
        url = place if is_manifest_name(name) else f"{place.rstrip('/')}/{os.path.basename(beside)}"
        if not store_scheme(beside):
            raise ValueError(f"--output {output}: a manifest in a store lists what is in a store. Copy it there")
        return StoredTarget(url)
    is_directory = os.path.isdir(place) or place.endswith(os.sep)
    path = Path(place, os.path.basename(beside)) if is_directory else Path(place)
    if not is_manifest_name(path.name):
        raise ValueError(f"--output {output}: a manifest is called {MANIFEST_NAME}, or NAME.{MANIFEST_NAME}")
    return Target(path)


def _named_version(manifest: Manifest) -> int:
    """Return the newest version that the names of chunks say."""
    return max(version_of_chunk(chunk.source) for chunk in manifest.chunks)
