"""One writer for a place in a store: an object that says who writes there, renewed as long as that goes on.

Where nobody writes, and nothing was begun, there is no such object.  A writer that was stopped in order leaves it, and
says so in it: then the same command goes on.  One that was killed leaves it too, and renews it no more; it may be taken
over when 60 seconds have passed by the clock of the store, or at once where this machine knows that its process has
ended.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from functools import partial
from threading import Lock

import msgspec

from pyloader.errors import ObjectChangedError, ObjectExistsError, ObjectMissingError, OutputDirError, StoreError
from pyloader.files.cache.disks import boot_of_machine
from pyloader.files.coming import STAGING_NAME
from pyloader.files.fetching import ask_again
from pyloader.files.store_writing import create_object, replace_object
from pyloader.files.stores import Store, check_conditions
from pyloader.files.takes import Takes

__all__ = ["RENEWED_EVERY_SECONDS", "StoreLock", "lock_store"]

_NAME = f"{STAGING_NAME}/lease"
_MAX_BYTES = 2**16
_SILENT_SECONDS = 60
RENEWED_EVERY_SECONDS = 15.0
_TRIES = 5


class _Writer(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes, as the object says it.

    Attributes:
      work: What was begun, by a number of its own; who goes on with it has the same one.
      holder: This process, by a number of its own.
      host: Its machine.
      boot: The boot of that, and what its process numbers belong to; "" where that is not known.
      process: Its number.
      started: When it was started, as its machine counts; "" where that is not known.
      command: What it does; "" for what nobody can go on with.
      count: How often it has renewed this.
      outputs: The directories of the place in which it may leave chunks that no manifest lists.
      is_stopped: Whether it has come to its end before what it does was complete.
      before: The holders whose places were taken, since all that was complete was brought to its end.
    """

    work: str
    holder: str
    host: str
    boot: str
    process: int
    started: str
    command: str
    count: int = 0
    outputs: tuple[str, ...] = ()
    is_stopped: bool = False
    before: tuple[str, ...] = ()

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine, and is none any more."""
        return bool(self.boot and self.started) and self.boot == _boot() and self.started != _started(self.process)


class StoreLock:
    """The only right to write at a place in a store.

    Attributes:
      work: The number of what is done; the same as before where nobody else has written there since.
      before: The command that had begun something here before; None where nothing was begun.
      goes_on: Whether that was the same one.
      holder: The number of this writer.
      holders_before: Those of the writers whose place it took; what one of them has completed is to be ended first.
      outputs: The directories of the place in which chunks may be that no manifest lists.
      replaces: Whether the store replaces objects if they are unchanged, and only then.
    """

    def __init__(
        self, store: Store, mine: _Writer, version: str, before: _Writer | None, *, replaces: bool, goes_on: bool
    ) -> None:
        self._store, self._mine, self._version, self.replaces = store, mine, version, replaces
        self._guard = Lock()  # the thread that renews, and the writer
        self._lost: StoreError | None = None
        self.work, self.before, self.goes_on = mine.work, None if before is None else before.command, goes_on
        self.holder, self.holders_before = mine.holder, mine.before
        self.outputs = () if before is None else before.outputs

    def renew(self) -> None:
        """Say that the writing goes on; that somebody else writes by now is kept for `check`."""
        if not self.replaces:
            return
        with self._guard:
            if self._lost is None:
                try:
                    self._say(count=self._mine.count + 1)
                except (ObjectChangedError, ObjectMissingError) as exc:
                    self._lost = exc
                except StoreError:
                    pass  # it is renewed the next time, or nobody relies on it any more

    def check(self) -> None:
        """See to it that nobody else has begun to write.

        Raises:
          OutputDirError: somebody has, since this process was silent for a minute.
          StoreError: the store cannot be asked.
        """
        self._say_or_raise(count=self._mine.count + 1)

    def will_write(self, outputs: Iterable[str]) -> None:
        """Say that chunks come to these directories before a manifest lists them."""
        self.outputs = tuple(dict.fromkeys([*self.outputs, *outputs]))
        if self.outputs != self._mine.outputs:
            self._say_or_raise(outputs=self.outputs)

    def settle(self) -> None:
        """Say that what the writers before have completed is ended."""
        if self._mine.before:
            self._say_or_raise(before=())

    def stop(self) -> None:
        """Say that the same command can go on from here."""
        self._say_or_raise(is_stopped=True)

    def release(self) -> None:
        """Let others write; of those that have taken this one's place nothing is removed."""
        self.check()
        ask_again(partial(self._store.delete, _NAME))

    def _say_or_raise(self, **what: object) -> None:
        if not self.replaces:
            return
        with self._guard:
            try:
                if self._lost is None:
                    self._say(**what)
                    return
            except (ObjectChangedError, ObjectMissingError) as exc:
                self._lost = exc
        found = "was taken over by another writer, since this one had said nothing for a minute."
        raise OutputDirError(f"{self._store.url}/", found, "Give the same command again") from self._lost

    def _say(self, **what: object) -> None:
        mine = msgspec.structs.replace(self._mine, **what)
        self._version = replace_object(self._store, _NAME, msgspec.json.encode(mine), version=self._version)
        self._mine = mine


