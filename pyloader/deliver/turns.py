"""Turns: what threads do one after another."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

__all__ = ["turns"]


def turns() -> AbstractContextManager[bool]:
    """Return a lock: `with` it, one thread is in at a time, and may enter again."""
    return threading.RLock()
