"""Open files of this process alone: a forked child has them closed, so that it keeps no lock of its parent."""

from __future__ import annotations

import os
from threading import RLock

__all__ = ["close_own", "open_own"]

_guard = RLock()  # re-entrant: a signal handler may fork
_own: set[int] = set()


def open_own(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> int:
    """Return the descriptor of a file that neither a forked child nor a started program keeps open."""
    with _guard:  # no fork comes between: the child would not know of it
        descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
        _own.add(descriptor)
    return descriptor


def close_own(descriptor: int) -> None:
    """Close what `open_own` returned in this process; a forked child has it closed already."""
    with _guard:
        if descriptor in _own:
            _own.remove(descriptor)
            os.close(descriptor)


def _close_in_child() -> None:
    for descriptor in _own:
        os.close(descriptor)
    _own.clear()
    _guard.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_close_in_child)
