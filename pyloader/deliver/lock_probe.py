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

__all__ = ["FREE", "HELD", "UNCLEAR", "LockProbe", "probe_lock"]

HELD, FREE, UNCLEAR = "held", "free", "unclear"

_AWAY_SECONDS = 0.0005  # without the lock: long enough for another thread to take it
_OWN_SLEEPS = 1  # of the probe itself
_SLEEPS_WHEN_HELD = 3  # its own, one that ends with the switch interval, and at least one after it
# Between two probes, which may take some milliseconds of a loop that waits anyway.
_FIRST_PROBES, _FIRST_SECONDS, _LATER_SECONDS = 20, 0.1, 1.0
_BY_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)  # Linux has it


class LockProbe:
    """Says when a probe is due, so that most waits cost a comparison.

    Attributes:
      due: When the next is, as `time.perf_counter` counts; never, where the system does not count sleeps.
    """

    def __init__(self) -> None:
        self._num_probes = 0
        self.due = 0.0 if _BY_THREAD is not None else float("inf")

    def postpone(self) -> None:
        """Note that a probe was made."""
        self._num_probes += 1
        self.due = time.perf_counter() + (_FIRST_SECONDS if self._num_probes < _FIRST_PROBES else _LATER_SECONDS)


def probe_lock() -> str:
    """Let go of the lock for half a millisecond, and return how it was to get it back: HELD, FREE or UNCLEAR."""
    before, begun = _num_sleeps(), time.perf_counter()
    select.select((), (), (), _AWAY_SECONDS)
    seconds, sleeps = time.perf_counter() - begun, _num_sleeps() - before
    if sleeps >= _SLEEPS_WHEN_HELD and seconds >= sys.getswitchinterval():
        return HELD
    return FREE if sleeps <= _OWN_SLEEPS else UNCLEAR


def _num_sleeps() -> int:
    return 0 if _BY_THREAD is None else resource.getrusage(_BY_THREAD).ru_nvcsw
