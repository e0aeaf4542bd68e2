"""Waiting for others who use a cache: a look every 2 to 200 ms, until nothing has moved for too long."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pyloader.errors import ClosedError, StallError

__all__ = ["Wait", "Waiting"]

# Waits so many seconds, and tells whether the loader was closed meanwhile: `threading.Event.wait` is one.
Wait = Callable[[float], bool]

# The lock of the cache is held for milliseconds: small chunks come twice as fast as with 20.
_SHORTEST, _LONGEST, _GROWTH = 0.002, 0.2, 1.5


@dataclass
class Waiting:
    """Waits of one call.

    Attributes:
      what: What is waited for, for errors: a URL.
      wait: Waits.
      deadline_seconds: How long nothing may move.
    """

    what: str
    wait: Wait
    deadline_seconds: float
    _pause: float = _SHORTEST
    _seen: Any = None
    _since: float = field(default_factory=time.monotonic)

    def once(self, reason: str, seen: Any) -> None:
        """Wait a little, and longer each time.

        Args:
          reason: What keeps it: "process 17 is fetching it".
          seen: What changes when something moves.

        Raises:
          ClosedError: closed meanwhile.
          StallError: nothing has moved for too long.
        """
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        if now - self._since >= self.deadline_seconds:
            what = f"{self.what}: nothing has moved for {self.deadline_seconds:g} s: {reason}."
            raise StallError(what, "End what keeps it, or give this loader a cache of its own: cache_dir=...")
        if self.wait(self._pause):
            raise ClosedError(f"The loader was closed while it waited for {self.what}.")
        self._pause = min(_LONGEST, self._pause * _GROWTH)
