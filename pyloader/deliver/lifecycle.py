"""Lifecycle: the end of a run's steps, by close(), by garbage collection, or at the interpreter's exit."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias, TypeVar

from pyloader.errors import ForkError

__all__ = ["Awaited", "Closing", "Guarded", "Step", "Steps", "StepsClosed", "Wrap", "end_with"]

_log = logging.getLogger("pyloader")

_CLOSE_SECONDS = 5.0

# A step's name, what its items are called, and its function -> the function, with something done around its calls.
Wrap: TypeAlias = "Callable[[str, Callable[[Any], str], Callable[[Any], Any]], Callable[[Any], Any]]"


class Closing:
    """Something that the end of a `with` closes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End what runs, and close what is open."""
        raise NotImplementedError


class StepsClosed(Exception):
    """Raised by whatever waits once the steps are being closed: nothing it waits for will come any more."""


class Awaited:
    """Something that threads wait for, and that is closed with the steps.  Nothing of it runs by itself, at first."""

    def activity(self) -> list[str]:
        """Return what it is doing."""
        return []

    def signal_close(self) -> None:
        """End every wait, now and from now on."""

    def process_of_thread(self) -> int | None:
        """Return the process that works for the calling thread; None where there is none."""
        return None

    def join(self, deadline: float) -> list[str]:
        """Wait until nothing of it runs, or `deadline` (as `time.monotonic` counts); return what still runs."""
        return []


class Step(Awaited):
    """A step of a run.  It has no threads, at first."""

    def start(self) -> None:
        """Begin."""

    def stacks(self) -> list[str]:
        """Return the stacks of its threads."""
        return []

    def owns(self, thread: threading.Thread) -> bool:
        """Tell whether `thread` is one of its own."""
        return False

    def trace(self, wrap: Wrap | None) -> None:
        """Call its function as `wrap` makes it, from its next item on; None ends that."""


class Guarded(Awaited):
    """Fields that several threads change and wait for.

    Attributes:
      changed: Guards every field.
    """

    def __init__(self) -> None:
        # Re-entrant: a finaliser may run in a thread that is inside one of these methods.
        self.changed = threading.Condition(threading.RLock())
        self._closed = False

    def signal_close(self) -> None:
        """End every wait, now and from now on."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    def _wait_until(self, is_ready: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait under `changed`, at most for so many seconds.

        Raises:
          StepsClosed: closed, before or meanwhile.
        """
        self.changed.wait_for(lambda: self._closed or is_ready(), seconds)
        if self._closed:
            raise StepsClosed


AnyStep = TypeVar("AnyStep", bound=Step)
AnyAwaited = TypeVar("AnyAwaited", bound=Awaited)


class Steps:
    """A run's steps, upstream first, and what else their threads wait for (processes, a bound), closed together."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._awaited: list[Awaited] = []
        self._process = os.getpid()
        self._wrap: Wrap | None = None

    def add(self, step: AnyStep) -> AnyStep:
        """Add a step downstream of the others, start it, and return it."""
        self._steps.append(step)  # first: Ctrl-C may come while it starts, and it must be known to whoever closes
        if self._wrap is not None:
            step.trace(self._wrap)
        step.start()
        return step

    def add_awaited(self, awaited: AnyAwaited) -> AnyAwaited:
        """Add something that threads of the steps wait for, to be closed with them, and return it."""
        self._awaited.append(awaited)
        return awaited

    def check_process(self) -> None:
        """Raise in a forked child, where the threads do not exist.

        Raises:
          ForkError: this is not the process that made the steps.
        """
        if os.getpid() != self._process:
            raise ForkError(
                "this DataLoader was made in another process, and its threads were not copied by the fork.",
                "Make one in each process, after the fork",
            )

    def trace(self, wrap: Wrap | None) -> None:
        """Call the steps' functions as `wrap` makes them, those of steps to come too; None ends that."""
        self._wrap = wrap
        for step in self._steps:
            step.trace(wrap)

    def process_of_thread(self) -> int | None:
        """Return the process that works for the calling thread; None where there is none."""
        return next(filter(None, (each.process_of_thread() for each in self._awaited)), None)

    def activity(self) -> list[str]:
        """Return what every step is doing."""
        return [line for each in (*self._steps, *self._awaited) for line in each.activity()]

    def stacks(self) -> list[str]:
        """Return the stacks of the steps' threads."""
        return [stack for step in self._steps for stack in step.stacks()]

    def interrupt(self) -> None:
        """Tell every thread and process to end, and end every wait for them; may be called from any thread."""
        for each in (*self._steps[::-1], *self._awaited):
            each.signal_close()

    def close(self, seconds: float | None = None) -> None:
        """End every thread and process, and wait until they have ended; after so many seconds warn, and leave: 5.

        May be called from any thread, any number of times.
        """
        if os.getpid() != self._process:
            return
        self.interrupt()
        steps: Sequence[Step] = self._steps[::-1]
        seconds = _CLOSE_SECONDS if seconds is None else seconds
        deadline = time.monotonic() + seconds
        running = [line for awaited in self._awaited for line in awaited.join(deadline)]
        if any(step.owns(threading.current_thread()) for step in steps):
            return  # a finaliser in one of our own threads: they end by themselves, and must not wait for each other
        running += [line for step in steps for line in step.join(deadline)]
        if running:
            _log.warning("close: after %g s still running, and left behind: %s", seconds, "; ".join(running))


def end_with(owner: object, steps: Steps) -> Callable[[], None]:
    """Close `steps` when `owner` is collected, at the latest when the interpreter exits.

    Calling the answer closes them at once.
    """
    finalizer = weakref.finalize(owner, steps.close)

    def end() -> None:
        steps.close()
        finalizer.detach()  # only now: a Ctrl-C that came meanwhile leaves something to be closed

    return end
