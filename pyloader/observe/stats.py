"""Stats: what a loader delivered, what it left out, and where the time went."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyloader.machine.limits import num_processors
from pyloader.observe.observers import Observers
from pyloader.observe.waits import COUNTED_TOGETHER, Waits
from pyloader.options import format_bytes

__all__ = ["ChunkStats", "Counters", "SourceStats", "Stats"]

_STAGES = ("read", "shuffle", "encode", "collate")
_PERCENTILES = (50, 95, 99)

# Where more threads make a stage faster.  Who holds the interpreter's lock (the GIL) cannot be told from outside.
_LEAVES_LOCK = {
    "encode": "batch_encode releases the GIL (NumPy, tokenizers, image decoders)",
    "collate": "collate_batch releases the GIL",
    "take": "the dataset waits for a disk or releases the GIL",
    "transform": "transform releases the GIL, as NumPy does",
}
# What saves the work of one, where all processors are busy already.
_SAVES = {"encode": "make it cheaper, or do it once: pyloader split --encode"}


@dataclass(slots=True)
class Counters:
    """What a loader counts while it runs; `Stats` is what it shows."""

    num_steps: int = 0  # batches delivered
    num_samples: int = 0  # samples delivered, filling included
    dropped: int = 0  # samples that last_batch="drop" left out
    filled: int = 0  # rows that last_batch="pad" or "wrap" repeated
    num_retries: int = 0  # reads that were tried again after an error that may pass
    read_bytes: int = 0  # bytes of the chunks that were read, as they lie on disk
    fetched_bytes: int = 0  # bytes that came from a store
    cache_hits: int = 0  # chunks of a store that were in the cache when they were wanted
    cache_misses: int = 0  # chunks of a store that were fetched
    num_fetch_retries: int = 0  # requests to a store that were made again
    stand_ins: int = 0  # rows that stood in for samples left out by max_skipped
    wait_seconds: float = 0.0  # how long the loop waited for data
    first_wait_seconds: float = 0.0  # how long it waited for its first batch
    longest_wait_seconds: float = 0.0  # the longest wait after the first
    longest_wait_step: int = 0  # the step of that wait
    waits: Waits = field(default_factory=Waits)  # all of them, by length
    observers: Observers = field(default_factory=Observers)  # what is called on the way
    first_request: float | None = None  # when the loop asked for its first batch, as `time.perf_counter` counts
    latest_batch: float = 0.0  # when it got the latest
    # how long each stage worked, over all its threads
    busy_seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STAGES, 0.0))
    mixing: tuple[float, int] = (0.0, 0)  # sum and number of the chunks that batches held samples of
    resident_chunks: float = 0.0  # the most chunks' worth of rows that were resident at once
    # rows and tokens of each source of a mixture, int64 of shape [sources, 2]; 0 before the first batch
    by_source: Any = 0
    resident_bytes: int = 0  # the most bytes of columns that were; 0 without max_bytes

    def requested(self) -> None:
        """Note the time of the loop's first request."""
        if self.first_request is None:
            self.first_request = time.perf_counter()

    def delivered(self, num_samples: int) -> None:
        """Count a batch."""
        self.num_steps += 1
        self.num_samples += num_samples
        self.latest_batch = now = time.perf_counter()
        if self.num_steps >= self.observers.due_step or now >= self.observers.due_time:
            self.observers.call_due(self.num_steps, now)

    def totals(self) -> dict[str, Any]:
        """Return what has been counted so far, as `Stats` has it."""
        seconds = self.loop_seconds()
        counted = {name: getattr(self, name) for name in Counters.__slots__ if name in Stats.__dataclass_fields__}
        rate = self.num_samples / seconds if seconds else 0.0
        quantiles = {f"p{percent}": self.waits.quantile(percent / 100, self.num_steps) for percent in _PERCENTILES}
        return {
            **counted,
            "samples_per_second": rate,
            "loop_seconds": seconds,
            "busy_seconds": {**self.busy_seconds},
            "wait_quantiles": quantiles,
        }

    def snapshot(self, *, max_bytes: int | None = None, **options: Any) -> ChunkStats:
        """Return what has been counted so far of chunks, with the options that explain it."""
        return ChunkStats(
            **self.totals(),
            **options,
            num_retries=self.num_retries,
            read_bytes=self.read_bytes,
            fetched_bytes=self.fetched_bytes,
            cache_hits=self.cache_hits,
            cache_misses=self.cache_misses,
            num_fetch_retries=self.num_fetch_retries,
            resident_peak=self.resident_chunks,
            resident_bytes_peak=None if max_bytes is None else self.resident_bytes,
            max_bytes=max_bytes,
            mixing=self.mixing[0] / self.mixing[1] if self.mixing[1] else math.nan,
        )

    def waiting_share(self) -> float:
        """Return which part of its time the loop has waited for data."""
        loop_seconds = self.loop_seconds()
        return self.wait_seconds / loop_seconds if loop_seconds else 0.0

    def loop_seconds(self) -> float:
        """Return the time from the first request to the latest batch."""
        return max(0.0, self.latest_batch - self.first_request) if self.first_request is not None else 0.0

    def waited(self, seconds: float) -> None:
        """Count a wait of the loop's."""
        if self.num_steps == 0:
            self.first_wait_seconds = seconds
        elif seconds > self.longest_wait_seconds:
            self.longest_wait_seconds, self.longest_wait_step = seconds, self.num_steps
        self.wait_seconds += seconds
        self.waits.recent.append(seconds)
        if len(self.waits.recent) >= COUNTED_TOGETHER:
            self.waits.count()


