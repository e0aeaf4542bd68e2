"""Fetching: the bytes of an object come to a file; after a failure that may pass, from the last byte on."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar

import xxhash

from pyloader.errors import ChunkReadError, StoreError
from pyloader.files.byte_ranges import cut_ranges
from pyloader.files.stores import Store, Stored
from pyloader.options import format_bytes

__all__ = ["Called", "FetchTerms", "ask_again", "fetch_object", "fetch_ranges", "num_parts", "object_blocks"]

T = TypeVar("T")

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
_NUM_TRIES = 4
_PART_BYTES = 2**24
_MOST_PARTS = 4

# Makes calls that wait for a store, and yields what they return, in order.
Called: TypeAlias = "Callable[[Iterable[Callable[[], Any]]], Iterable[Any]]"


@dataclass(frozen=True, kw_only=True)
class FetchTerms:
    """How objects are fetched, and who is told.

    Attributes:
      wait: Waits so many seconds, and returns False; True, or an error, when nobody wants the object any more.
      note_bytes: Called with the number of bytes that have come, in any thread; an error of it ends the fetch.
      note_retry: Called before each further request.
      deadline_seconds: How long requests are made again while nothing comes.
    """

    wait: Callable[[float], bool]
    note_bytes: Callable[[int], None] = lambda _num_bytes: None
    note_retry: Callable[[], None] = lambda: None
    deadline_seconds: float = 60.0


def fetch_object(store: Store, stored: Stored, file: BinaryIO, terms: FetchTerms) -> str:
    """Write the bytes of an object to `file`, and return their checksum, as `checksum_of` gives it.

    Raises:
      ChunkReadError: it does not exist, may not be read or has changed, or nothing has come for the deadline.
      Exception: what `terms.wait` raises.
    """
    digest = xxhash.xxh3_64()
    with _as_chunk_errors():
        for block in object_blocks(store, stored, terms):
            file.write(block)
            digest.update(block)
            terms.note_bytes(len(block))
    return f"xxh3:{digest.hexdigest()}"


def num_parts(num_bytes: int) -> int:
    """Return in how many pieces so many bytes are fetched: 1, and up to 4 where they are many."""
    return max(1, min(_MOST_PARTS, num_bytes // _PART_BYTES))


def fetch_ranges(
    store: Store, stored: Stored, path: Path, ranges: Iterable[tuple[int, int]], terms: FetchTerms, called: Called
) -> None:
    """Write ranges of an object's bytes to their places in a file of its length, in pieces that come at the same time.

    A connection has a rate of its own at most stores, so that many bytes come sooner by several.

    Raises:
      ChunkReadError, Exception: as `fetch_object`; the server sends whole objects only.
    """
    has_failed: list[bool] = []

    def fetch_piece(start: int, stop: int) -> None:
        try:
            with open(path, "r+b", buffering=0) as file:
                file.seek(start)
                for block in object_blocks(store, stored, terms, start, stop, needs_ranges=True):
                    if has_failed:
                        return
                    file.write(block)
                    terms.note_bytes(len(block))
        except BaseException:
            has_failed.append(True)  # the others end
            raise

    wanted = list(ranges)
    total = sum(stop - start for start, stop in wanted)
    pieces = cut_ranges(wanted, total / num_parts(total) or 1)
    calls = [partial(fetch_piece, *piece) for piece in pieces]
    with _as_chunk_errors():
        for _ in called(calls) if len(calls) > 1 else (call() for call in calls):
            pass


@contextlib.contextmanager
def _as_chunk_errors() -> Iterator[None]:
    try:
        yield
    except StoreError as exc:
        # A cause of that class says to read_retries that it may pass all the same.
        cause = TimeoutError(exc.what) if exc.may_pass else exc
        raise ChunkReadError(exc.path, exc.what, exc.hint) from cause


def object_blocks(
    store: Store,
    stored: Stored,
    terms: FetchTerms,
    start: int = 0,
    stop: int | None = None,
    *,
    needs_ranges: bool = False,
) -> Iterator[bytes]:
    """Yield the bytes of one version of an object, from `start` to `stop`; None is its end.

    As long as something comes, requests that fail for a reason that may pass are made again, from the last byte on;
    each time later, and at a time of chance, so that a thousand readers do not come back together.  With `needs_ranges`
    a server is refused that sends all of an object, whatever is asked for.

    Raises:
      StoreError: it does not exist, may not be read or has changed, or nothing has come for the deadline; the message
        says what was tried, and how much has come.
      Exception: what `terms.wait` raises.
    """
    position, stop = start, stored.size if stop is None else stop
    num_failed, num_tries = 0, 1
    begun = latest = time.monotonic()
    while position < stop:
        try:
            incoming = store.open(stored.name, position, stop, version=stored.version or None)
            if needs_ranges and incoming.is_whole:
                what = "is sent whole, whatever is asked for: its server knows no ranges, and parts of files need them."
                raise StoreError(
                    _place(store, stored), what, "Copy it to a disk or to an object store, and name it there"
                )
            for block in incoming.blocks:
                position += len(block)
                yield block
                latest, num_failed = time.monotonic(), 0
        except StoreError as exc:
            seconds_left = latest + terms.deadline_seconds - time.monotonic()
            if not exc.may_pass or seconds_left <= 0:
                raise _told(exc, num_tries, begun, position - start, stop - start) from exc
            num_failed, num_tries = num_failed + 1, num_tries + 1
            if terms.wait(min(seconds_left, _wait_seconds(num_failed, exc.retry_after_seconds))):
                raise _told(exc, num_tries - 1, begun, position - start, stop - start) from exc
            terms.note_retry()


def _place(store: Store, stored: Stored) -> str:
    return f"{store.url.rstrip('/')}/{stored.name}"


def _told(exc: StoreError, num_tries: int, begun: float, received: int, wanted: int) -> StoreError:
    tries = f"{num_tries:,} {'try' if num_tries == 1 else 'tries'} in {time.monotonic() - begun:.0f} s"
    came = f"{format_bytes(received)} of {format_bytes(wanted)} received"
    what = f"{exc.what.rstrip('.')}; {tries}, {came}."
    return type(exc)(exc.path, what, exc.hint, status=exc.status, may_pass=exc.may_pass)


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
