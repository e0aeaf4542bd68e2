"""Lock probes: whether another thread holds the interpreter's lock (the GIL) while the loop waits.

A thread that waits for the lock sleeps, and sleeps again when its turn has not come within the switch interval; the
system counts that.  A thread that only lacks a processor does not sleep.  And who works while another keeps the lock
does not need it.  So what is counted tells, however busy the machine is, what a clock alone does not.
"""

from __future__ import annotations

import resource
import select
import sys
import time
from collections.abc import Iterable

__all__ = ["FREE", "HELD", "LONG_SECONDS", "UNCLEAR", "UNTRIED", "WAITING", "LockProbe", "probe_lock"]

HELD, FREE, WAITING, UNCLEAR, UNTRIED = "held", "free", "waiting", "unclear", "untried"

_KEPT = range(20_000)
_AWAY_SECONDS = 0.001  # without the lock: long enough for another thread to take it
_OWN_SLEEPS = 1  # of the probe itself
_SLEEPS_WHEN_HELD = 3  # its own, one that ends with the switch interval, and at least one after it
LONG_SECONDS = 0.003  # a loop that waits or works so long between batches hardly loses what a probe takes
# Between two probes, which may take some milliseconds of a loop that waits anyway.
_FIRST_PROBES, _FIRST_SECONDS, _LATER_SECONDS = 30, 0.03, 1.0
_MOST_UNTRIED, _UNTRIED_SECONDS = 100, 0.01  # the same after one that found nothing
_READY_FIRST_SECONDS, _READY_LATER_SECONDS = 0.2, 2.0  # where the next batch is there: the loop loses the time
_BY_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)  # Linux has it


class LockProbe:
    """Says when a probe is due, so that most waits cost a comparison.

    Attributes:
      due: When the next is, where the loop has to wait, as `time.perf_counter` counts; never, where the system does
        not count sleeps.
      due_when_ready: The same where the next batch is there.
    """

    def __init__(self) -> None:
        self._num_probes = self._num_untried = 0
        self.due = self.due_when_ready = 0.0 if _BY_THREAD is not None else float("inf")

    def postpone(self, found: str) -> None:
        """Note that a probe was made, and what it found."""
        now, is_first = time.perf_counter(), self._num_probes < _FIRST_PROBES
        if found == UNTRIED:
            self._num_untried += 1
        else:
            self._num_probes += 1
        is_soon = found == UNTRIED and self._num_untried < _MOST_UNTRIED
        self.due = now + (_UNTRIED_SECONDS if is_soon else _FIRST_SECONDS if is_first else _LATER_SECONDS)
        self.due_when_ready = now + (_READY_FIRST_SECONDS if is_first else _READY_LATER_SECONDS)


def probe_lock(threads: Iterable[int], *, num_busy: int) -> str:
    """Keep the lock for some tenths of a millisecond, let go of it for one, and return what others did meanwhile.

    Args:
      threads: Those of the steps at work, by the system's numbers.
      num_busy: How many of them are at work.

    Returns:
      FREE: others worked while it was kept; or the only one worked later, and did not keep it.  HELD: it was given back
      only when it had to be.  WAITING: `threads` did not want it, and slept.  UNCLEAR: it was given back soon.
      UNTRIED: nobody had a processor to try.
    """
    before, worked, own = _num_sleeps(), _work_of_others(), time.thread_time()
    sum(_KEPT)  # in C, which nothing interrupts
    worked, own = _work_of_others() - worked, time.thread_time() - own
    if _num_sleeps() != before:  # between two calls others may have had it in spite of that
        return UNTRIED
    if worked > own / 2:
        return FREE
    before, begun, worked = _num_sleeps(), time.perf_counter(), _work_of_others()
    select.select((), (), (), _AWAY_SECONDS)
    seconds, sleeps = time.perf_counter() - begun, _num_sleeps() - before
    if sleeps >= _SLEEPS_WHEN_HELD and seconds >= sys.getswitchinterval():
        return HELD
    if sleeps > _OWN_SLEEPS:
        return UNCLEAR
    worked = _work_of_others() - worked
    if worked > _AWAY_SECONDS / 2 and num_busy == 1:  # several may be handing it over to each other
        return FREE
    return WAITING if worked < _AWAY_SECONDS / 2 and all(map(_sleeps, threads)) else UNTRIED


def _num_sleeps() -> int:
    return 0 if _BY_THREAD is None else resource.getrusage(_BY_THREAD).ru_nvcsw


def _work_of_others() -> float:
    """Return the processor's time, in seconds, that all other threads of this process have had."""
    return time.process_time() - time.thread_time()


def _sleeps(thread: int) -> bool:
    """Tell whether a thread neither works nor waits for a processor; False where that is unknown."""
    try:
        with open(f"/proc/self/task/{thread}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"S", b"D")
    except (OSError, IndexError):
        return False
