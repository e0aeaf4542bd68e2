"""Filling: all chunks at an address of a store are fetched into the cache, so that no network is needed after."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from pyloader.deliver import Pauses, at_once, called_at_once
from pyloader.errors import CacheError, DataDirError, StoreError
from pyloader.files import FetchTerms, StoredChunks, StoreOptions, list_chunks
from pyloader.machine.bars import progress_bar
from pyloader.options import parse_bytes
from pyloader.run.resolving import NUM_FETCHES

__all__ = ["FetchReport", "fetch"]

_MOST_PASSES = 3


@dataclass(kw_only=True)
class FetchReport:
    """What `fetch` did.

    Attributes:
      url: The address, without anything that is secret.
      cache_dir: The directory of the cache.
      num_chunks: How many chunks there are, all of which are in the cache now.
      num_bytes: Their size.
      num_fetched: How many of them were fetched.
      fetched_bytes: Bytes that came.
      num_retries: Requests that were made again, after errors that may pass.
      seconds: How long it took.
    """

    url: str
    cache_dir: str
    num_chunks: int
    num_bytes: int
    num_fetched: int = 0
    fetched_bytes: int = 0
    num_retries: int = 0
    seconds: float = 0.0


def fetch(
    data_dir: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_bytes: int | str | None = None,
    progress: bool = False,
) -> FetchReport:
    """Fetch all chunks at an address into the cache, 8 at a time; `DataLoader(..., offline=True)` reads them there.

    What is there is not fetched again, so a fetch that was stopped is gone on with.

    Args:
      data_dir: The address: s3://bucket/chunks, that of a file or a manifest, a pattern; or a manifest on a disk that
        lists what is in a store.
      storage_options: Options of the store, such as keys and an endpoint; None takes the usual variables of the
        environment.
      cache_dir: Where chunks are kept; None is $PYLOADER_CACHE, or ~/.cache/pyloader/chunks.
      cache_bytes: The most that is kept there, in bytes or as "200GB"; None is what the directory says, and at first
        half of what is free on its disk.
      progress: Show a bar on standard error.

    Raises:
      DataDirError: it is no address of a store, or nothing is there.
      CacheError: the cache cannot hold all chunks; the message has the arithmetic, and nothing was fetched.
      ChunkReadError: a chunk cannot be fetched.
      StoreError: the store cannot be asked.
      WriteError: the disk is full.
    """
    options = StoreOptions(
        cache_dir=None if cache_dir is None else os.fspath(cache_dir),
        cache_bytes=None if cache_bytes is None else parse_bytes(cache_bytes),
        storage_options=storage_options,
        called=called_at_once,
    )
    begun = time.monotonic()
    chunks = list_chunks(data_dir, options)
    stored = chunks.stored
    if stored is None:
        what = "lies on a disk of this machine: there is nothing to fetch."
        raise DataDirError(os.fspath(data_dir), what, "Name an address of a store, such as s3://bucket/chunks")
    report = FetchReport(
        url=chunks.place, cache_dir=stored.cache_dir, num_chunks=len(chunks), num_bytes=int(chunks.sizes.sum())
    )
    with progress_bar("fetching", total=report.num_bytes, unit="B", hidden=not progress) as bar:
        try:
            num_fetches = stored.register(num_fetches=min(NUM_FETCHES, len(chunks)), num_readers=0)
            stored.check_room_for_all()
            for _ in range(_MOST_PASSES):
                stored.user.foresee(stored.keys.reshape(-1), first=0)  # so that none of them goes before others
                _Pass(stored, chunks.sizes, report, bar).run(num_fetches)
                if stored.are_here().all():  # else loaders that run have taken the room meanwhile
                    break
            else:
                what = f"keeps only {int(stored.are_here().sum()):,} of {len(chunks):,} chunks: others need the room."
                raise CacheError(report.cache_dir, what, "Close the other loaders, or give a larger cache_bytes=")
        except KeyboardInterrupt:
            here = int(stored.are_here().sum())
            told = f"fetch: stopped; {here:,} of {len(chunks):,} chunks are here, and the same again goes on"
            raise KeyboardInterrupt(told) from None
        finally:
            stored.close()
    offline = replace(options, offline=True)
    try:
        list_chunks(data_dir, offline)
    except StoreError:  # the list has gone to make room for a chunk
        list_chunks(data_dir, options)
        list_chunks(data_dir, offline)
    report.seconds = time.monotonic() - begun
    return report


@dataclass
class _Pass:
    """One walk over all chunks, several at a time."""

    stored: StoredChunks
    sizes: Any  # int64 array: bytes of each chunk
    report: FetchReport
    bar: Any
    num_here: int = 0
    lock: Lock = field(default_factory=Lock)  # of the report and the bar

    def run(self, num_fetches: int) -> None:
        """Fetch what is not there."""
        self.bar.n = 0

        def fetched(index: int, pauses: Pauses) -> bool:
            terms = FetchTerms(
                wait=pauses, note_bytes=lambda number: self._came(number, pauses), note_retry=self._again
            )
            with self.stored.hold(index, terms) as found:
                return not found.was_there

        calls = at_once(fetched, range(len(self.sizes)), num_threads=num_fetches, name="fetch")
        with contextlib.closing(calls) as results:
            for index, was_fetched in enumerate(results):
                self._done(0 if was_fetched else int(self.sizes[index]), was_fetched=was_fetched)

    def _came(self, num_bytes: int, pauses: Pauses) -> None:
        pauses(0)  # raises when the rest is not wanted any more
        with self.lock:
            self.report.fetched_bytes += num_bytes
            self.bar.update(num_bytes)

    def _again(self) -> None:
        with self.lock:
            self.report.num_retries += 1

    def _done(self, num_bytes: int, *, was_fetched: bool) -> None:
        with self.lock:
            self.num_here += 1
            self.report.num_fetched += was_fetched
            self.bar.set_postfix_str(
                f"{self.num_here:,} of {self.report.num_chunks:,} chunks, {self.report.num_retries:,} retries"
            )
            self.bar.update(num_bytes)
