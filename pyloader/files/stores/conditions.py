"""Whether a server keeps to the conditions of writes: some take the headers, and overwrite all the same."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from pyloader.errors import ObjectChangedError, ObjectExistsError, StoreError
from pyloader.files.stores.store import Store

__all__ = ["Conditions", "check_conditions"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a trial has shown of a store that creates objects without overwriting any.

    Attributes:
      replaces: Whether it replaces objects if they are unchanged, and only then.
      now: What its clock showed, seconds since 1970; None where it tells no times.
    """

    replaces: bool
    now: float | None


def check_conditions(store: Store, *, replaces: bool) -> Conditions:
    """Try it with an object of a name that nobody else has, which is removed at the end.

    Args:
      store: Where something is to be written.
      replaces: Whether objects must be replaced, too, and not only created.

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
        now = store.head(name).modified
        does_replace = _replaces(store, name, version)
        if replaces and not does_replace:
            what = "replaces objects that others have changed, so two writers could undo each other's work."
            raise StoreError(store.url, what, "Write everything to a new place, in one go")
        return Conditions(does_replace, now)
    finally:
        store.delete(name)


def _replaces(store: Store, name: str, version: str) -> bool:
    try:
        store.replace(name, b"3", version=version)
        store.replace(name, b"4", version=version)
    except ObjectChangedError:
        return True
    except StoreError as exc:
        if exc.may_pass or exc.status not in (400, 405, 501):  # servers that know no such condition
            raise
    return False
