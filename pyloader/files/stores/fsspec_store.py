"""Other schemes (hf://, hdfs://, sftp://) as stores that are only read, through fsspec."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from pyloader.errors import ObjectMissingError, PyLoaderError, StoreError, import_optional
from pyloader.files.stores.addresses import Address
from pyloader.files.stores.connecting import check_process
from pyloader.files.stores.store import Incoming, Store, Stored, changed, check_name

__all__ = ["FsspecStore"]

_BLOCK_BYTES = 2**23  # each block is a request
_VERSIONS = (
    "ETag",
    "etag",
    "version_id",
    "generation",
    "blob_id",
    "checksum",
    "mtime",
    "last_modified",
    "LastModified",
    "modified",
    "created",
)

T = TypeVar("T")


class FsspecStore(Store):
    """The files below an address that fsspec knows; they cannot be written.

    A version is compared before a request, not by it: fsspec has no conditions.

    Args:
      address: Where they are.
      options: The `storage_options`, which go to fsspec's file system; `unversioned` (False) as for other stores.
      block_bytes: How many bytes a request brings.
    """

    def __init__(self, address: Address, options: Mapping[str, Any] | None = None, *, block_bytes: int = _BLOCK_BYTES):
        fsspec = import_optional("fsspec", wanted_by=f"data at {address.scheme}://")
        given = dict(options or {})
        self.url, self._address, self._block_bytes = str(address), address, block_bytes
        self._unversioned = bool(given.pop("unversioned", False))
        self._system, self._root = self._ask("", lambda: fsspec.core.url_to_fs(str(address), **given))

    def list(self, prefix: str = "") -> Iterator[Stored]:
        found = self._ask("", lambda: self._system.find(f"{self._root}/{prefix}".rstrip("/"), detail=True))
        for path, about in found.items():
            yield self._stored(path.removeprefix(self._root).lstrip("/"), about)

    def head(self, name: str) -> Stored:
        check_name(self.url, name)
        return self._stored(name, self._ask(name, lambda: self._system.info(f"{self._root}/{name}", refresh=True)))

    def open(self, name: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Incoming:
        stored = self.head(name)
        if version not in (None, stored.version):
            raise changed(self._address.of(name), str(version), stored.version)
        return Incoming(stored, self._blocks(name, start, stored.size if stop is None else min(stop, stored.size)))

    def create(self, name: str, data: bytes | memoryview) -> str:
        raise self._read_only(name)

    def replace(self, name: str, data: bytes | memoryview, *, version: str) -> str:
        raise self._read_only(name)

    def delete(self, name: str) -> None:
        raise self._read_only(name)

    def _blocks(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        path = f"{self._root}/{name}"
        for place in range(start, stop, self._block_bytes):
            end = min(stop, place + self._block_bytes)
            block = self._ask(name, functools.partial(self._system.cat_file, path, start=place, end=end))
            if len(block) != end - place:
                what = f"could not be accessed: it ended early, after {place + len(block):,} of {stop:,} bytes."
                raise StoreError(self._address.of(name), what, may_pass=True)
            yield block

    def _ask(self, name: str, call: Callable[[], T]) -> T:
        """Make a call of fsspec; its error is told again, and never in the context of ours: it may hold keys."""
        check_process()
        url = self._address.of(name)
        try:
            return call()
        except (PyLoaderError, ModuleNotFoundError, MemoryError):
            raise
        except FileNotFoundError:
            error: StoreError = ObjectMissingError(url, "does not exist.", status=404)
        except PermissionError:
            error = StoreError(url, "was refused: permission denied.", "Look at storage_options", status=403)
        except Exception as exc:
            may_pass = isinstance(exc, OSError | TimeoutError)
            kind = type(exc).__name__
            error = StoreError(url, f"could not be accessed: fsspec failed ({kind}).", may_pass=may_pass)
        raise error

    def _stored(self, name: str, about: Mapping[str, Any]) -> Stored:
        key = next((key for key in _VERSIONS if about.get(key)), "")
        if not key and not self._unversioned:
            what = "has no version: its file system gives no ETag, no checksum and no time of the last change."
            hint = "If it never changes while it is read: storage_options={'unversioned': True}"
            raise StoreError(self._address.of(name), what, hint)
        found = about.get(key) if key else ""
        version = str(
            found.timestamp() if isinstance(found, datetime) else found
        )  # lists have the one, heads the other
        return Stored(name, int(about["size"]), version)

    def _read_only(self, name: str) -> StoreError:
        what = f"cannot be written: {self._address.scheme}:// is only read."
        return StoreError(self._address.of(name), what, "Write to a directory, or to s3://, gs:// or az://")
