"""Turns at work that holds the interpreter's lock: threads of a split do it one after another, and all else at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["LockTurn"]


class LockTurn:
    """Work that one thread of this process does at a time: what holds the interpreter's lock anyway.

    Threads that share that lock block by block come to all else, compression say, at the same moment; where one has
    done its part before the next one begins, the two go on side by side.

    Args:
      is_taken: Whether there is a turn to wait for; otherwise nothing is waited for.
    """

    _lock = threading.Lock()

    def __init__(self, *, is_taken: bool) -> None:
        self._is_taken = is_taken

    def __enter__(self) -> None:
        if self._is_taken:
            self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        if self._is_taken:
            self._lock.release()

    @contextmanager
    def left(self) -> Iterator[None]:
        """Leave the turn to others for the time of the `with`."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()
