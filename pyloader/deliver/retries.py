"""Retries: a call that failed for a reason that may pass is made again, a little later each time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pyloader.deliver.slots import SlotsClosed

__all__ = ["Retried"]

Out = TypeVar("Out")

_log = logging.getLogger("pyloader")


class Retried(Generic[Out]):
    """`fn`, called again after an error that may pass; closing ends the wait for it.

    Args:
      fn: What to call.
      waits: The seconds to wait before each further call; as many as there are, and then the error is raised.
      may_pass: Tells whether it makes sense to call again after an error.
      doing: What a call is called in reports, by its arguments: "reading chunk-0003".
      count: Called before each further call, by one thread at a time.
    """

    def __init__(
        self,
        fn: Callable[..., Out],
        *,
        waits: tuple[float, ...],
        may_pass: Callable[[Exception], bool],
        doing: Callable[..., str],
        count: Callable[[], None],
    ) -> None:
        self._fn, self._waits, self._may_pass, self._doing, self._count = fn, waits, may_pass, doing, count
        # Re-entrant: a finaliser may run in a thread that is inside one of these methods.
        self._changed = threading.Condition(threading.RLock())
        self._closed = False

    def __call__(self, *args: Any) -> Out:
        num_tries = len(self._waits) + 1
        for number in range(1, num_tries):
            try:
                return self._fn(*args)
            except Exception as exc:
                if not self._may_pass(exc):
                    raise
                text = f"{type(exc).__name__}: {exc}"
            seconds = self._waits[number - 1]
            left = f"try {number + 1} of {num_tries} in {seconds:g} s"
            _log.warning("%s failed (%s); %s", self._doing(*args), text, left)
            with self._changed:
                self._count()
                if self._changed.wait_for(lambda: self._closed, seconds):
                    raise SlotsClosed
        try:
            return self._fn(*args)
        except Exception as exc:
            if num_tries > 1 and self._may_pass(exc):
                exc.add_note(f"pyloader: the last of {num_tries} tries")
            raise

    def activity(self) -> list[str]:
        """Return nothing: the step that calls says which item it is at."""
        return []

    def signal_close(self) -> None:
        """End every wait, now and from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, deadline: float) -> list[str]:
        """Nothing runs on its own."""
        return []
