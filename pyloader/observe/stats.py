"""Stats: what a loader delivered, what it left out, and where the time went."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyloader.machine.limits import num_processors
from pyloader.markup import notebook_table
from pyloader.options import format_bytes

__all__ = ["ChunkStats", "SourceStats", "Stats"]

# Threads that work less than this share of their time, and reading that waits for room longer than that one, want more
# room.
_LITTLE_USE, _MUCH_WAITING = 0.7, 0.2
# Of its time: a loop that waits less; one that waits more, for which room to work ahead is no remedy; threads that work
# more.
_HARDLY, _NEARLY_ALL, _MUCH_USE = 0.05, 0.7, 0.5
_LABEL_WIDTH = 11  # of the lines of a text

# Where more threads make a stage faster.  Who holds the interpreter's lock (the GIL) cannot be told from outside.
_LEAVES_LOCK = {
    "encode": "batch_encode releases the GIL (NumPy, tokenizers, image decoders)",
    "collate": "collate_batch releases the GIL",
    "take": "the dataset waits for a disk or releases the GIL",
    "transform": "transform releases the GIL, as NumPy does",
}
# What saves the work of one, where all processors are busy already.
_SAVES = {"encode": "make it cheaper, or do it once: pyloader split --encode"}


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
        chunks, "fetch" of those of a store; "take", "transform" and "collate" of a dataset with random access.
      holds_lock: Whether the interpreter's lock (the GIL) is held by "batch", the threads that make batches, or by
        "read", those that read, while they work; a step of which that is not clear is left out.
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
    holds_lock: dict[str, bool]
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
        """The stage that the loop waited for: that whose threads work most; "" when it waited less than 5%.

        Or the one that kept the interpreter's lock from a loop that hardly waited for data.
        """
        if not any(self.busy_seconds.values()):
            return ""
        # Of the threads that work most; of the stages that share them the one that takes most of their time.
        busiest = max(self._thread_groups(), key=self._use)
        if self._hardly_waited and not self._keeps_lock(busiest):
            return ""
        return max(busiest, key=lambda stage: self.busy_seconds[stage])

    @property
    def _hardly_waited(self) -> bool:
        return self.waiting_share < _HARDLY

    def _keeps_lock(self, stages: list[str]) -> bool:
        """Tell whether the threads of these stages work much of the time, holding the interpreter's lock."""
        holds = self.holds_lock.get("read" if stages == ["read"] else "batch", False)
        in_processes = self.worker_kind == "process" or not self.num_workers
        return holds and not in_processes and num_processors() > 1 and self._use(stages) >= _MUCH_USE

    @property
    def verdict(self) -> str:
        """The stage that the loop waited for, and what to do about it; "" when it waited less than 5%."""
        if not self.bound_by:
            return ""
        lock = "it keeps the interpreter's lock (GIL) from the loop's own steps; " if self._hardly_waited else ""
        return f"{self.bound_by}: {lock}{self._advice()}"

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

    def __repr__(self) -> str:  # what the interactive interpreter shows
        return str(self)

    def _repr_html_(self) -> str:  # what notebooks show
        title, *lines = str(self).splitlines()
        return notebook_table(title, [(line[:_LABEL_WIDTH].strip(), line[_LABEL_WIDTH:]) for line in lines])

    _skipped_kind = "items"

    def num_threads(self, stage: str) -> int:
        """Return how many threads work in a stage, the loop's own where there are none."""
        return max(1, self.num_workers)

    def _thread_groups(self) -> list[list[str]]:
        """Return the stages, those that share their threads together."""
        stages = list(self.busy_seconds)
        return [stages] if self.num_workers else [[stage] for stage in stages]

    def _use(self, stages: list[str]) -> float:
        """Return which share of the time of their threads stages worked."""
        seconds = self.num_threads(stages[0]) * (self.loop_seconds or 1.0)
        return sum(self.busy_seconds[stage] for stage in stages) / seconds

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
        holds = self.holds_lock.get("batch")
        if holds:
            return f"worker_kind='process', num_workers={more}: it is Python, and holds the GIL"
        if holds is False and more > self.num_workers:
            return f"num_workers={more}: it leaves the GIL to others, so that threads work at the same time"
        if holds is False:
            return (
                f"num_workers={2 * self.num_workers} helps where it waits for a disk or a server; else it has "
                f"{_processors(processors)} already: {saves}"
            )
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
        """The stage that the loop waited for, "queue" where none could work far enough ahead, or "" for none."""
        found = super().bound_by
        return "queue" if found and self._lacks_room() else found

    def _lacks_room(self) -> bool:
        """Tell whether stages stood still for want of room while the loop waited for them."""
        seconds = self.loop_seconds - self.first_wait_seconds
        if not self.num_workers or "fetch" in self.busy_seconds or seconds <= 0:
            return False
        waits = (self.wait_seconds - self.first_wait_seconds) / seconds
        use = max(map(self._use, self._thread_groups()))
        return (
            _HARDLY <= waits <= _NEARLY_ALL
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
            return f"{more} reads {_spelled(self.num_readers + 1)} chunks at a time"
        if self.bound_by == "shuffle":
            threads = min(self.num_workers + 1, num_processors())
            gather = (
                f"num_workers={threads} gathers in {_spelled(threads)} threads; " if threads > self.num_workers else ""
            )
            index = (
                "arrays are mixed faster when there is a manifest (pyloader index DIR); " if self.wants_manifest else ""
            )
            return f"{index}{gather}a smaller shuffle_window mixes fewer chunks"
        if "batch" in self.more_tried and self.holds_lock.get("batch") is not True:
            return f"more threads were tried, and were no faster: {_SAVES.get(self.bound_by, 'make it cheaper')}"
        return super()._advice()

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


def _processors(number: int) -> str:
    return "the only processor" if number == 1 else f"the {number} processors"
