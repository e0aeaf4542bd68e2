"""Turn: one thread at a time takes batches of a loader, and another one that moves the loader is told apart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyloader.errors import ConcurrentUseError

__all__ = ["Turn", "own_thread", "this_thread"]

_WAIT_SECONDS = 5.0

this_thread = threading.get_ident


def own_thread() -> tuple[int, str]:
    """Return the number that the system gives the calling thread, and its name."""
    return threading.get_native_id(), threading.current_thread().name


class Turn:
    """The right to take batches of a loader: one thread has it at a time; a second one is refused, and does not wait.

    It is a dict that holds the thread, since a lock costs twice as much, and every batch pays for it:

        me = this_thread()
        try:
            if turn.take(0, me) != me or turn.moved is not None:
                turn.refuse(me)
            ...
            turn.leave()
        except BaseException:
            turn.leave_if_mine()
            raise

    Args:
      name: What the loader is called in errors.

    Attributes:
      take: take(0, me) takes the turn when no thread has it, and returns which thread has it now.
      give_back: Gives it back; where `awaiting` is set then, `wake` must follow.
      awaiting: The error of a thread that waits for the turn in order to move the loader; None mostly.
      moved: The error for the thread whose `for` another thread has moved; None mostly.
      interruption: The error for the call that another thread ends in order to move the loader; None mostly.
    """

    __slots__ = (
        "_changed",
        "_holder",
        "_iterating",
        "_name",
        "awaiting",
        "give_back",
        "interruption",
        "moved",
        "take",
    )

    def __init__(self, name: str) -> None:
        self._name = name
        self._holder: dict[int, int] = {}
        self.take, self.give_back = self._holder.setdefault, self._holder.clear
        self._changed = threading.Condition()
        self.awaiting: ConcurrentUseError | None = None
        self._iterating: threading.Thread | None = None  # the one that is in the middle of a `for`
        self.moved: ConcurrentUseError | None = None
        self.interruption: ConcurrentUseError | None = None

    def leave(self) -> None:
        """Give the turn back, and wake who waits for it."""
        self.give_back()
        if self.awaiting is not None:
            self.wake()

    def wake(self) -> None:
        """Wake who waits for the turn."""
        with self._changed:
            self._changed.notify_all()

    def leave_if_mine(self) -> None:
        """Give the turn back, if this thread has it."""
        if self._holder.get(0) == this_thread():
            self.leave()

    def refuse(self, me: int, call: str = "next()") -> None:
        """Raise, for a call that comes out of turn.

        Raises:
          ConcurrentUseError: another thread has the turn, or waits for it, or has moved this one's `for`.
        """
        if (other := self.take(0, me)) != me:
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            raise ConcurrentUseError(
                f"{call} of this {self._name} was called in {_thread_name()} while thread {names.get(other)!r} was "
                "inside of it.",
                "Have one thread take the batches, and pass them on: queue.Queue",
            )
        if self.awaiting is not None:  # without this a thread that asks again at once would always come first
            raise ConcurrentUseError(*self.awaiting.args)
        if self.moved is not None and self._iterating is threading.current_thread():
            raise ConcurrentUseError(*self.moved.args)
        self.end_for()  # another thread takes the batches now

    def interrupted(self) -> ConcurrentUseError | None:
        """Return the error for a call that another thread has ended in order to move the loader, and forget it."""
        error, self.interruption = self.interruption, None
        return error

    @contextmanager
    def alone(self, call: str) -> Iterator[None]:
        """Have the turn for a while.

        Raises:
          ConcurrentUseError: another thread has it.
        """
        me = this_thread()
        try:
            if self.take(0, me) != me:
                self.refuse(me, call)
            yield
        finally:
            self.leave_if_mine()

    @contextmanager
    def moving(self, call: str, interrupt: Callable[[ConcurrentUseError], None]) -> Iterator[None]:
        """Have the turn in order to move the loader; another thread that is in the middle of a `for` is told.

        Args:
          call: What moves it: "reset()".
          interrupt: Ends the call that has the turn, with an error.

        Raises:
          ConcurrentUseError: that one did not end within 5 seconds.
        """
        me = this_thread()
        moved = ConcurrentUseError(
            f"{call} of this {self._name} was called in {_thread_name()} while this thread was taking its batches.",
            "Begin a new `for`, which goes on from there",
        )
        try:
            if self.take(0, me) != me and not self._wait(me, moved, interrupt):
                self.refuse(me, call)
            is_others = self._iterating not in (None, threading.current_thread())
            self.moved, self.interruption = moved if is_others else None, None
            yield
        finally:
            self.leave_if_mine()

    def begin_for(self) -> None:
        """Note that a `for` begins in this thread."""
        self._iterating = threading.current_thread()
        self.moved = self.interruption = self.awaiting

    def end_for(self) -> None:
        """Note that it has come to its end."""
        self._iterating, self.moved = None, self.awaiting

    def _wait(self, me: int, moved: ConcurrentUseError, interrupt: Callable[[ConcurrentUseError], None]) -> bool:
        """End the call that has the turn, take the turn, and tell whether that went within 5 seconds."""
        with self._changed:
            # Before looking: whoever gives the turn back after that look sees this, and notifies.
            self.awaiting = self.moved = moved
            try:
                interrupt(moved)
                return self._changed.wait_for(lambda: self.take(0, me) == me, _WAIT_SECONDS)
            finally:
                self.awaiting = None


def _thread_name() -> str:
    return f"thread {threading.current_thread().name!r}"
