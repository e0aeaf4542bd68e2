"""Thread counts: how many threads read and make batches, found by trying in a loader's first seconds.

A loader begins with one of each.  While its loop waits, others are tried for a tenth of a second or more: none that
makes batches, so that the loop's own thread does that when it asks for one; none at all; twice as many for the step
that works most.  Then it goes on as before for as long, and gets them for good where batches came faster with them than
before and after.  What is tried changes no batch.

Fewer threads are often better where all of the work is copying, or holds the interpreter's lock: what the loop's own
thread gathers lies in the cache of its processor, and nobody waits for the lock.  But then the loop waits for that
work, however long its own steps become.  So when it waits for less than half of its time, the counts of the start come
back, and when batches come far more slowly than they did, they are tried against it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pyloader.machine.limits import num_processors

__all__ = ["Measured", "ThreadCounts", "ThreadTrials", "counts_to_try", "first_counts"]

_MOST_PROCESSES = 8  # that a loader starts by itself for a step: each is an interpreter

_HARDLY, _MOSTLY = 0.05, 0.5  # a loop that waits for less of its time gains nothing; or nothing of fewer threads
_BETTER = 1.1  # times; less may be chance, and threads take time from others
_BETTER_WITH_FEWER = 1.02  # they leave more to others
_SLOWER = 0.7  # times the rate with which the loop's own thread began to make batches
_BUSY = 0.5  # threads that work for less of their time have no need of others
_LITTLE = 0.25  # of the work of the other step
_ALIKE = 0.75  # steps whose threads work so much of what the busiest do may both be what the loop waits for

_TRIED_SECONDS = 10.0  # after so many nothing is tried any more
_LEAST_GROUPS = 32  # nor before so many groups of batches have come

# How much comes before a measurement begins: chunks, or seconds.  At first memory is fresh, and takes time.
_FIRST, _AFTER_CHANGE = (10, 1.0), (2, 0.5)
# A measurement has at least so many seconds, chunks, which come in bursts of batches, and groups; or the most seconds.
_LEAST_SECONDS, _LEAST_CHUNKS, _LEAST_MEASURED, _MOST_SECONDS = 0.1, 4, 8, 1.0


class ThreadCounts(NamedTuple):
    """How many threads each step has; of a step that has none, the loop's own thread does the work when it asks."""

    readers: int
    workers: int


