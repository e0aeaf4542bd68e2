"""Fetching: the bytes of an object come to a file; after a failure that may pass, from the last byte on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from pyloader.errors import FetchError
from pyloader.files.stores import Store, StoredObject, StoreError
from pyloader.options import format_bytes

__all__ = ["Fetch", "fetch_object"]

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """How objects are fetched.

    Attributes:
      wait: Waits so many seconds, or raises when nobody wants the object any more.
      note_bytes: Called with the number of bytes that have come.
      note_retry: Called before each further request.
      deadline_seconds: How long requests are made again while nothing comes.
    """

    wait: Callable[[float], None]
    note_bytes: Callable[[int], None] = lambda _num_bytes: None
    note_retry: Callable[[], None] = lambda: None
    deadline_seconds: float = 60.0


def fetch_object(store: Store, stored: StoredObject, file: BinaryIO, how: Fetch) -> None:
    """Write the bytes of an object to `file`.

    As long as something comes, requests that fail for a reason that may pass are made again; each time later, at a time
    of chance, so that a thousand readers do not come back together.

    Raises:
      FetchError: it does not exist, may not be read or has changed, or nothing has come for the deadline.
      Exception: what `how.wait` raises.
    """
    position, begun = 0, time.monotonic()
    latest, num_tries, num_failed = begun, 0, 0
    while position < stored.size:
        num_tries += 1
        try:
            for block in store.read(stored.name, position, stored.size, version=stored.version):
                file.write(block)
                position += len(block)
                how.note_bytes(len(block))
                latest, num_failed = time.monotonic(), 0
            if position < stored.size:
                raise StoreError("ended before its end.", may_pass=True)
        except StoreError as exc:
            seconds = time.monotonic() - begun
            tries = f"{num_tries:,} {'try' if num_tries == 1 else 'tries'} in {seconds:.0f} s"
            received = f"{format_bytes(position)} of {format_bytes(stored.size)} received"
            what = f"{str(exc).rstrip('.')}; {tries}, {received}."
            if not exc.may_pass:
                raise FetchError(store.shown(stored.name), what, exc.hint) from exc
            if time.monotonic() - latest >= how.deadline_seconds:
                # The cause says to read_retries that it may pass all the same.
                raise FetchError(store.shown(stored.name), what, exc.hint) from TimeoutError(str(exc))
            num_failed += 1
            how.wait(_wait_seconds(num_failed, exc.retry_after))
            how.note_retry()


def _wait_seconds(num_failed: int, retry_after: float | None) -> float:
    """Return how long to wait: what the server asks for, at least, or twice as long each time, times 0.5 to 1."""
    share = 0.5 + int.from_bytes(os.urandom(2), "big") / 2**17
    seconds: float = min(_FIRST_WAIT_SECONDS * 2.0 ** min(num_failed, 10), _LONGEST_WAIT_SECONDS) * share
    return seconds if retry_after is None else retry_after + seconds
