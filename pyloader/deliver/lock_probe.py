"""Lock probes: whether another thread holds the interpreter's lock (the GIL) while the loop waits.

A thread that waits for the lock sleeps, and sleeps again when its turn has not come within the switch interval; the
system counts that.  A thread that only lacks a processor does not sleep.  So what is counted tells the one from the
other, however busy the machine is, where a clock alone does not.
"""

from __future__ import annotations

import resource
import select
import sys
import time
from collections.abc import Iterable

__all__ = ["FREE", "HELD", "UNCLEAR", "UNTRIED", "LockProbe", "probe_lock"]

HELD, FREE, UNCLEAR, UNTRIED = "held", "free", "unclear", "untried"

_AWAY_SECONDS = 0.001  # without the lock: long enough for another thread to take it
_OWN_SLEEPS = 1  # of the probe itself
_SLEEPS_WHEN_HELD = 3  # its own, one that ends with the switch interval, and at least one after it
# Between two probes, which may take some milliseconds of a loop that waits anyway.
_FIRST_PROBES, _FIRST_SECONDS, _LATER_SECONDS = 20, 0.05, 1.0
_BY_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)  # Linux has it


class LockProbe:
    """Says when a probe is due, so that most waits cost a comparison.

    Attributes:
      due: When the next is, as `time.perf_counter` counts; never, where the system does not count sleeps.
    """

    def __init__(self) -> None:
        self._num_probes = 0
        self.due = 0.0 if _BY_THREAD is not None else float("inf")

    def postpone(self, found: str) -> None:
        """Note that a probe was made, and what it found."""
        self._num_probes += found != UNTRIED
        self.due = time.perf_counter() + (_FIRST_SECONDS if self._num_probes < _FIRST_PROBES else _LATER_SECONDS)


def probe_lock(threads: Iterable[int]) -> str:
    """Let go of the lock for a millisecond, and return how it was to get it back: HELD, FREE, UNCLEAR or UNTRIED.

    Args:
      threads: Those at work, by the system's numbers.  Free is a lock that they could have taken: they worked without
        it, or waited for something else.  Where they only waited for a processor, it is untried.
    """
    before, begun, worked = _num_sleeps(), time.perf_counter(), _work_of_others()
    select.select((), (), (), _AWAY_SECONDS)
    seconds, sleeps = time.perf_counter() - begun, _num_sleeps() - before
    if sleeps >= _SLEEPS_WHEN_HELD and seconds >= sys.getswitchinterval():
        return HELD
    if sleeps > _OWN_SLEEPS:
        return UNCLEAR
    worked = _work_of_others() - worked
    return FREE if worked > _AWAY_SECONDS / 2 or all(map(_sleeps, threads)) else UNTRIED


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
