"""Whether a server keeps to the conditions of writes: some take the headers, and overwrite all the same."""

from __future__ import annotations

import uuid

from pyloader.errors import ObjectChangedError, ObjectExistsError, StoreError
from pyloader.files.stores.store import Store

__all__ = ["check_conditions"]


def check_conditions(store: Store, *, replaces: bool) -> None:
    """Try it with an object of a name that nobody else has, which is removed at the end.

    Args:
      store: Where something is to be written.
      replaces: Whether objects are to be replaced, too, and not only created.

    Raises:
      StoreError: the store overwrites what is there, or replaces what has changed; or nothing can be written.
    """
    name = f".pyloader-trial-{uuid.uuid4().hex}"
    version = store.create(name, b"1")
    try:
        try:
            store.create(name, b"2")
        except ObjectExistsError:
            pass
        else:
            what = "overwrites objects that were only to be created, so two writers could undo each other's work."
            raise StoreError(store.url, what, "Write to a directory, and copy it there")
        if replaces:
            store.replace(name, b"3", version=version)
            try:
                store.replace(name, b"4", version=version)
            except ObjectChangedError:
                pass
            else:
                what = "replaces objects that others have changed, so two writers could undo each other's work."
                raise StoreError(store.url, what, "Write everything to a new place, in one go")
    finally:
        store.delete(name)