@dataclass(frozen=True, kw_only=True, repr=False)
class Stats:
    """What a loader has done since it was made; `print` it, or take the numbers.

    Of several ranks each counts what it had itself.

    Attributes:
      rank: Which data-parallel rank it is.
      num_ranks: How many there are.
      num_steps: Batches delivered.
      num_samples: Samples delivered, filling included.
      samples_per_second: From the first request to the latest batch, the loop's own work included.
      loop_seconds: That time.
      wait_seconds: How much of it the loop waited for data.
      first_wait_seconds: How long the first batch took.
      longest_wait_seconds: The longest wait after the first.
      longest_wait_step: The step of that wait.
      wait_quantiles: "p50", "p95" and "p99": how long half, 95% and 99% of the batches waited at most, in seconds;
        0.0 where they were there already, and else at most 19% too large.
      busy_seconds: How long each stage worked, over all its threads: "read", "shuffle", "encode" and "collate" of
        chunks; "take", "transform" and "collate" of a dataset with random access.
      num_workers: Threads that make batches; 0 when all is done in the loop's own.
      worker_kind: "thread", or "process" when each of them has a process for the user's code.
      last_batch: The rule for an epoch's last rows.
      dropped: Samples that it left out.
      filled: Rows that it repeated.
      stand_ins: Rows that stood in for samples left out.
      skipped: What was left out under max_skipped, with the reasons: chunks by path, rows as "path, row 7", items as
        "item 7".
    """

    rank: int
    num_ranks: int
    num_steps: int
    num_samples: int
    samples_per_second: float
    loop_seconds: float
    wait_seconds: float
    first_wait_seconds: float
    longest_wait_seconds: float
    longest_wait_step: int
    wait_quantiles: dict[str, float]
    busy_seconds: dict[str, float]
    num_workers: int
    worker_kind: str
    last_batch: str
    dropped: int
    filled: int
    stand_ins: int
    skipped: dict[str, str]

    @property
    def waiting_share(self) -> float:
        """Which part of its time the loop waited for data."""
        return self.wait_seconds / self.loop_seconds if self.loop_seconds else 0.0

    @property
    def bound_by(self) -> str:
        """The stage that the loop waited for: the busiest for each of its threads; "" when it waited less than 5%."""
        if self.waiting_share < 0.05 or not any(self.busy_seconds.values()):
            return ""
        # Stages that share their threads are compared one by one with those that have their own.
        return max(self.busy_seconds, key=lambda stage: self.busy_seconds[stage] / max(1, self._num_threads(stage)))

    @property
    def verdict(self) -> str:
        """The stage that the loop waited for, and what to do about it; "" when it waited less than 5%."""
        return f"{self.bound_by}: {self._advice()}" if self.bound_by else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON."""
        return asdict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the numbers to a JSON file."""
        Path(path).write_text(json.dumps(self.as_dict(), indent=1) + "\n")

    def __str__(self) -> str:
        rate = f"{self.samples_per_second:,.0f} samples/s"
        busy = "   ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.busy_seconds.items())
        lines = [
            f"{self.num_steps:,} steps, {self.num_samples:,} samples in {self.loop_seconds:.2f} s: {rate}",
            f"the loop   waited for data {self.wait_seconds:.2f} s ({self.waiting_share:.0%})   first batch "
            f"{self.first_wait_seconds:.2f} s   longest after it {self.longest_wait_seconds:.2f} s, step "
            f"{self.longest_wait_step:,}",
            f"busy       {busy}   ({self._describe_threads()})",
            *self._own_lines(),
            f"lost       {self.dropped:,} dropped and {self.filled:,} repeated by last_batch={self.last_batch!r}; "
            f"{len(self.skipped)} {self._skipped_kind} skipped",
            *(f"           {what}: {reason}" for what, reason in self.skipped.items()),
            *([f"bound by   {self.verdict}"] if self.verdict else []),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:  # what notebooks and the interactive interpreter show
        return str(self)

    _skipped_kind = "items"

    def _num_threads(self, stage: str) -> int:
        return self.num_workers

    def _describe_threads(self) -> str:
        kind = "processes" if self.worker_kind == "process" else "threads"
        return f"{self.num_workers} {kind}" if self.num_workers else "in the loop's own thread"

    def _own_lines(self) -> list[str]:
        return [f"rank       {self.rank} of {self.num_ranks}"] if self.num_ranks > 1 else []

    def _advice(self) -> str:
        """Return what to do about the stage that the loop waits for."""
        stage, processors = self.bound_by, num_processors()
        more, saves = min(max(4, self.num_workers + 1), processors), _SAVES.get(stage, "make it cheaper")
        if processors == 1 or (self.worker_kind == "process" and more <= self.num_workers):
            return f"it has {_processors(processors)} already: {saves}"
        if self.worker_kind == "process":
            return f"num_workers={more} uses more of {_processors(processors)}"
        if more > self.num_workers:
            threads = f"num_workers={more} helps where {_LEAVES_LOCK[stage]}"
            return f"{threads}; worker_kind='process', num_workers={more} where it is Python"
        return (
            f"worker_kind='process', num_workers={more} helps where it is Python, num_workers={2 * self.num_workers} "
            f"where it waits for a disk or a server; else it has {_processors(processors)} already: {saves}"
        )


@dataclass(frozen=True, kw_only=True)
class SourceStats:
    """What a loader has done with one source of a mixture.

    Attributes:
      num_samples: Samples of it that were delivered here.
      num_tokens: Tokens in them, of packed rows; 0 without.
      epochs: How often it has been gone through, over all ranks and since the run began.
      left_out: Samples that did not come, over all ranks, when the mixture was at its end; 0 before.
    """

    num_samples: int
    num_tokens: int
    epochs: float
    left_out: int


@dataclass(frozen=True, kw_only=True, repr=False)
class ChunkStats(Stats):
    """What a loader of chunks has done.

    Attributes:
      num_streams: How many streams an epoch is cut into, over all ranks.
      num_readers: Threads that read.
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
      mixing: Of how many chunks the average batch held samples (the effective number, measured on batches that lie in
        one segment); nan when there were none.
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
    mixing: float
    sources: dict[str, SourceStats] = field(default_factory=dict)

    @property
    def wants_manifest(self) -> bool:
        """Whether chunks of arrays would be mixed faster with a manifest: lying together, in room for the largest."""
        lie_together = self.shuffle_window > 1 and self.worker_kind == "thread" and self.max_bytes is None
        return lie_together and not self.has_counts

    _skipped_kind = "chunks or rows"

    def _num_threads(self, stage: str) -> int:
        return self.num_readers if stage == "read" else self.num_workers

    def _describe_threads(self) -> str:
        words = super()._describe_threads()
        return f"{self.num_readers} + {words}" if self.num_workers else words

    def _own_lines(self) -> list[str]:
        mixing = "" if math.isnan(self.mixing) else f"; the average batch held samples of {self.mixing:.1f} chunks"
        lines = [
            f"resident   at most {self.resident_peak:.1f} of {self.max_queue_size} chunks{self._describe_bytes()}",
            f"shuffle    window {self.shuffle_window}{mixing}",
        ]
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
        if self.bound_by == "read":
            return f"num_readers={self.num_readers + 1} reads {_spelled(self.num_readers + 1)} chunks at a time"
        if self.bound_by == "shuffle":
            threads = min(self.num_workers + 1, num_processors())
            gather = (
                f"num_workers={threads} gathers in {_spelled(threads)} threads; " if threads > self.num_workers else ""
            )
            index = (
                "arrays are mixed faster when there is a manifest (pyloader index DIR); " if self.wants_manifest else ""
            )
            return f"{index}{gather}a smaller shuffle_window mixes fewer chunks"
        return super()._advice()

    def _describe_bytes(self) -> str:
        if self.max_bytes is None or self.resident_bytes_peak is None:
            return ""
        return f", {format_bytes(self.resident_bytes_peak)} of {format_bytes(self.max_bytes)}"


def _spelled(number: int) -> str:
    return "two" if number == 2 else str(number)


def _processors(number: int) -> str:
    return "the only processor" if number == 1 else f"the {number} processors"
