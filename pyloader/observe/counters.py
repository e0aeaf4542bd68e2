"""Counters: what a loader counts while it runs; `stats` makes numbers and sentences of it."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pyloader.observe.chunk_stats import ChunkStats
from pyloader.observe.observers import Observers
from pyloader.observe.stats import Stats
from pyloader.observe.tracing import AnySteps, Tracer
from pyloader.observe.waits import COUNTED_TOGETHER, Waits

__all__ = ["Counters", "Slowest"]

_STAGES = ("read", "shuffle", "encode", "collate")
_PERCENTILES = (50, 95, 99)
# How many times the lock is looked at before anything is said of it, and which share of them must agree: on a busy
# machine it is sooner found free by chance than held.
_LEAST_FOUND, _MOSTLY_HELD, _MOSTLY_FREE = 4, 0.6, 0.85


class Slowest(NamedTuple):
    """A wait of the loop's."""

    seconds: float
    step: int  # batches delivered before it, since the loader was made
    chunks: tuple[int, ...]  # which chunks the batch was mixed of, by their indices; () if unknown


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
    slowest: Slowest | None = None  # the longest wait after the first since `take_slowest` was called
    latest_chunks: tuple[int, ...] = ()  # which chunks the latest group of batches was mixed of; () if unknown
    waits: Waits = field(default_factory=Waits)  # all of them, by length
    observers: Observers = field(default_factory=Observers)  # what is called on the way
    # those of the latest run, while it lasts: what a run holds on to must not outlive it
    steps: Callable[[], AnySteps | None] = field(default=lambda: None)
    stages: tuple[str, ...] = ()  # what the seconds of its groups are of
    tracer: Tracer | None = None  # writes down some steps, or has
    first_request: float | None = None  # when the loop asked for its first batch, as `time.perf_counter` counts
    latest_batch: float = 0.0  # when it got the latest
    # how long each stage worked, over all its threads
    busy_seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STAGES, 0.0))
    first_busy_seconds: dict[str, float] = field(default_factory=dict)  # the same until the first group came
    room_seconds: float = 0.0  # how long reading waited for room
    num_fetches: int = 1  # how many chunks of a store may come at the same time
    # by step, "batch" or "read", how often the interpreter's lock was found "held", "free" or neither while it worked
    lock_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    mixing: tuple[float, int] = (0.0, 0)  # sum and number of the chunks that batches held samples of
    resident_chunks: float = 0.0  # the most chunks' worth of rows that were resident at once
    # rows and tokens of each source of a mixture, int64 of shape [sources, 2]; 0 before the first batch
    by_source: Any = 0
    resident_bytes: int = 0  # the most bytes of columns that were; 0 without max_bytes

    def requested(self) -> None:
        """Note the time of the loop's first request."""
        if self.first_request is None:
            self.first_request = time.perf_counter()

    def begin_run(self, steps: AnySteps) -> None:
        """Note a run's steps, before anything of it begins."""
        self.steps = weakref.ref(steps)
        if self.tracer is not None:
            self.tracer.begin_run(self)

    def trace(self, tracer: Tracer) -> None:
        """Have some batches written down.

        Raises:
          ValueError: others are being written down.
        """
        if self.tracer is not None:
            last = self.tracer.steps.stop - 1
            raise ValueError(f"{self.tracer.path} is a trace until step {last:,}: begin the next one after that")

        def delivered() -> None:
            tracer.delivered(self)
            if self.num_steps >= tracer.last:
                self.tracer = None
                remove()

        remove = self.observers.add(delivered, every_steps=1, first_step=tracer.first, at_end=lambda: tracer.end(self))
        self.tracer = tracer
        if self.steps() is not None:
            tracer.begin_run(self)

    def closed(self) -> None:
        """Note that no batch will come any more."""
        self.observers.call_last(self.num_steps)
        if self.tracer is not None:
            self.tracer.warn()

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
            "first_busy_seconds": {**self.first_busy_seconds},
            "wait_quantiles": quantiles,
            "holds_lock": self.holds_lock(),
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
            num_fetches=self.num_fetches,
            room_seconds=self.room_seconds,
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

    def waited(self, seconds: float, chunks: tuple[int, ...] = ()) -> None:
        """Count a wait of the loop's, for batches of these chunks."""
        self.latest_chunks = chunks
        if self.num_steps == 0:
            self.first_wait_seconds = seconds
        elif self.slowest is None or seconds > self.slowest.seconds:
            self.slowest = Slowest(seconds, self.num_steps, chunks)
            if seconds > self.longest_wait_seconds:
                self.longest_wait_seconds, self.longest_wait_step = seconds, self.num_steps
        if self.num_steps and not self.first_busy_seconds:
            self.first_busy_seconds = {**self.busy_seconds}
        self.wait_seconds += seconds
        self.waits.recent.append(seconds)
        if len(self.waits.recent) >= COUNTED_TOGETHER:
            self.waits.count()

    def note_lock(self, step: str, found: str) -> None:
        """Count what was found of the interpreter's lock while a step worked."""
        counts = self.lock_counts.setdefault(step, {})
        counts[found] = counts.get(found, 0) + 1

    def holds_lock(self) -> dict[str, bool]:
        """Return by step whether it holds the interpreter's lock; those of which it is not clear are left out."""
        found = {}
        for step, counts in self.lock_counts.items():
            total = sum(counts.values())
            if total < _LEAST_FOUND:
                continue
            if counts.get("held", 0) >= _MOSTLY_HELD * total:
                found[step] = True
            elif counts.get("free", 0) >= _MOSTLY_FREE * total:
                found[step] = False
        return found

    def take_slowest(self) -> Slowest | None:
        """Return the longest wait since this was last called; None where there was none."""
        slowest, self.slowest = self.slowest, None
        return slowest
