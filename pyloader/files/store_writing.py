"""Small and large objects come to a store: asked again where that makes sense, and never over what others wrote."""

from __future__ import annotations

import hashlib
from functools import partial

from pyloader.errors import ObjectChangedError, ObjectExistsError, ObjectMissingError
from pyloader.files.fetching import ask_again
from pyloader.files.stores import Store

__all__ = ["create_object", "replace_object"]

# A minute: a store that many write to at the same time says now and then that it is busy.
_patiently = partial(ask_again, num_tries=100, seconds=60.0)


def create_object(store: Store, name: str, data: bytes) -> str:
    """Create an object, and return its version; one that is there already must hold the same bytes.

    A request that fails for what may pass is made again for a minute; one whose answer was lost finds what it has
    written.

    Raises:
      ObjectExistsError: it is there, and holds other bytes.
      StoreError: it cannot be written.
    """
    try:
        return _patiently(partial(store.create, name, data))
    except ObjectExistsError:
        if (version := _version_that_holds(store, name, data)) is None:
            raise
        return version


def replace_object(store: Store, name: str, data: bytes, *, version: str) -> str:
    """Write an object anew if it still has this version, and return the new one.

    Raises:
      ObjectMissingError: it is gone.
      ObjectChangedError: it has another version, and other bytes than these.
      StoreError: it cannot be written.
    """
    try:
        return _patiently(partial(store.replace, name, data, version=version))
    except ObjectChangedError:
        if (found := _version_that_holds(store, name, data)) is None:
            raise
        return found


def _version_that_holds(store: Store, name: str, data: bytes) -> str | None:
    """Return the version of an object that holds these bytes; None where it holds others, or is gone."""
    try:
        stored = ask_again(partial(store.head, name))
        if stored.size != len(data):
            return None
        digest = ask_again(partial(_digest, store, name, stored.version))
    except (ObjectMissingError, ObjectChangedError):
        return None
    return stored.version if digest == hashlib.sha256(data).digest() else None


def _digest(store: Store, name: str, version: str) -> bytes:
    digest = hashlib.sha256()
    for block in store.open(name, version=version or None).blocks:
        digest.update(block)
    return digest.digest()
