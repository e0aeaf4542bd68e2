"""Stats: what a loader delivered, what it left out, and where the time went."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyloader.machine.limits import num_processors
from pyloader.markup import notebook_table

__all__ = ["HARDLY", "SAVES", "Stats"]

_MANY_STEPS = 10  # in more than these, the first batch is looked at apart
HARDLY = 0.05  # of its time: a loop that waits less
_MUCH_USE = 0.5  # of their time: threads that work more
_LABEL_WIDTH = 11  # of the lines of a text

# Where more threads make a stage faster.  Who holds the interpreter's lock (the GIL) cannot be told from outside.
_LEAVES_LOCK = {
    "encode": "batch_encode releases the GIL (NumPy, tokenizers, image decoders)",
    "collate": "collate_batch releases the GIL",
    "take": "the dataset waits for a disk or releases the GIL",
    "transform": "transform releases the GIL, as NumPy does",
}
# What saves the work of one, where all processors are busy already.
SAVES = {"encode": "make it cheaper, or do it once: pyloader split --encode"}


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
      num_workers: Threads that make batches; 0 when the loop's own does.
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
    first_busy_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def waiting_share(self) -> float:
        """Which part of its time the loop waited for data."""
        return self.wait_seconds / self.loop_seconds if self.loop_seconds else 0.0

    @property
    def bound_by(self) -> str:
        """The stage that the loop waited for: that whose threads work most; "" when it waited less than 5%.

        Or the one that kept the interpreter's lock from a loop that hardly waited for data.  Where more than 10 batches
        came the first is left out; "start" says that the loop waited for that one alone.
        """
        if not any(self.busy_seconds.values()):
            return ""
        # Of the threads that work most; of the stages that share them the one that takes most of their time.
        busiest = max(self._thread_groups(), key=self._use)
        if self._hardly_waited and not self._keeps_lock(busiest):
            return "" if self.waiting_share < HARDLY else "start"
        return max(busiest, key=self._busy)

    @property
    def _hardly_waited(self) -> bool:
        waited, seconds = self._waits
        return waited < HARDLY * seconds or not seconds

    @property
    def _has_started(self) -> bool:
        """Whether the first batch is left out."""
        return bool(self.first_busy_seconds) and self.num_steps > _MANY_STEPS

    @property
    def _waits(self) -> tuple[float, float]:
        """How many seconds the loop waited, of how many."""
        start = self.first_wait_seconds if self._has_started else 0.0
        return self.wait_seconds - start, self.loop_seconds - start

    def _busy(self, stage: str) -> float:
        return self.busy_seconds[stage] - (self.first_busy_seconds.get(stage, 0.0) if self._has_started else 0.0)

    def _keeps_lock(self, stages: list[str]) -> bool:
        """Tell whether the threads of these stages work much of the time, holding the interpreter's lock."""
        holds = self.holds_lock.get("read" if stages == ["read"] else "batch", False)
        in_processes = self.worker_kind == "process" or not self.num_workers
        return holds and not in_processes and num_processors() > 1 and self._use(stages) >= _MUCH_USE

    @property
    def verdict(self) -> str:
        """The stage that the loop waited for, and what to do about it; "" when it waited less than 5%."""
        stage = self.bound_by
        if not stage:
            return ""
        keeps_lock = self._hardly_waited and stage != "start"
        lock = "it keeps the interpreter's lock (GIL) from the loop's own steps; " if keeps_lock else ""
        return f"{stage}: {lock}{self._advice()}"

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
        seconds = self.num_threads(stages[0]) * (self._waits[1] or 1.0)
        return sum(map(self._busy, stages)) / seconds

    def _describe_threads(self) -> str:
        kind = "processes" if self.worker_kind == "process" else "threads"
        return f"{self.num_workers} {kind}" if self.num_workers else "in the loop's own thread"

    def _own_lines(self) -> list[str]:
        return [f"rank       {self.rank} of {self.num_ranks}"] if self.num_ranks > 1 else []

    def _advice(self) -> str:
        """Return what to do about the stage that the loop waits for."""
        stage, processors = self.bound_by, num_processors()
        if stage == "start":
            share = self.first_wait_seconds / self.loop_seconds
            return (
                f"the first batch took {self.first_wait_seconds:.2f} s, {share:.0%} of the time; {self._start_hint()}"
            )
        more, saves = min(max(4, self.num_workers + 1), processors), SAVES.get(stage, "make it cheaper")
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

    def _start_hint(self) -> str:
        return f"{'processes start' if self.worker_kind == 'process' else 'that is'} once a run, however long it is"


def _processors(number: int) -> str:
    return "the only processor" if number == 1 else f"the {number} processors"
