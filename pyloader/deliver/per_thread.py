"""PerThread: something that belongs to the thread that made it, one for each."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerThread"]

T = TypeVar("T")


class PerThread(Generic[T]):
    """Gives every thread, of every process, a thing of its own; `close()` closes all of them.

    A thread's thing is dropped when the thread ends.

    Args:
      make: Makes one, in the thread that will use it.
      close: Closes one, in whatever thread.
    """

    def __init__(self, make: Callable[[], T], *, close: Callable[[T], None]) -> None:
        self._make, self._close = make, close
        self._lock = threading.Lock()
        self._all: weakref.WeakKeyDictionary[threading.Thread, tuple[int, T]] = weakref.WeakKeyDictionary()

    def __call__(self) -> T:
        thread, process = threading.current_thread(), os.getpid()
        with self._lock:
            found = self._all.get(thread)
        if found is not None and found[0] == process:  # a forked child has its parent's, and must not touch them
            return found[1]
        made = self._make()
        with self._lock:
            self._all[thread] = (process, made)
        return made

    def close(self) -> None:
        """Close those of this process.  The next use makes new ones."""
        with self._lock:
            things = [thing for process, thing in self._all.values() if process == os.getpid()]
            self._all.clear()
        for thing in things:
            self._close(thing)
