"""Values that are made when they are first wanted: once for all threads, or once for each thread."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Once", "PerThread"]

T = TypeVar("T")


class Once(Generic[T]):
    """Calls `make` when the value is first wanted; meanwhile other threads wait.

    A `make` that fails is called again the next time.  It can be pickled, with the value when there is one.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._lock = threading.RLock()

    def __call__(self) -> T:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    def __getstate__(self) -> dict[str, Any]:
        return {"_make": self._make, "_made": self._made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock())


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
