"""S3, Google Cloud Storage, Azure and HTTP as stores, through obstore."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pyloader.errors import ObjectMissingError, PyLoaderError, StoreError, import_optional
from pyloader.files.stores.addresses import Address
from pyloader.files.stores.answers import told_again
from pyloader.files.stores.connecting import Client, check_process, obstore_client, timeout_seconds
from pyloader.files.stores.retry_after import retry_after
from pyloader.files.stores.store import Incoming, Store, Stored, changed, check_name

__all__ = ["RemoteStore"]

_BLOCK_BYTES = 2**20
_PAGE = 1000

T = TypeVar("T")


class RemoteStore(Store):
    """The objects below an s3://, gs://, az://, http:// or https:// address.

    Args:
      address: Where they are.
      options: The `storage_options`.  Besides those of obstore: `headers` of all requests; `timeout_seconds` (20.0),
        the silence after which a request fails; `unversioned` (False): take objects that have no version, ETag or
        time of change, though they may change under a run.
      block_bytes: How many bytes a block has at least, but for the last one.
    """

    def __init__(self, address: Address, options: Mapping[str, Any] | None = None, *, block_bytes: int = _BLOCK_BYTES):
        given = dict(options or {})
        self.url, self._address, self._block_bytes = str(address), address, block_bytes
        self._unversioned = bool(given.pop("unversioned", False))
        self._options = given
        self._timeout_seconds = timeout_seconds(given)
        self._client = obstore_client(address, given)
        self._writer: Client | None = None
        self._obstore = import_optional("obstore", wanted_by=f"data at {address.scheme}://")
        self._no_ranges = import_optional("obstore.exceptions", wanted_by="stores").NotSupportedError
        self._is_web = address.scheme in ("http", "https")

    def list(self, prefix: str = "") -> Iterator[Stored]:
        if self._is_web:
            hint = "Put a manifest.json beside the chunks, made where they are on a disk: pyloader index DIR"
            raise StoreError(self.url, "cannot be listed: servers of HTTP do not tell what they hold.", hint)
        pages = self._obstore.list(self._client, prefix or None, chunk_size=_PAGE)
        while (page := self._ask("", lambda: next(pages, None))) is not None:
            yield from (self._stored(about) for about in page if about["size"] or self._is_object(about["path"]))

    def head(self, name: str) -> Stored:
        check_name(self.url, name)
        try:
            return self._stored(self._ask(name, lambda: self._obstore.head(self._client, name)))
        except StoreError as exc:
            # A signature in the address may be for GET alone, and some servers know no HEAD.
            if not self._is_web or exc.status not in (403, 405, 501):
                raise
        return self.open(name).stored

    def open(self, name: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Incoming:
        check_name(self.url, name)
        if stop is not None and stop <= start:  # a range of no bytes cannot be asked for
            return Incoming(self._checked(self.head(name), version), iter(()))
        options: dict[str, Any] = {}
        if version and version.startswith('"'):  # another kind of version cannot be asked for
            options["if_match"] = version
        if start or stop is not None:
            options["range"] = {"offset": start} if stop is None else (start, stop)
        try:
            answer = self._ask(name, lambda: self._get(name, options))
        except StoreError as exc:
            if exc.status != 412 or version is None:
                raise
            answer = None
        if answer is None:
            raise changed(self._address.of(name), str(version), self.head(name).version)
        stored = self._checked(self._stored(answer.meta), version)
        end = stored.size if stop is None else min(stop, stored.size)
        is_whole = "range" in options and tuple(answer.range) == (0, stored.size) != (start, end)
        return Incoming(stored, self._blocks(answer, name, start, end), is_whole)

    def create(self, name: str, data: bytes | memoryview) -> str:
        return self._put(name, data, "create")

    def replace(self, name: str, data: bytes | memoryview, *, version: str) -> str:
        mode = {"e_tag": version}
        if self._address.scheme == "gs":  # its servers compare generations
            about = self._ask(name, lambda: self._obstore.head(self._client, name))
            self._checked(self._stored(about), version)
            mode["version"] = about["version"]
        try:
            return self._put(name, data, mode)
        except StoreError as exc:
            if exc.status != 412:
                raise
        raise changed(self._address.of(name), version, self.head(name).version)

    def delete(self, name: str) -> None:
        check_name(self.url, name)
        if self._is_web:
            raise StoreError(self._address.of(name), "cannot be removed: what HTTP serves is only read.")
        with contextlib.suppress(ObjectMissingError):
            self._ask(name, lambda: self._obstore.delete(self._client, name))

    def _is_object(self, name: str) -> bool:
        """Tell an empty object from a "directory", an object "a/" that consoles make, and obstore lists as "a"."""
        try:
            return bool(name and self._ask(name, lambda: self._obstore.head(self._client, name)))
        except ObjectMissingError:
            return False

    def _get(self, name: str, options: dict[str, Any]) -> Any:
        """Return obstore's answer: of the whole object, where the server knows no ranges."""
        try:
            return self._obstore.get(self._client, name, options=options)
        except self._no_ranges:
            pass
        without = {key: value for key, value in options.items() if key != "range"}
        return self._obstore.get(self._client, name, options=without)

    def _blocks(self, answer: Any, name: str, start: int, stop: int) -> Iterator[bytes]:
        stream, place = answer.stream(min_chunk_size=self._block_bytes), answer.range[0]
        while place < stop and (block := self._ask(name, lambda: next(stream, None))) is not None:
            begin, place = place, place + len(block)
            if place > start:
                yield block[max(0, start - begin) : stop - begin]
        if place < stop:
            what = f"could not be accessed: it ended early, after {place:,} of {stop:,} bytes."
            raise StoreError(self._address.of(name), what, may_pass=True)

    def _put(self, name: str, data: bytes | memoryview, mode: str | dict[str, str]) -> str:
        check_name(self.url, name)
        if self._writer is None:
            self._writer = obstore_client(self._address, self._options, writes=True)
        put = self._obstore.put
        about = self._ask(name, lambda: put(self._writer, name, data, mode=mode, use_multipart=False))
        return _version({"last_modified": None, **about}) or self.head(name).version

    def _ask(self, name: str, call: Callable[[], T]) -> T:
        """Make a call of obstore; its error is told again, and never in the context of ours."""
        check_process()
        try:
            return call()
        except BaseException as exc:
            is_panic = type(exc).__name__ == "PanicException"  # no Exception: obstore itself has a fault
            if isinstance(exc, PyLoaderError | MemoryError | TypeError) or not (isinstance(exc, Exception) or is_panic):
                raise
            url = self._address.of(name)
            error = told_again(exc, self._address, url, timeout_seconds=self._timeout_seconds)
        if error.status in (429, 503):
            error.retry_after_seconds = retry_after(self._client, self._address, name)
        raise error

    def _stored(self, about: Mapping[str, Any]) -> Stored:
        version, modified = _version(about), about["last_modified"].timestamp()
        if not version and not self._unversioned:
            what = "has no version: its server gives no ETag and no time of the last change."
            hint = "If it never changes while it is read: storage_options={'unversioned': True}"
            raise StoreError(self._address.of(about["path"]), what, hint)
        return Stored(about["path"], about["size"], version, modified or None)

    def _checked(self, stored: Stored, version: str | None) -> Stored:
        """Compare what came with what was asked for: not all servers know If-Match."""
        if version is not None and stored.version.removeprefix("W/") != version.removeprefix("W/"):
            raise changed(self._address.of(stored.name), version, stored.version)
        return stored


def _version(about: Mapping[str, Any]) -> str:
    if etag := about["e_tag"]:
        return etag if etag.endswith('"') else f'"{etag}"'  # Azure lists them without quotes, and heads them with
    if about["version"]:
        return f"version {about['version']}"
    when = about["last_modified"]
    return f"modified {when.isoformat()}" if when is not None and when.timestamp() else ""
