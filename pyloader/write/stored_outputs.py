"""Chunks go to a store: an address has a work directory on this disk while it is written to.

In it are copies of the manifests and of what belongs to them, sparse files for the chunks, and the .split of the job.
So all else is done as for a directory.  Chunks go to the store under their last names as soon as these are known; the
manifests at the end, all at once: what they will be is written to .split/complete of the store first, and whoever
writes there next ends what was begun.  Where the same command is given again on this machine, it goes on from the same
directory, as long as nobody else has written there; on another machine it begins with an empty one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from pyloader.errors import OutputDirError, PyLoaderError, StoreError
from pyloader.files import (
    MANIFEST_NAME,
    STAGING_NAME,
    VERSIONS_NAME,
    is_chunk_name,
    kept_chunks,
    read_manifest,
    write_whole,
)
from pyloader.files.atomic import remove
from pyloader.files.fetching import ask_again
from pyloader.files.store_lock import StoreLock
from pyloader.files.store_writing import create_object
from pyloader.files.stores import Stored
from pyloader.write.outputs import Output, StorePlace
from pyloader.write.publishing import SMALL_FILES, Change, finish_publishing, publish
from pyloader.write.removing import index_of_chunk, is_keys_name, is_own_name
from pyloader.write.sparse_files import make_sparse, without_bytes
from pyloader.write.store_requests import at_the_same_time, check_sizes, store_chunk

__all__ = ["Begun", "StoredOutput", "read_begun"]

_BEGUN = "begun.json"
_MAX_NAME_BYTES = 200  # ours are shorter, and a name of a file is at most 255


class Begun(msgspec.Struct):
    """What the directory was made with: the store as it was then.

    Attributes:
      work: Of the lock.
      objects: Name -> version of what was there, as far as it has to do with chunks.
      digests: Name -> digest, of the objects of which the directory has copies.
    """

    work: str
    objects: dict[str, str] = msgspec.field(default_factory=dict)
    digests: dict[str, str] = msgspec.field(default_factory=dict)


def read_begun(home: Path) -> Begun | None:
    """Return what the work directory in `home` was made with; None where there is none."""
    try:
        return msgspec.json.decode((home / _BEGUN).read_bytes(), type=Begun)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


class StoredOutput(Output):
    """The work directory of an address, while the address is locked."""

    def __init__(self, home: Path, place: StorePlace, lock: StoreLock, *, adds: bool, with_keys: bool) -> None:
        super().__init__(home / "set", str(place.address))
        self.place, self._store, self._lock, self._home = place, place.store, lock, home
        self._adds, self._with_keys = adds, with_keys
        self._begun = Begun(lock.work)
        self._sizes: dict[str, int] = {}  # of chunks, in the store
        self._is_ready, self._is_published = False, True
        self.before, self._process = lock.before, os.getpid()

    def begin(self, begun: Begun | None) -> None:
        """Make the directory ready: as it was where this is gone on with, else from what the store holds."""
        finish_publishing(self._store, self.shown, self._lock.holders_before)
        self._lock.settle()
        objects = self._objects()
        if begun is not None and begun.work == self._lock.work:
            self._begun = begun
        else:
            remove(self.root)
            if self._lock.before is not None and not self._lock.goes_on:
                self._sweep(objects)
                objects = self._objects()
            self._copy(objects)
        for name, stored in objects.items():
            chunk = _chunk_of(name)
            self._sizes[chunk] = self._sizes.get(chunk, 0) + stored.size
        self._is_ready = True

    def has_chunk(self, name: str, num_bytes: int) -> bool:
        return self._sizes.get(name) == num_bytes

    def put_chunks(self, chunks: Mapping[str, Path]) -> None:
        assert self.place is not None
        check_sizes(self.place, chunks)
        at_the_same_time(self._put_chunk, chunks.items())

    def _put_chunk(self, name: str, path: Path) -> None:
        assert self.place is not None
        store_chunk(self.place, path, name)
        without_bytes(path)

    def fetch(self, names: Iterable[str]) -> None:
        at_the_same_time(self._fetch_chunk, ((name,) for name in names))

    def _fetch_chunk(self, name: str) -> None:
        path = self.root / name
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            key = file.relative_to(self.root).as_posix()
            file.write_bytes(ask_again(partial(self._store.read, key)))

    def delete_chunks(self, names: Iterable[str]) -> None:
        wanted = set(names)
        if wanted:
            self._delete(name for name in self._objects() if _chunk_of(name) in wanted)

    def will_write(self, outputs: Iterable[str]) -> None:
        self._lock.will_write(outputs)
        self._remove_gone()

    def _remove_gone(self) -> None:
        gone = {name for name in self._begun.objects if not (self.root / name).exists()}
        if gone:  # the manifests first: what one lists is never half there
            self._delete(name for name in gone if name.endswith(MANIFEST_NAME))
            self._delete(name for name in gone if not name.endswith(MANIFEST_NAME))
            for name in gone:
                del self._begun.objects[name]
                self._begun.digests.pop(name, None)
            self._write_begun()

    def publish(self) -> None:
        self._is_published = False
        changes, keys = [], []
        for directory in self._directories():
            for path in sorted(directory.iterdir()):
                name = path.relative_to(self.root).as_posix()
                if is_keys_name(path.name) and name not in self._begun.objects:
                    keys.append(name)
                elif path.name in SMALL_FILES and _digest(data := path.read_bytes()) != self._begun.digests.get(name):
                    said = data.decode().replace(str(self.root), self.shown)  # of the chunks that were joined
                    changes.append(Change(name, said, self._begun.objects.get(name, "")))
        if changes:
            self._check_all_there({change.name for change in changes})
            for name in keys:
                create_object(self._store, name, (self.root / name).read_bytes())
            publish(self._store, self.shown, changes, self._lock)
        self._remove_gone()
        self._is_published = True

    def stop(self) -> None:
        """Let the same command go on, or others write where nothing was begun."""
        if self._process != os.getpid():
            return  # a forked child leaves what its parent does
        with contextlib.suppress(PyLoaderError, OSError):  # of two errors the first one says more
            jobs = [directory / STAGING_NAME / "job.json" for directory in self._directories()]
            is_begun = any(job.exists() for job in jobs) or not self._is_published
            if is_begun or (not self._is_ready and self._lock.before is not None):
                self._lock.stop()
            elif not self._is_ready:
                self._lock.release()
            else:
                self._sweep(self._objects())
                self._lock.release()
                self._forget()

    def end(self) -> None:
        """Let others write; what was to be done is done, also where somebody has taken this writer's place since."""
        with contextlib.suppress(OutputDirError):
            self._lock.release()
        self._forget()

    def _forget(self) -> None:
        remove(self.root)
        (self._home / _BEGUN).unlink(missing_ok=True)

    def _directories(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        below = (path for path in sorted(self.root.glob("[!.]*")) if path.is_dir() and path.suffix != ".columns")
        return [self.root, *below]

    def _objects(self) -> dict[str, Stored]:
        """Return the objects that have to do with chunks: those of this set, and of sets right below it."""
        found = ask_again(lambda: list(self._store.list()))
        return {stored.name: stored for stored in found if _may_matter(stored.name)}

    def _copy(self, objects: Mapping[str, Stored]) -> None:
        """Make copies of the manifests and what belongs to them, and sparse files for the chunks."""
        self.root.mkdir(exist_ok=True)
        for name, stored in sorted(objects.items()):
            file = name.rpartition("/")[2]
            if file in SMALL_FILES or (is_keys_name(file) and self._with_keys):
                self._copy_small(name, stored)
        manifests = [name for name in objects if name.rpartition("/")[2] == MANIFEST_NAME]
        if manifests and self._adds and not self._lock.replaces:
            what = "cannot be added to: its server does not replace objects only if they are unchanged."
            raise StoreError(str(self.shown), what, "Write to a new place, in one go")
        left = self._left(objects, self._listed(manifests))
        for name, stored in sorted(objects.items()):
            path = self.root / name
            if name in left or path.is_file():
                continue
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                make_sparse(path, stored.size)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as exc:
                what = "is an object, and others lie below it, as in no directory."
                raise OutputDirError(f"{self.shown}/{name}", what, "Choose another address") from exc
            self._begun.objects[name] = stored.version
        self._write_begun()

    def _copy_small(self, name: str, stored: Stored) -> None:
        data = ask_again(partial(self._store.read, name, version=stored.version or None))
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if stored.modified is not None:
            os.utime(path, (stored.modified, stored.modified))
        self._begun.objects[name], self._begun.digests[name] = stored.version, _digest(data)

    def _listed(self, manifests: Iterable[str]) -> set[str]:
        """Return the chunks that these manifests, of which there are copies, and the versions before them list."""
        listed = set()
        for name in manifests:
            directory = (self.root / name).parent
            above = name.removesuffix(MANIFEST_NAME)
            files = {entry.file for entry in read_manifest(self.root / name).chunks} | kept_chunks(directory)
            listed |= {f"{above}{file}" for file in files}
        return listed

    def _sweep(self, objects: Mapping[str, Stored]) -> None:
        """Remove the chunks that a split has left which was given up: those that no manifest lists."""
        manifests = [name for name in objects if name.rpartition("/")[2] == MANIFEST_NAME]
        remove(self.root)
        self.root.mkdir(exist_ok=True)
        for name, stored in objects.items():
            if name.rpartition("/")[2] in (MANIFEST_NAME, VERSIONS_NAME):
                self._copy_small(name, stored)
        listed = self._listed(manifests)
        remove(self.root)
        self._delete(self._left(objects, listed))

    def _left(self, objects: Mapping[str, Stored], listed: Collection[str]) -> set[str]:
        """Return the objects that are chunks of a split that has not come to its end."""
        left = set()
        for name in objects:
            output, _, file = (chunk := _chunk_of(name)).rpartition("/")
            if output in self._lock.outputs and chunk not in listed and index_of_chunk(file) is not None:
                left.add(name)
        return left

    def _check_all_there(self, changed: Collection[str]) -> None:
        """See to it, before manifests are changed, that the store has what they list."""
        sizes: dict[str, int] = defaultdict(int)
        for name, stored in self._objects().items():
            sizes[_chunk_of(name)] += stored.size
        for directory in self._directories():
            path = directory / MANIFEST_NAME
            above = "" if directory == self.root else f"{directory.name}/"
            for entry in read_manifest(path).chunks if f"{above}{MANIFEST_NAME}" in changed else ():
                if sizes.get(f"{above}{entry.file}") != entry.num_bytes:
                    what = "is not there, or has another size: somebody has changed it since it was written."
                    hint = "Give up what was begun, and begin again: --discard-stopped"
                    raise OutputDirError(f"{self.shown}/{above}{entry.file}", what, hint)

    def _delete(self, names: Iterable[str]) -> None:
        at_the_same_time(ask_again, ((partial(self._store.delete, name),) for name in names))

    def _write_begun(self) -> None:
        write_whole(self._home / _BEGUN, msgspec.json.encode(self._begun))


def _chunk_of(name: str) -> str:
    """Return the chunk that an object is of: itself, or a directory of columns."""
    head, columns, _ = name.partition(".columns/")
    return head + columns.rstrip("/")


def _may_matter(name: str) -> bool:
    """Tell whether an object is in the way of chunks, or one of ours."""
    *above, last = _chunk_of(name).split("/")
    is_ours = all(map(is_chunk_name, above)) and (is_chunk_name(last) or is_own_name(last))
    return is_ours and len(above) <= 1 and len(name.encode()) <= _MAX_NAME_BYTES


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
