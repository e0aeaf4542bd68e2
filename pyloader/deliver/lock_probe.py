"""Lock probes: whether another thread holds the interpreter's lock (the GIL) while the loop waits.

A thread that waits for the lock sleeps, and sleeps again when its turn has not come within the switch interval; the
system counts that.  A thread that only lacks a processor does not sleep.  And who works while another keeps the lock
does not need it.  So what is counted tells, however busy the machine is, what a clock alone does not.  The probe sleeps
with the lock, where another thread wants to work, so that it leaves its own processor to that one.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import sys
import time
from collections.abc import Sequence

__all__ = ["FREE", "HELD", "LONG_SECONDS", "UNCLEAR", "UNTRIED", "WAITING", "LockProbe", "probe_lock"]

HELD, FREE, WAITING, UNCLEAR, UNTRIED = "held", "free", "waiting", "unclear", "untried"

_KEPT = range(20_000)
_NAP_SECONDS, _MOST_NAPS = 0.001, 3  # sleeps of the probe that keep the lock; in all less than the switch interval
# Who finds the lock taken works for some millionths of a second, and again after each switch interval.
_LEAST_WORK_SECONDS, _LEAST_WORK_SHARE = 0.0001, 0.02
_AWAY_SECONDS = 0.001  # without the lock: long enough for another thread to take it
_SOON_BACK_SECONDS = 0.003
_OWN_SLEEPS = 1  # of the probe itself
_SLEEPS_WHEN_HELD = 3  # its own, one that ends with the switch interval, and at least one after it
LONG_SECONDS = 0.003  # a loop that waits or works so long between batches hardly loses what a probe takes
# Between two probes, which may take some milliseconds of a loop that waits anyway.
_FIRST_PROBES, _FIRST_SECONDS, _LATER_SECONDS = 30, 0.03, 1.0
_MOST_UNTRIED, _UNTRIED_SECONDS = 100, 0.01  # the same after one that found nothing
_READY_FIRST_SECONDS, _READY_LATER_SECONDS = 0.1, 2.0  # where the next batch is there: the loop loses the time
_BY_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)  # Linux has it
_libc = ctypes.PyDLL(None)  # whose calls keep the interpreter's lock


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


def probe_lock(threads: Sequence[int], *, num_busy: int) -> str:
    """Keep the lock for some tenths of a millisecond, let go of it for one, and return what others did meanwhile.

    Where one of `threads` wants to work while it is kept, but has no processor, it is kept for some milliseconds.

    Args:
      threads: Those that may want it, by the system's numbers.
      num_busy: How many of them are at work.

    Returns:
      FREE: others worked while it was kept; or the only one worked later, and did not keep it.  HELD: it was given back
      only when it had to be.  WAITING: `threads` did not want it, and slept.  UNCLEAR: it was given back soon.
      UNTRIED: nobody had a processor to try.
    """
    before, worked, own, begun = _num_sleeps(), _work_of_others(), time.thread_time(), time.perf_counter()
    sum(_KEPT)  # in C, which nothing interrupts
    did_work = _work_of_others() - worked > (time.thread_time() - own) / 2
    naps = 0
    while not did_work and naps < _MOST_NAPS and not all(map(_sleeps, _states(threads))):
        _libc.usleep(round(_NAP_SECONDS * 1e6))
        naps += 1
        seconds = time.perf_counter() - begun
        did_work = _work_of_others() - worked > _LEAST_WORK_SECONDS + _LEAST_WORK_SHARE * seconds
    if _num_sleeps() != before + naps:  # between two calls others may have had it in spite of that
        return UNTRIED
    if did_work:
        return FREE
    states = _states(threads)
    before, begun, worked = _num_sleeps(), time.perf_counter(), _work_of_others()
    select.select((), (), (), _AWAY_SECONDS)
    seconds, sleeps = time.perf_counter() - begun, _num_sleeps() - before
    if sleeps >= _SLEEPS_WHEN_HELD and seconds >= sys.getswitchinterval():
        return HELD
    if sleeps > _OWN_SLEEPS:
        return UNCLEAR
    worked = _work_of_others() - worked
    # Several may be handing it over to each other, and in a longer time one has ended its work and begun other.
    if worked > _AWAY_SECONDS / 2 and num_busy == 1 and seconds < _SOON_BACK_SECONDS:
        return FREE
    # Whoever wanted it would have been woken when it was let go of.
    return WAITING if all(map(_sleeps, states)) and states == _states(threads) else UNTRIED


def _num_sleeps() -> int:
    return 0 if _BY_THREAD is None else resource.getrusage(_BY_THREAD).ru_nvcsw


def _work_of_others() -> float:
    """Return the processor's time, in seconds, that all other threads of this process have had."""
    return time.process_time() - time.thread_time()


def _states(threads: Sequence[int]) -> list[tuple[bytes, ...]]:
    """Return of each thread whether it sleeps, and how often it has been woken or interrupted; () where unknown.

    The lock is kept meanwhile: letting go of it would wake up those that wait for it.
    """
    states, text = [], ctypes.create_string_buffer(4096)
    for thread in threads:
        file = _libc.open(b"/proc/self/task/%d/status" % thread, os.O_RDONLY)
        length = 0
        if file >= 0:
            length = max(0, _libc.read(file, text, len(text)))
            _libc.close(file)
        lines = text.raw[:length].splitlines()
        states.append(tuple(line for line in lines if line.startswith((b"State:", b"voluntary", b"nonvoluntary"))))
    return states


def _sleeps(state: tuple[bytes, ...]) -> bool:
    """Tell whether a thread neither works nor waits for a processor; False where that is unknown."""
    return bool(state) and state[0].split()[1] in (b"S", b"D")
