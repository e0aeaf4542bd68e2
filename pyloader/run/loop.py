"""The loop: one stream of batches with a position, for one thread at a time.

                     next                    peek
    FRESH, LOADED ─────────> RUNNING <────────────────> PARKED
      ^      ^                │  │           next
      │      │                │  │ an error
      │    a `for`            │  └─────────> FAILED   (repeats the error)
      │      │                │ the run's end
      │    OVER <─────────────┘
      │
      └── from all of them: reset(), skip(), seek(), Ctrl-C; load_state_dict() leads to LOADED

    CLOSED: from all of them by close(), for good, also while another thread is inside of `next`

The position is the one after the batch last delivered: batches that were peeked at or made ahead come after it.  So
nothing is lost when a run ends, for whatever reason: the next run begins at the position, and the order is a function
of the position.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import RLock
from typing import Any, Generic, Protocol, Self, TypeVar

from pyloader.audit import ReceiptWriter
from pyloader.deliver import Steps, StepsClosed, Turn, end_with, this_thread
from pyloader.errors import ClosedError, ConcurrentUseError, drop_own_frames
from pyloader.observe import Counters, ProgressBar
from pyloader.run.handover import Handover

__all__ = ["Loop", "State"]


class State(enum.Enum):
    """What the next call finds."""

    FRESH = enum.auto()  # a position, and nothing begun
    LOADED = enum.auto()  # the same, put there by a saved state
    RUNNING = enum.auto()  # a run, which makes batches ahead
    PARKED = enum.auto()  # a run, and its latest batch, which was looked at and not delivered
    OVER = enum.auto()  # the run's end has been delivered
    FAILED = enum.auto()  # an error has been raised, and is raised again
    CLOSED = enum.auto()


_RUNNING = State.RUNNING  # a global: it is looked up for every batch


class _Place(Protocol):
    def next_epoch(self) -> Self: ...


Place = TypeVar("Place", bound=_Place)
Batch = TypeVar("Batch")


class Loop(ABC, Generic[Place, Batch]):
    """Delivers the batches that runs make, from a position on; one run at a time.

    Args:
      name: What it is called in errors.
      position: Where to begin.
      counters: What is counted along the way.
      bar: Shows how far it is; None shows nothing.
    """

    _receipts: ReceiptWriter | None = None

    def __init__(self, name: str, position: Place, counters: Counters, bar: ProgressBar | None) -> None:
        self._position, self._counters, self._bar = position, counters, bar
        self._turn = Turn(name)
        self._state = State.FRESH
        self._changing = RLock()  # re-entrant: a finaliser may close in a thread that is changing the state
        self._run: Handover[Place] | None = None  # there while RUNNING or PARKED
        self._end_run: Callable[[], None] | None = None
        self._kept: Any = None  # PARKED: the batch, its rows, the position after it; FAILED: the error

    def __next__(self) -> Batch:
        turn, position = self._turn, self._position
        me = this_thread()
        batch: Batch
        try:
            if turn.take(0, me) != me or turn.moved is not None:
                turn.refuse(me)
            batch, num_rows, after = self._take()
            if self._receipts is not None:
                self._write_receipt()
            self._position = after
            self._counters.delivered(num_rows)
            if self._bar is not None:
                self._bar.step(*self._epoch_and_step(), self._counters)
            # The same as turn.leave(), without the call: this is done for every batch.
            turn.give_back()
            if turn.awaiting is not None:
                turn.wake()
            return batch
        except BaseException as exc:
            if not isinstance(exc, Exception):  # Ctrl-C, at any line: the batch has not been received
                self._go_to(position)
            turn.leave_if_mine()
            raise

    def close(self) -> None:
        """End the threads.  The position stays; batches cannot be had any more, also in a thread that waits for one."""
        was_closed = self._state is State.CLOSED
        self._become(State.CLOSED)
        self._kept = None
        self._stop_run()
        if not was_closed:
            self._counters.closed()

    @abstractmethod
    def _run_from(self, position: Place, steps: Steps) -> Handover[Place]:
        """Begin a run at `position`; `steps` takes what may have threads.

        Raises:
          StopIteration: a run ends there.
        """

    @abstractmethod
    def _epoch_and_step(self) -> tuple[int, int]:
        """Return the epoch of the latest batch, and how many batches of it have been delivered."""

    @abstractmethod
    def _closed_error(self) -> ClosedError: ...

    def _write_receipt(self) -> None:
        """Write down that the loop gets the run's latest batch, before it does."""
        raise NotImplementedError

    def _take(self) -> tuple[Any, int, Place]:
        """Return the next batch, its rows, and the position after it; `self._position` stays where the loop is."""
        run = self._run
        if self._state is not _RUNNING or run is None:
            if self._state is State.PARKED and (kept := self._kept) is not None:
                self._kept = None
                self._become(_RUNNING)
                taken: tuple[Any, int, Place] = kept
                return taken
            self._check_may_run()
            run = None
        try:
            if run is None:
                run = self._begin_run()
            run.steps.check_process()
            batch, num_rows = run.next_batch()
        except StopIteration:
            self._stop_run()
            self._turn.end_for()
            self._position = self._position.next_epoch()
            self._become(State.OVER)
            self._counters.observers.call_last(self._counters.num_steps)
            raise
        except StepsClosed:  # another thread has ended the run, to close or to move this
            self._stop_run()
            self._become(State.FRESH)
            raise self._turn.interrupted() or self._closed_error() from None
        except BaseException as exc:
            self._fail(exc)
            drop_own_frames(exc)
            raise
        return batch, num_rows, run.position

    def _check_may_run(self) -> None:
        """Raise where no batch can come.

        Raises:
          ClosedError: it is closed.
          StopIteration: the run is over.
          Exception: the error that it failed with.
        """
        state, kept = self._state, self._kept
        if state is State.CLOSED:
            raise self._closed_error()
        if state is State.OVER:
            raise StopIteration
        if state is State.FAILED:
            raise kept

    def _begin_run(self) -> Handover[Place]:
        self._counters.requested()
        self._stop_run()  # a run that is still there, because Ctrl-C interrupted its end
        steps = Steps()
        self._end_run = end_with(self, steps)  # before anything starts: Ctrl-C may come at any line
        self._counters.begin_run(steps)
        run = self._run = self._run_from(self._position, steps)
        # Another thread may have closed or moved the loader meanwhile, and found no run to interrupt.
        if not self._become(_RUNNING) or self._turn.interruption is not None:
            steps.close()
            raise StepsClosed
        return run

    def _peeked(self) -> Any:
        """Return the next batch, which stays the next.

        Raises:
          StopIteration: the run is over; then the position is that after its end.
        """
        if self._state is not State.PARKED:
            position = self._position
            try:
                self._kept = self._take()
                self._become(State.PARKED)
            except BaseException as exc:
                if not isinstance(exc, Exception):
                    self._go_to(position)
                raise
        if (kept := self._kept) is None or self._state is not State.PARKED:  # closed meanwhile, by another thread
            raise self._closed_error()
        return kept[0]

    def _fail(self, error: BaseException) -> None:
        """End the run.  After Ctrl-C the next call begins a new one; after an error it repeats the error."""
        is_failure = isinstance(error, Exception)
        self._kept = error if is_failure else None
        self._become(State.FAILED if is_failure else State.FRESH)
        self._stop_run()

    def _go_to(self, position: Place, state: State = State.FRESH) -> None:
        self._stop_run()
        self._position, self._kept = position, None
        self._become(state)

    def _become(self, state: State) -> bool:
        """Change the state, unless it is closed; tell whether it was changed."""
        with self._changing:
            if self._state is State.CLOSED:
                return False
            self._state = state
            return True

    def _stop_run(self) -> None:
        self._run = None
        if (end_run := self._end_run) is not None:
            end_run()
        self._end_run = None
        if self._bar is not None:
            self._bar.close()

    def _interrupt(self, error: ConcurrentUseError) -> None:
        self._turn.interruption = error
        if (run := self._run) is not None:
            run.steps.interrupt()
