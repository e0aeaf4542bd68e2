"""Open files of this process alone: a forked child has them closed, so that it keeps no lock of its parent."""

from __future__ import annotations

import os
import select
import sys
import weakref
from threading import RLock

__all__ = ["OwnFile"]

_guard = RLock()  # re-entrant: a signal handler may fork
_own: dict[int, weakref.ref[OwnFile]] = {}  # by descriptor; what is closed stays until its number is another's

# An object that has a descriptor, and closes it when it is collected, without a line of Python: in a finalizer Ctrl-C
# would be lost, and the file would stay open.  (A file of Python does so too, and warns of it.)
if sys.platform == "linux":
    _owner_of = select.epoll.fromfd
else:
    _owner_of = select.kqueue.fromfd


class OwnFile:
    """A file that neither a forked child nor a started program keeps open, until `close`, or until it is collected.

    Ctrl-C at any line of this leaves it open and owned, or closed.

    Args:
      path: The file.
      flags: As os.open takes them.
      mode: The permissions of a file that is made.

    Attributes:
      descriptor: Of the open file; after `close` it may be that of another.
    """

    def __init__(self, path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> None:
        with _guard:  # no fork comes between: the child would not know of it
            self._owner = _owner_of(os.open(path, flags | os.O_CLOEXEC, mode))
            self.descriptor = self._owner.fileno()
            _own[self.descriptor] = weakref.ref(self)

    def close(self) -> None:
        """Close it; does nothing the second time, and in a forked child."""
        with _guard:
            self._owner.close()


def _close_in_child() -> None:
    for known in _own.values():
        if (file := known()) is not None:
            file._owner.close()
    _own.clear()
    _guard.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_close_in_child)
