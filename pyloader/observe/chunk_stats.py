"""Chunk stats: what a loader of chunks, or of a mixture of them, has done."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pyloader.machine.limits import num_processors
from pyloader.observe.stats import HARDLY, SAVES, Stats
from pyloader.options import format_bytes

__all__ = ["ChunkStats", "SourceStats"]

# Threads that work less than this share of their time, and reading that waits for room longer than that one, want more
# room.  It is no remedy for a loop that waits for more than the last share of its time.
_LITTLE_USE, _MUCH_WAITING, _NEARLY_ALL = 0.7, 0.2, 0.7


@dataclass(frozen=True, kw_only=True)
class SourceStats:
    """What a loader has done with one source of a mixture.

    Attributes:
      num_samples: Samples of it that were delivered here.
      num_tokens: Tokens in them, of packed rows; 0 without.
      samples_done: Samples of it before the position, over all ranks and epochs: counted on by a loader that resumes.
      tokens_done: Tokens in those, of packed rows, by their average; exact after whole epochs of it.
      epochs: How often it has been gone through, over all ranks and since the run began.
      left_out: Samples that did not come, over all ranks, when the mixture was at its end; 0 before.
    """

    num_samples: int
    num_tokens: int
    samples_done: int
    tokens_done: int
    epochs: float
    left_out: int


@dataclass(frozen=True, kw_only=True, repr=False)
class ChunkStats(Stats):
    """What a loader of chunks has done.

    Attributes:
      num_streams: How many streams an epoch is cut into, over all ranks.
      num_readers: Threads that read ahead; 0 when the loop's own reads.
      more_tried: Of which steps, "read" or "batch", the loader has tried more threads, and batches came no faster.
      num_retries: How often a read was tried again, after an error that may pass.
      read_bytes: Bytes of the chunks that were read, as they lie on disk.
      fetched_bytes: Bytes that came from a store; 0 of chunks on a disk, as the next three.
      cache_hits: Chunks that were in the cache when they were wanted.
      cache_misses: Chunks that were fetched.
      num_fetch_retries: Requests that were made again, after errors that may pass.
      resident_peak: The most chunks' worth of rows that were resident at once.
      max_queue_size: The bound on it.
      resident_bytes_peak: The most bytes of columns that were resident at once; None without max_bytes.
      max_bytes: The bound on it, or None.
      shuffle_window: How many chunks are mixed.
      has_counts: Whether a manifest says how many samples each chunk holds.
      num_fetches: How many chunks of a store may come at the same time.
      room_seconds: How long reading waited for room in the queue, or within max_bytes, or for a chunk of a store.
      mixing: Of how many chunks the average batch held samples (the effective number, measured on batches that lie in
        one segment); nan when there were none.
      packed_fill: Which share of the packed rows' tokens are of documents; None without packing.
      sources: What came of each source of a mixture, by name; {} without.
    """

    num_streams: int
    num_readers: int
    num_retries: int
    read_bytes: int
    fetched_bytes: int
    cache_hits: int
    cache_misses: int
    num_fetch_retries: int
    resident_peak: float
    max_queue_size: int
    resident_bytes_peak: int | None
    max_bytes: int | None
    shuffle_window: int
    has_counts: bool
    num_fetches: int
    room_seconds: float
    mixing: float
    packed_fill: float | None = None
    more_tried: list[str] = field(default_factory=list)
    sources: dict[str, SourceStats] = field(default_factory=dict)

    @property
    def wants_manifest(self) -> bool:
        """Whether chunks of arrays would be mixed faster with a manifest: lying together, in room for the largest."""
        lie_together = self.shuffle_window > 1 and self.worker_kind == "thread" and self.max_bytes is None
        return lie_together and not self.has_counts

    @property
    def bound_by(self) -> str:
        """The stage that the loop waited for, "queue" where none could work far enough ahead, or "" for none.

        "start" where that was the first batch alone, of more than 10.
        """
        found = super().bound_by
        return "queue" if found not in ("", "start") and self._lacks_room() else found

    def _lacks_room(self) -> bool:
        """Tell whether stages stood still for want of room while the loop waited for them."""
        seconds = self.loop_seconds - self.first_wait_seconds
        if not self.num_workers or "fetch" in self.busy_seconds or seconds <= 0:
            return False
        waits = (self.wait_seconds - self.first_wait_seconds) / seconds
        use = max(map(self._use, self._thread_groups()))
        return (
            HARDLY <= waits <= _NEARLY_ALL
            and use < _LITTLE_USE
            and self.room_seconds > _MUCH_WAITING * self.loop_seconds
        )

    _skipped_kind = "chunks or rows"

    def num_threads(self, stage: str) -> int:
        """Return how many threads work in a stage, the loop's own where there are none."""
        return max(1, {"read": self.num_readers, "fetch": self.num_fetches}.get(stage, self.num_workers))

    def _thread_groups(self) -> list[list[str]]:
        if not self.num_workers:
            return super()._thread_groups()
        own: list[list[str]] = [[stage] for stage in ("read", "fetch") if stage in self.busy_seconds]
        return [*own, [stage for stage in self.busy_seconds if [stage] not in own]]

    def _describe_threads(self) -> str:
        words = super()._describe_threads()
        if self.num_readers and not self.num_workers:  # the loop's own thread makes batches
            return f"{self.num_readers} + 0 threads"
        return f"{self.num_readers} + {words}" if self.num_workers else words

    def _own_lines(self) -> list[str]:
        mixing = "" if math.isnan(self.mixing) else f"; the average batch held samples of {self.mixing:.1f} chunks"
        lines = [
            f"resident   at most {self.resident_peak:.1f} of {self.max_queue_size} chunks{self._describe_bytes()}",
            f"shuffle    window {self.shuffle_window}{mixing}",
        ]
        if self.packed_fill is not None:
            lines.append(f"packed     {self.packed_fill:.1%} of the rows' tokens are of documents")
        if self.num_streams > 1:
            served = self.num_streams // self.num_ranks
            lines.append(f"rank       {self.rank} of {self.num_ranks}, with {served} of {self.num_streams} streams")
        total = sum(source.num_samples for source in self.sources.values())
        for name, source in self.sources.items():
            tokens = f", {source.num_tokens:,} tokens" if source.num_tokens else ""
            left_out = f", {source.left_out:,} left out" if source.left_out else ""
            share = f"{source.num_samples:,} samples ({source.num_samples / (total or 1):.1%})"
            lines.append(f"source     {name}: {share}{tokens}, {source.epochs:.2f} epochs{left_out}")
        if num_chunks := self.cache_hits + self.cache_misses:
            came = f"{format_bytes(self.fetched_bytes)} fetched, {self.num_fetch_retries:,} requests made again"
            lines.append(f"store      {came}; {self.cache_hits:,} of {num_chunks:,} chunks were in the cache")
        if self.num_retries:
            lines.append(f"retried    {self.num_retries:,} reads, after errors that may pass")
        return lines

    def _advice(self) -> str:
        if self.bound_by == "queue":
            return self._advice_on_room()
        if self.bound_by == "fetch":
            rate = format_bytes(int(self.fetched_bytes / (self.loop_seconds or 1.0)))
            return f"chunks come from the store at {rate}/s; pyloader fetch ADDRESS has them here before the run"
        if self.bound_by == "read":
            more = f"num_readers={self.num_readers + 1}"
            if self.holds_lock.get("read") and self.worker_kind == "thread" and num_processors() > 1:
                return f"worker_kind='process', {more}: reading holds the GIL"
            if "read" in self.more_tried:
                return "more threads were tried, and were no faster: another form of chunks may be, docs/performance.md"
            if not self.num_readers:
                return "num_readers=1 reads ahead, in a thread of its own"
            return f"{more} reads {_spelled(self.num_readers + 1)} chunks at a time"
        if self.bound_by == "shuffle":
            threads = self.num_workers if "batch" in self.more_tried else min(self.num_workers + 1, num_processors())
            gather = (
                f"num_workers={threads} gathers in {_spelled(threads)} threads; " if threads > self.num_workers else ""
            )
            index = (
                "arrays are mixed faster when there is a manifest (pyloader index DIR); " if self.wants_manifest else ""
            )
            return f"{index}{gather}a smaller shuffle_window mixes fewer chunks"
        if "batch" in self.more_tried and self.holds_lock.get("batch") is not True:
            return f"more threads were tried, and were no faster: {SAVES.get(self.bound_by, 'make it cheaper')}"
        return super()._advice()

    def _start_hint(self) -> str:
        if self.worker_kind == "thread" and self.shuffle_window > 1:
            return f"it needs {self.shuffle_window} chunks: smaller ones, or a smaller shuffle_window, are there sooner"
        return super()._start_hint()

    def _advice_on_room(self) -> str:
        if self.max_bytes is not None and self.resident_peak < self.max_queue_size - 1:
            return f"max_bytes={2 * self.max_bytes} lets the threads work further ahead"
        return f"max_queue_size={2 * self.max_queue_size} lets the threads work further ahead"

    def _describe_bytes(self) -> str:
        if self.max_bytes is None or self.resident_bytes_peak is None:
            return ""
        return f", {format_bytes(self.resident_bytes_peak)} of {format_bytes(self.max_bytes)}"


def _spelled(number: int) -> str:
    return "two" if number == 2 else str(number)
