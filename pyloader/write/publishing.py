"""The manifests of a place in a store, and what belongs to them, change all at once, as far as writers can tell.

What each is to be is written to .split/complete first, and then it is made sure once more that the lock is still held.
After that, who takes the writer's place ends the changing first, wherever it is, whatever it is to write.  A record of
somebody else than the writer whose place was taken is of one that had lost the lock before: it counts for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import partial

import msgspec

from pyloader.errors import ObjectChangedError, ObjectExistsError, ObjectMissingError, OutputDirError
from pyloader.files import INPUTS_NAME, MANIFEST_NAME, STAGING_NAME, VERSIONS_NAME
from pyloader.files.fetching import ask_again
from pyloader.files.store_lock import StoreLock
from pyloader.files.store_writing import create_object, replace_object
from pyloader.files.stores import Store
from pyloader.write.removing import COMPLETE

__all__ = ["SMALL_FILES", "Change", "finish_publishing", "publish"]

SMALL_FILES = (VERSIONS_NAME, INPUTS_NAME, MANIFEST_NAME)
_COMPLETE = f"{STAGING_NAME}/{COMPLETE}"
_NAME = re.compile(rf"([\w-]+/)?({'|'.join(map(re.escape, SMALL_FILES))})")


class Change(msgspec.Struct):
    """What an object is to be, and the version that it has before; "" where it is not there."""

    name: str
    data: str
    version: str


class _Record(msgspec.Struct):
    """What .split/complete holds."""

    holder: str
    changes: list[Change]


def publish(store: Store, shown: str, changes: Iterable[Change], lock: StoreLock) -> None:
    """Write the objects, manifests last; all chunks that they list are there.

    Args:
      store: The place.
      shown: What it is called.
      changes: The objects.
      lock: Of the place.

    Raises:
      OutputDirError: one of them was changed meanwhile.
      StoreError: the store cannot be written.
    """
    ordered = sorted(changes, key=lambda change: (change.name.endswith(MANIFEST_NAME), change.name))
    record = _Record(lock.holder, ordered)
    data = msgspec.json.encode(record)
    lock.check()
    try:
        create_object(store, _COMPLETE, data)
    except ObjectExistsError:  # of one that had lost the lock
        ask_again(partial(store.delete, _COMPLETE))
        create_object(store, _COMPLETE, data)
    lock.check()
    _finish(store, shown, record)


def finish_publishing(store: Store, shown: str, holders: Collection[str]) -> None:
    """Go on with what a writer has begun to publish; where none has, do nothing.

    Args:
      store: The place.
      shown: What it is called.
      holders: The writers who held the lock until now.
    """
    record = _record(store, shown)
    if record is not None and record.holder in holders:
        _finish(store, shown, record)
    elif record is not None:
        ask_again(partial(store.delete, _COMPLETE))


def _finish(store: Store, shown: str, record: _Record) -> None:
    try:
        for change in record.changes:
            _change(store, shown, change)
    except (OutputDirError, ObjectChangedError, ObjectExistsError, ObjectMissingError):
        if _is_there(store, shown, record):
            raise
        return  # somebody has taken this writer's place, and has ended it
    if _is_there(store, shown, record):
        ask_again(partial(store.delete, _COMPLETE))


def _is_there(store: Store, shown: str, record: _Record) -> bool:
    found = _record(store, shown)
    return found is not None and found.holder == record.holder


def _record(store: Store, shown: str) -> _Record | None:
    try:
        data = ask_again(partial(store.read, _COMPLETE))
    except ObjectMissingError:
        return None
    place = f"{shown}/{_COMPLETE}"
    try:
        record = msgspec.json.decode(data, type=_Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise OutputDirError(place, f"is damaged ({exc}).", "Remove it") from exc
    if odd := [change.name for change in record.changes if not _NAME.fullmatch(change.name)]:
        raise OutputDirError(place, f"names {odd[0]!r}, which no writer changes.", "Remove it")
    return record


def _change(store: Store, shown: str, change: Change) -> None:
    data = change.data.encode()
    try:
        stored = ask_again(partial(store.head, change.name))
    except ObjectMissingError:
        create_object(store, change.name, data)
        return
    if ask_again(partial(store.read, change.name)) == data:
        return
    if stored.version != change.version:
        what = "was changed meanwhile by somebody who has not waited for the writer to end."
        hint = f"Look which is right; {shown}/{_COMPLETE} has what the writer would write: remove it, or what is there"
        raise OutputDirError(f"{shown}/{change.name}", what, hint)
    replace_object(store, change.name, data, version=stored.version)
