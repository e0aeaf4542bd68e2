"""A directory as a store: what file:// addresses name."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from pyloader.errors import ObjectExistsError, ObjectMissingError, StoreError
from pyloader.files.no_room import no_room
from pyloader.files.own_files import OwnFile
from pyloader.files.stores.store import Incoming, Store, Stored, changed, check_name

if sys.platform != "win32":
    import fcntl

__all__ = ["LocalStore"]

_WRITING = ".pyloader-writing-"
_LOCK = ".pyloader-store.lock"
_BLOCK_BYTES = 2**20


class LocalStore(Store):
    """The files below a directory.

    A version is a file's inode, size and time of change.  What is written appears whole or not at all.

    Args:
      directory: Need not be there; it is made for what is written.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory).absolute()
        self.url = f"file://{self.directory}"

    def list(self, prefix: str = "") -> Iterator[Stored]:
        root = self._path(prefix) if prefix else self.directory
        for place, directories, files in os.walk(root, onerror=self._refuse_walk):
            directories.sort()
            for file in sorted(files):
                path = Path(place, file)
                if not file.startswith(_WRITING) and file != _LOCK:
                    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                        yield _stored(path.relative_to(self.directory).as_posix(), path.stat())

    def head(self, name: str) -> Stored:
        path = self._path(name)
        with self._errors(name):
            return _stored(name, path.stat())

    def open(self, name: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Incoming:
        with self._errors(name):
            file = FileIO(self._path(name), "rb")
        stored = _stored(name, os.fstat(file.fileno()))
        if version not in (None, stored.version):
            file.close()
            raise changed(f"{self.url}/{name}", str(version), stored.version)
        blocks = self._blocks(file, name, start, stored.size if stop is None else stop)
        next(blocks)  # from here on it closes the file, though nothing may be read
        return Incoming(stored, blocks)

    def create(self, name: str, data: bytes | memoryview) -> str:
        path = self._path(name)
        with self._written(name, data) as beside:
            try:
                os.link(beside, path)
            except FileExistsError:
                raise ObjectExistsError(f"{self.url}/{name}", "is there already.", status=412) from None
            return _stored(name, path.stat()).version

    def replace(self, name: str, data: bytes | memoryview, *, version: str) -> str:
        path = self._path(name)
        with self._written(name, data) as beside, self._locked():
            found = self.head(name).version
            if found != version:
                raise changed(f"{self.url}/{name}", version, found)
            os.replace(beside, path)
            return _stored(name, path.stat()).version

    def delete(self, name: str) -> None:
        path = self._path(name)
        with self._errors(name), contextlib.suppress(FileNotFoundError), self._locked():  # no directory: no lock
            path.unlink()

    def _path(self, name: str) -> Path:
        check_name(self.url, name)
        return self.directory / name

    def _blocks(self, file: FileIO, name: str, start: int, stop: int) -> Iterator[bytes]:
        with file, self._errors(name):
            file.seek(start)
            yield b""
            while start < stop:
                block = file.read(min(_BLOCK_BYTES, stop - start))
                if not block:
                    raise StoreError(f"{self.url}/{name}", f"ends early, after {start:,} of {stop:,} bytes.")
                start += len(block)
                yield block

    @contextlib.contextmanager
    def _written(self, name: str, data: bytes | memoryview) -> Iterator[Path]:
        """Give a file beside `name` that holds `data`, synced; it is removed at the end."""
        path = self._path(name)
        beside = path.with_name(f"{_WRITING}{uuid.uuid4().hex}")
        with self._errors(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(beside, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                yield beside
            finally:
                beside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait for the others that replace or delete in this directory."""
        file = OwnFile(self.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(file.descriptor, fcntl.LOCK_EX)
            yield
        finally:
            file.close()

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        url = f"{self.url}/{name}"
        try:
            yield
        except FileNotFoundError as exc:
            raise ObjectMissingError(url, "does not exist.", status=404) from exc
        except OSError as exc:
            if full := no_room(self.directory / name, exc):
                raise full from exc
            raise StoreError(url, f"cannot be read or written ({exc.strerror}).") from exc

    def _refuse_walk(self, exc: OSError) -> None:
        if not isinstance(exc, FileNotFoundError):  # an empty store has no directory yet
            raise StoreError(self.url, f"cannot be listed ({exc.strerror}).") from exc


def _stored(name: str, status: os.stat_result) -> Stored:
    version = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
    return Stored(name, status.st_size, version, status.st_mtime)
