"""Stalls: what to say, and when to give up, when nothing arrives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pyloader.errors import StallError

__all__ = ["StallWatch"]

_log = logging.getLogger("pyloader")


class StallWatch:
    """Waits for a condition: warns once when that takes long, and raises when it takes too long.

    Args:
      warn_after: Seconds of silence before a warning.
      fail_after: Seconds of silence before StallError; None waits for ever.
      activity: Returns what every step is doing.
      stacks: Returns the stacks of the threads that are doing it.
    """

    def __init__(
        self,
        *,
        fail_after: float | None,
        activity: Callable[[], list[str]],
        stacks: Callable[[], list[str]],
        warn_after: float = 60.0,
    ) -> None:
        self._warn_after, self._fail_after = warn_after, fail_after
        self._activity, self._stacks = activity, stacks

    def wait(self, changed: threading.Condition, is_ready: Callable[[], bool]) -> None:
        """Wait until `is_ready()`, called under `changed`, which the caller holds.

        Raises:
          StallError: nothing for `fail_after` seconds.
        """
        begun = time.monotonic()
        warns = self._fail_after is None or self._warn_after < self._fail_after
        if warns:
            if changed.wait_for(is_ready, self._warn_after):
                return
            _log.warning("nothing has arrived for %g s: %s", self._warn_after, "; ".join(self._activity()))
        left = None if self._fail_after is None else self._fail_after - (time.monotonic() - begun)
        if not changed.wait_for(is_ready, left):
            raise StallError(
                f"nothing arrived within stall_timeout_seconds={self._fail_after:g}: {'; '.join(self._activity())}.",
                "The threads are at:\n" + "\n".join(self._stacks()),
            )
