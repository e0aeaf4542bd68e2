"""Retries: a call that failed for a reason that may pass is made again, a little later each time."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyloader.deliver.lifecycle import Guarded

__all__ = ["Retries"]

_log = logging.getLogger("pyloader")


class Retries(Guarded):
    """Decides after a failed call whether to make it again, and waits before that; closing ends the wait.

    It does not make the call itself: the stack between a thread and the user's code stays short.

    Args:
      waits: The seconds to wait before each further call; as many as there are, and then the error is raised.
      may_pass: Tells whether it makes sense to call again after an error.
      count: Called before each further call, by one thread at a time.
    """

    def __init__(
        self, *, waits: tuple[float, ...], may_pass: Callable[[Exception], bool], count: Callable[[], None]
    ) -> None:
        super().__init__()
        self._waits, self._may_pass, self._count = waits, may_pass, count

    def wait_after(self, error: Exception, number: int, doing: str) -> bool:
        """Wait until a call may be made again, and tell whether it may; otherwise the caller raises `error`.

        Args:
          error: What the call raised; the last that may pass gets a note.
          number: It was the number-th try, from 1.
          doing: What the call is called in reports: "reading chunk-0003".

        Raises:
          StepsClosed: closed, before or meanwhile.
        """
        num_tries = len(self._waits) + 1
        if num_tries == 1 or not self._may_pass(error):
            return False
        if number == num_tries:
            error.add_note(f"pyloader: the last of {num_tries} tries")
            return False
        seconds = self._waits[number - 1]
        text, left = f"{type(error).__name__}: {error}", f"try {number + 1} of {num_tries} in {seconds:g} s"
        _log.warning("%s failed (%s); %s", doing, text, left)
        with self.changed:
            self._count()
            self._wait_until(lambda: False, seconds)
        return True
