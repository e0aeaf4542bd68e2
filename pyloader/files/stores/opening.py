"""Which store an address names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pyloader.errors import StoreError
from pyloader.files.stores.addresses import Address, parse_address
from pyloader.files.stores.local import LocalStore
from pyloader.files.stores.store import Store

__all__ = ["open_store"]

_OBSTORE = ("s3", "gs", "az", "http", "https")


def open_store(address: str | os.PathLike[str] | Address, *, storage_options: Mapping[str, Any] | None = None) -> Store:
    """Return the store that an address names; nothing is sent yet.

    Args:
      address: s3://, gs://, az://, http(s)://, file://, or what fsspec knows.
      storage_options: Options of the store; see `RemoteStore` and `FsspecStore`.  None is none.

    Raises:
      StoreError: it is no address, or an option or a variable of the environment is wrong.
      MissingDependencyError: the package that it needs is not installed.
    """
    place = address if isinstance(address, Address) else parse_address(address)
    if place.scheme in _OBSTORE:
        from pyloader.files.stores.remote import RemoteStore  # only here: a split on a disk starts sooner

        return RemoteStore(place, storage_options)
    if place.scheme != "file":
        from pyloader.files.stores.fsspec_store import FsspecStore

        return FsspecStore(place, storage_options)
    if storage_options:
        raise StoreError(str(place), f"takes no storage_options, got {min(storage_options)!r}.")
    return LocalStore(f"/{place.path}")
