"""A store in memory: for tests, and the shortest description of what a store does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from threading import Lock

from pyloader.errors import ObjectExistsError, ObjectMissingError
from pyloader.files.stores.store import Incoming, Store, Stored, changed, check_name

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Objects in a dictionary.

    Args:
      block_bytes: How many bytes a block has at most.
    """

    def __init__(self, *, block_bytes: int = 2**20) -> None:
        self.url = "memory://store"
        self._objects: dict[str, tuple[str, bytes]] = {}
        self._block_bytes, self._numbers, self._lock = block_bytes, itertools.count(1), Lock()

    def list(self, prefix: str = "") -> Iterator[Stored]:
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        with self._lock:
            held = sorted(self._objects.items())
        yield from (Stored(name, len(data), version) for name, (version, data) in held if name.startswith(start))

    def head(self, name: str) -> Stored:
        version, data = self._held(name)
        return Stored(name, len(data), version)

    def open(self, name: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Incoming:
        found, data = self._held(name)
        if version not in (None, found):
            raise changed(f"{self.url}/{name}", str(version), found)
        part, size = data[start:stop], self._block_bytes
        blocks = (part[place : place + size] for place in range(0, len(part), size))
        return Incoming(Stored(name, len(data), found), blocks)

    def create(self, name: str, data: bytes | memoryview) -> str:
        check_name(self.url, name)
        with self._lock:
            if name in self._objects:
                raise ObjectExistsError(f"{self.url}/{name}", "is there already.", status=412)
            return self._put(name, data)

    def replace(self, name: str, data: bytes | memoryview, *, version: str) -> str:
        with self._lock:
            found, _ = self._held(name)
            if found != version:
                raise changed(f"{self.url}/{name}", version, found)
            return self._put(name, data)

    def delete(self, name: str) -> None:
        with self._lock:
            self._objects.pop(name, None)

    def _held(self, name: str) -> tuple[str, bytes]:
        try:
            return self._objects[name]
        except KeyError:
            raise ObjectMissingError(f"{self.url}/{name}", "does not exist.", status=404) from None

    def _put(self, name: str, data: bytes | memoryview) -> str:
        version = f'"{next(self._numbers)}"'
        self._objects[name] = version, bytes(data)
        return version
