"""Open files of this process alone: a forked child has them closed, so that it keeps no lock of its parent."""

from __future__ import annotations

import itertools
import os
import weakref
from threading import RLock

__all__ = ["OwnFile", "close_own", "open_own"]

_guard = RLock()  # re-entrant: a signal handler may fork
_own: dict[int, int] = {}  # descriptors, each by itself, or by the number of its OwnFile, which is below 0
_numbers = itertools.count(-1, -1)


class OwnFile:
    """A file that neither a forked child nor a started program keeps open, until `close`, or until it is collected.

    Ctrl-C at any line of this leaves it open and known, or closed: it is opened and noted in one line, and forgotten
    and closed in one.

    Args:
      path: The file.
      flags: As os.open takes them.

    Attributes:
      descriptor: Of the open file; after `close` it may be that of another.
    """

    def __init__(self, path: str | os.PathLike[str], flags: int) -> None:
        self._number = next(_numbers)
        self._when_collected = weakref.finalize(self, close_own, self._number)
        with _guard:  # no fork comes between: the child would not know of it
            _own[self._number] = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self.descriptor = _own[self._number]

    def close(self) -> None:
        """Close it; does nothing the second time, and in a forked child."""
        close_own(self._number)
        self._when_collected.detach()  # Ctrl-C is heard here; what is raised in a finalizer is lost


def open_own(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> int:
    """Return the descriptor of a file that neither a forked child nor a started program keeps open."""
    with _guard:
        descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
        _own[descriptor] = descriptor
    return descriptor


def close_own(number: int) -> None:
    """Close what `open_own` returned in this process; a forked child has it closed already."""
    with _guard:
        if number in _own:
            os.close(_own.pop(number))


def _close_in_child() -> None:
    for descriptor in _own.values():
        os.close(descriptor)
    _own.clear()
    _guard.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_close_in_child)
