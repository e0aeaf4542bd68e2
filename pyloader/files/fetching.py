"""Fetching: the bytes of an object come to a file; after a failure that may pass, from the last byte on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import xxhash

from pyloader.errors import ChunkReadError, StoreError
from pyloader.files.stores import Store, Stored
from pyloader.options import format_bytes

__all__ = ["FetchTerms", "ask_again", "fetch_object"]

T = TypeVar("T")

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
_NUM_TRIES = 4


@dataclass(frozen=True, kw_only=True)
class FetchTerms:
    """How objects are fetched, and who is told.

    Attributes:
      wait: Waits so many seconds, and returns False; True, or an error, when nobody wants the object any more.
      note_bytes: Called with the number of bytes that have come.
      note_retry: Called before each further request.
      deadline_seconds: How long requests are made again while nothing comes.
    """

    wait: Callable[[float], bool]
    note_bytes: Callable[[int], None] = lambda _num_bytes: None
    note_retry: Callable[[], None] = lambda: None
    deadline_seconds: float = 60.0


def fetch_object(store: Store, stored: Stored, file: BinaryIO, terms: FetchTerms) -> str:
    """Write the bytes of an object to `file`, and return their checksum, as `checksum_of` gives it.

    As long as something comes, requests that fail for a reason that may pass are made again; each time later, and at a
    time of chance, so that a thousand readers do not come back together.

    Raises:
      ChunkReadError: it does not exist, may not be read or has changed, or nothing has come for the deadline.
      Exception: what `terms.wait` raises.
    """
    digest = xxhash.xxh3_64()
    position = num_failed = 0
    begun = latest = time.monotonic()
    num_tries = 1
    while position < stored.size:
        try:
            for block in store.open(stored.name, position, stored.size, version=stored.version or None).blocks:
                file.write(block)
                digest.update(block)
                position += len(block)
                terms.note_bytes(len(block))
                latest, num_failed = time.monotonic(), 0
        except StoreError as exc:
            tries = f"{num_tries:,} {'try' if num_tries == 1 else 'tries'} in {time.monotonic() - begun:.0f} s"
            received = f"{format_bytes(position)} of {format_bytes(stored.size)} received"
            failed = ChunkReadError(exc.path, f"{exc.what.rstrip('.')}; {tries}, {received}.", exc.hint)
            if not exc.may_pass:
                raise failed from exc
            seconds_left = latest + terms.deadline_seconds - time.monotonic()
            if seconds_left <= 0:
                raise failed from TimeoutError(exc.what)  # which says to read_retries that it may pass all the same
            num_failed, num_tries = num_failed + 1, num_tries + 1
            if terms.wait(min(seconds_left, _wait_seconds(num_failed, exc.retry_after_seconds))):
                raise failed from exc
            terms.note_retry()
    return f"xxh3:{digest.hexdigest()}"


def ask_again(ask: Callable[[], T], *, num_tries: int = _NUM_TRIES, seconds: float = _LONGEST_WAIT_SECONDS) -> T:
    """Return what `ask` answers; it is called up to 4 times within 10 seconds while it fails for what may pass.

    Raises:
      StoreError: what it raises.
    """
    end = time.monotonic() + seconds
    for number in range(1, num_tries):
        try:
            return ask()
        except StoreError as exc:
            seconds_left = end - time.monotonic()
            if not exc.may_pass or seconds_left <= 0:
                raise
            time.sleep(min(seconds_left, _wait_seconds(number, exc.retry_after_seconds)))
    return ask()


def _wait_seconds(num_failed: int, retry_after_seconds: float | None) -> float:
    """Return how long to wait: twice as long each time, times 0.5 to 1; on top of what the server asks for."""
    share = 0.5 + int.from_bytes(os.urandom(2), "big") / 2**17
    return (retry_after_seconds or 0.0) + min(
        _FIRST_WAIT_SECONDS * 2.0 ** min(num_failed, 10), _LONGEST_WAIT_SECONDS
    ) * share