def first_counts(num_readers: int | str, num_workers: int | str, *, worker_kind: str) -> ThreadCounts:
    """Return the counts to begin with: those that were given, for "auto" 1; of processes as many as there will be.

    Where no worker is wanted there is no reader either, unless its number is given.
    """
    readers = workers = 0 if num_workers == 0 else 1
    if worker_kind == "process":
        readers = min(1 + num_processors() // 4, _MOST_PROCESSES)
        workers = min(1 + num_processors(), _MOST_PROCESSES)  # one more: it works while others wait for their next
    return ThreadCounts(
        readers if isinstance(num_readers, str) else num_readers,
        workers if isinstance(num_workers, str) else num_workers,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What some tenths of a second have shown.

    Attributes:
      rate: Rows a second that came to the loop.
      waiting: Which share of its time the loop waited.
      reading: Which share of their time the threads that read worked.
      making: The same of those that make batches.
    """

    rate: float
    waiting: float
    reading: float
    making: float


def counts_to_try(
    now: ThreadCounts,
    found: Measured,
    *,
    least: ThreadCounts,
    most: ThreadCounts,
    failed: Collection[ThreadCounts],
) -> ThreadCounts | None:
    """Return the counts to try next; None where there are none that may help.

    Args:
      now: The best so far.
      found: What was measured with them.
      least: The smallest that may be tried.
      most: The largest.
      failed: What has been tried, and was no better.
    """
    if found.waiting < _HARDLY:
        return None
    fewer, larger = _fewer(now, found, least), _larger(now, found, most)
    only_reads = found.making < _LITTLE * found.reading  # then the loop waits for a disk, or for the lock
    others = (*larger, *fewer) if only_reads else (*fewer, *larger)
    return next((counts for counts in others if counts not in failed), None)


def _fewer(now: ThreadCounts, found: Measured, least: ThreadCounts) -> Iterator[ThreadCounts]:
    if found.waiting < _MOSTLY:  # the loop has much to do itself, and threads work meanwhile
        return
    if least.workers < now.workers == 1:
        yield now._replace(workers=least.workers)
    if least.readers < now.readers == 1:
        yield least


def _larger(now: ThreadCounts, found: Measured, most: ThreadCounts) -> Iterator[ThreadCounts]:
    more = ThreadCounts(min(2 * max(1, now.readers), most.readers), min(2 * max(1, now.workers), most.workers))
    busiest = max(found.reading, found.making)
    if busiest < _BUSY:
        return
    counts = more._replace(workers=now.workers) if found.reading >= found.making else more._replace(readers=now.readers)
    if min(found.reading, found.making) >= _ALIKE * busiest and more != now:
        yield more
    if counts != now:
        yield counts._replace(readers=max(1, counts.readers))


class ThreadTrials:
    """Chooses the counts from what comes to the loop.  It has no clock and no threads of its own.

    Args:
      start: The counts to begin with.

    Attributes:
      now: The counts that are to be used now.
      is_found: Whether nothing else is tried, as long as batches come as fast as they do.
      is_fixed: Whether they stay for good.
    """

    def __init__(self, start: ThreadCounts) -> None:
        self.now = self._best = self._start = self._least = self._most = start
        self.is_found = self.is_fixed = False
        self._rate_to_keep: float | None = None  # where the loop's own thread makes batches
        self._doubted: set[ThreadCounts] = set()  # which were no better once
        self._failed: set[ThreadCounts] = set()  # nor a second time
        self._found: Measured | None = None  # with `_best`, before others were tried
        self._tried: tuple[ThreadCounts, Measured] | None = None  # those, while `_best` is measured again
        self._settling = _FIRST
        self._num_groups, self._seconds = 0, 0.0  # of all runs
        self._came: float | None = None  # when this run's latest group came
        self._num_chunks = 0  # that had been read by then
        self._begin()

    @property
    def tried_in_vain(self) -> list[str]:
        """The steps, "read" or "batch", of which more threads were tried, and were no better than those there are."""
        steps = {"read": 0, "batch": 1}
        slower = {*self._failed, self._start}
        return [step for step, at in steps.items() if any(counts[at] > self._best[at] for counts in slower)]

    def begin_run(self, least: ThreadCounts, most: ThreadCounts) -> None:
        """Note that a run begins: what lies between two of them is not measured.

        Args:
          least: The smallest counts that may be tried.
          most: The largest.
        """
        self._least, self._most = least, most
        if least == most == self.now:
            self.is_found = self.is_fixed = True
        self._came, self._num_chunks = None, 0

    def group_came(
        self, came: float, *, waited: float, rows: int, num_chunks: int, busy_seconds: Mapping[str, float]
    ) -> bool:
        """Count a group of batches; tell whether `now` has changed.

        Args:
          came: When it came, in seconds.
          waited: How many the loop waited for it.
          rows: How many it has.
          num_chunks: How many chunks have been read in this run.
          busy_seconds: How long each stage has worked, over all its threads and runs.
        """
        seconds = 0.0 if self._came is None else came - self._came
        chunks, self._num_chunks = num_chunks - self._num_chunks, num_chunks
        is_first, self._came = self._came is None, came
        if is_first:  # it took the start of threads, and of reading
            return False
        self._num_groups += 1
        self._seconds += seconds
        self._measured_seconds += seconds
        self._measured_chunks += chunks
        if self._busy_before is None:
            least_chunks, most_seconds = self._settling
            if (chunks and self._measured_chunks >= least_chunks) or self._measured_seconds >= most_seconds:
                self._settling = _AFTER_CHANGE
                self._begin(busy_seconds)
            return False
        self._waited += waited
        self._rows += rows
        self._measured_groups += 1
        enough = (
            chunks > 0  # from the end of a burst to that of another
            and self._measured_seconds >= _LEAST_SECONDS
            and self._measured_chunks >= _LEAST_CHUNKS
            and self._measured_groups >= _LEAST_MEASURED
        )
        return (enough or self._measured_seconds >= _MOST_SECONDS) and self._decide(busy_seconds)

    def _begin(self, busy_seconds: Mapping[str, float] | None = None) -> None:
        """Begin to measure, or with None to let what was changed take effect."""
        self._busy_before = None if busy_seconds is None else _split(busy_seconds)
        self._measured_seconds = self._waited = 0.0
        self._measured_chunks = self._measured_groups = self._rows = 0

    def _decide(self, busy_seconds: Mapping[str, float]) -> bool:
        before, now, seconds = self._busy_before, self.now, self._measured_seconds
        assert before is not None
        reading, making = (after - earlier for after, earlier in zip(_split(busy_seconds), before, strict=True))
        found = Measured(
            rate=self._rows / seconds,
            waiting=self._waited / seconds,
            reading=reading / seconds / max(1, now.readers),
            making=making / seconds / max(1, now.workers),
        )
        if now != self._best:
            self._tried, self.now = (now, found), self._best
        else:
            found = self._judge(found)
            self.now = self._following(found) or self._best
        self._begin(None if self.now != now else busy_seconds)
        return self.now != now

    def _following(self, found: Measured) -> ThreadCounts | None:
        """Return the counts to try next; None where the best stay, for now or for good."""
        following = None
        if self._seconds < _TRIED_SECONDS or self._num_groups < _LEAST_GROUPS:
            following = counts_to_try(self._best, found, least=self._least, most=self._most, failed=self._failed)
            if following is not None or found.waiting < _HARDLY:
                return following
        # Nothing else helps a loop that waits; or these were its first seconds.
        self.is_found = True
        if self._best.workers or found.waiting < _MOSTLY:  # a loop that has come to work itself has threads beside it
            self._best = self._best if self._best.workers else self._start
            self.is_fixed = True
        elif self._rate_to_keep is None or found.rate < self._rate_to_keep:
            following = None if self._rate_to_keep is None else self._start
            self._rate_to_keep = _SLOWER * found.rate
        return following

    def _judge(self, found: Measured) -> Measured:
        """Return what is known of the best counts, now that those before the ones tried were measured again."""
        before, tried = self._found, self._tried
        self._found, self._tried = found, None
        if tried is not None and before is not None:
            counts, of_tried = tried
            is_more = counts.workers > self._best.workers or counts.readers > self._best.readers
            if of_tried.rate >= (_BETTER if is_more else _BETTER_WITH_FEWER) * max(before.rate, found.rate):
                self._best, self._found = counts, of_tried
                if is_more:  # what did not help beside fewer may help now
                    self._doubted.clear()
                    self._failed.clear()
            elif counts in self._doubted:
                self._failed.add(counts)
            else:
                self._doubted.add(counts)  # another program may have had the processors: it is tried once more
        return self._found


def _split(busy_seconds: Mapping[str, float]) -> tuple[float, float]:
    """Return how long was read, and how long batches were made."""
    making = sum(seconds for stage, seconds in busy_seconds.items() if stage not in ("read", "fetch"))
    return busy_seconds.get("read", 0.0), making