def lock_store(store: Store, *, command: str, takes: Takes, work: str = "") -> StoreLock:
    """Take the right to write at a place in a store.

    Args:
      store: The place.
      command: What is to be done there, which can be gone on with by the same one; "" for what cannot.
      takes: Whose place is taken.
      work: What this machine has begun there before, by its number; "" where it has not.

    Raises:
      OutputDirError: somebody else writes there, or has begun something.
      StoreError: the store cannot be asked, or does not keep to the conditions of writes.
    """
    found = ask_again(partial(check_conditions, store, replaces=False))
    host, boot, process = os.uname().nodename, _boot(), os.getpid()
    mine = _Writer(
        work=uuid.uuid4().hex, holder=uuid.uuid4().hex, host=host, boot=boot, process=process,
        started=_started(process), command=command,
    )  # fmt: skip
    for _ in range(_TRIES):
        try:
            version = create_object(store, _NAME, msgspec.json.encode(mine))
            return StoreLock(store, mine, version, None, replaces=found.replaces, goes_on=False)
        except ObjectExistsError:
            pass
        try:
            stored = ask_again(partial(store.head, _NAME))
            before = _said(store, stored.size)
        except ObjectMissingError:
            continue  # it has just come to its end
        age = 0.0 if found.now is None or stored.modified is None else found.now - stored.modified
        goes_on = bool(before.command) and before.command == command
        _check_may_take(store, before, age, takes, goes_on=goes_on)
        mine = msgspec.structs.replace(
            mine,
            work=work if goes_on and before.work == work else mine.work,
            outputs=before.outputs,
            before=(*before.before, before.holder),
        )
        try:
            version = _taken(store, mine, stored.version, replaces=found.replaces)
        except (ObjectExistsError, ObjectChangedError, ObjectMissingError):
            continue
        return StoreLock(store, mine, version, before, replaces=found.replaces, goes_on=goes_on)
    raise OutputDirError(f"{store.url}/", "has writers that come and go all the time.", "Give the same command again")


def _check_may_take(store: Store, before: _Writer, age: float, takes: Takes, *, goes_on: bool) -> None:
    is_over = before.is_stopped or before.is_gone
    place = f"{store.url}/"
    if not is_over and age < _SILENT_SECONDS:
        what = f"is being written by process {before.process} on {before.host}{_shown(before.command)}."
        seconds = _SILENT_SECONDS - max(0, int(age))
        remedy = f"Wait until it has ended. If it was killed, give the same command again in {seconds} s"
        raise OutputDirError(place, what, remedy)
    if goes_on or not before.command or (takes.stopped and is_over) or takes.silent:
        return
    if is_over:
        what = f"holds what was begun there and stopped{_shown(before.command)}."
        remedy = (
            f"Go on with that, or give it up, which deletes no chunk that a manifest lists: pyloader split {place} "
        )
        raise OutputDirError(place, what, f"{remedy}--discard-stopped")
    who = f"process {before.process} on {before.host}{_shown(before.command)}"
    what = f"was being written by {who}, silent for {age:.0f} s."
    remedy = "Go on with that; or, where it has surely ended, give up what it began: add --take-over"
    raise OutputDirError(place, what, remedy)


def _taken(store: Store, mine: _Writer, version: str, *, replaces: bool) -> str:
    """Put this writer in the place of the one before, and return the version of the object."""
    data = msgspec.json.encode(mine)
    if replaces:
        return replace_object(store, _NAME, data, version=version)
    ask_again(partial(store.delete, _NAME))
    return create_object(store, _NAME, data)


def _said(store: Store, size: int) -> _Writer:
    unknown = _Writer(work="", holder="", host="another machine", boot="", process=0, started="", command="unknown")
    if size > _MAX_BYTES:
        return unknown
    try:
        return msgspec.json.decode(ask_again(partial(store.read, _NAME)), type=_Writer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return unknown


def _shown(command: str) -> str:
    printed = "".join(character if character.isprintable() else " " for character in command)
    return f" ({printed})" if printed else ""


def _boot() -> str:
    """Return what tells this machine, and whose process numbers count here; "" where that is not known."""
    try:
        return f"{boot_of_machine()} {os.readlink('/proc/self/ns/pid')}" if boot_of_machine() else ""
    except OSError:
        return ""


def _started(process: int) -> str:
    """Return when a process of this machine was started; "" where it has ended, or that is not known."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            state, *rest = file.read().rpartition(b")")[2].split()
        return "" if state in (b"Z", b"X") else rest[18].decode()
    except (OSError, ValueError, IndexError):
        return ""
