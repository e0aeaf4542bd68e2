"""What an object store does, whichever it is: list, head, open, create, replace, delete."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from pyloader.errors import ObjectChangedError, StoreError

__all__ = ["Incoming", "Store", "Stored", "changed", "check_name"]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store says of an object.

    Attributes:
      name: Below the store's address, with forward slashes.
      size: Bytes.
      version: What changes when the bytes do: the ETag, else the version's number, else the time of the last change.
        "" where the server tells none of them, which storage_options={"unversioned": True} permits.
      modified: Seconds since 1970, None when unknown.
    """

    name: str
    size: int
    version: str
    modified: float | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """An object, or a part of one, that is being read.

    Attributes:
      stored: What the server's answer says of the object: its whole size, its version.
      blocks: The bytes, in order; all that was asked for, or a StoreError after those that came.  Closing it ends the
        request.
      is_whole: Whether a range was asked for, and the server sends all of the object: `blocks` are still the range.
    """

    stored: Stored
    blocks: Iterator[bytes]
    is_whole: bool = False


class Store(ABC):
    """Objects below one address, read and written without threads; several threads may use it at the same time.

    Nothing is tried again here: a StoreError says in `may_pass` and `retry_after_seconds` whether and when that makes
    sense.  After an error of a write that may pass, the object may have been written.

    Names are relative to the address, with forward slashes; no part of a name is "", "." or "..".

    Attributes:
      url: The address, without anything that is secret.
    """

    url: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Yield the objects below the directory `prefix`, and those below its subdirectories, in no order.

        Raises:
          StoreError: they cannot be listed; over HTTP never.
        """

    @abstractmethod
    def head(self, name: str) -> Stored:
        """Return what the store says of an object.

        Raises:
          ObjectMissingError: there is none.
          StoreError: the store cannot be asked, or gives no version.
        """

    @abstractmethod
    def open(self, name: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Incoming:
        """Begin to read the bytes from `start` to `stop`; both count from 0, and `stop` is not read.

        Args:
          name: The object.
          start: The first byte, at most the object's size.
          stop: At most the object's size.  None is the object's end.
          version: Read only this one.  None takes what is there; then its version is in the answer.

        Raises:
          ObjectMissingError: there is none.
          ObjectChangedError: it has another version.
          StoreError: it cannot be read.
        """

    def read(self, name: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> bytes:
        """Return the bytes from `start` to `stop`: `open`, joined."""
        return b"".join(self.open(name, start, stop, version=version).blocks)

    @abstractmethod
    def create(self, name: str, data: bytes | memoryview) -> str:
        """Write an object that must not be there yet, whole or not at all, and return its version.

        Raises:
          ObjectExistsError: it is there.
          StoreError: it cannot be written.
        """

    @abstractmethod
    def replace(self, name: str, data: bytes | memoryview, *, version: str) -> str:
        """Write an object anew if it still has this version, and return the new one.

        Raises:
          ObjectMissingError: it is gone.
          ObjectChangedError: it has another version.
          StoreError: it cannot be written.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error.

        Raises:
          StoreError: it cannot be removed.
        """


def changed(url: str, wanted: str, found: str) -> ObjectChangedError:
    """Return the error for an object that has another version than the one that was asked for."""
    what = f"has changed: its version is {found or 'unknown'}, and was {wanted}."
    return ObjectChangedError(url, what, "Make a new loader once nothing is written there any more", status=412)


def check_name(url: str, name: str) -> None:
    """Raise when `name` could lead out of the store.

    Raises:
      StoreError: a part of it is "", "." or "..".
    """
    if "\0" in name or {"", ".", ".."}.intersection(name.split("/")):
        raise StoreError(url, f"can have no object that is called {name!r}.")
