"""Thread safety: whether a reader, dataset, collator or function may be called by several threads at once."""

from __future__ import annotations

from types import FunctionType
from typing import Any

__all__ = ["is_thread_safe"]


def is_thread_safe(part: Any) -> bool:
    """Tell whether `part`, or its class, says `is_thread_safe = True`; None is.

    What a class says does not count for a subclass that writes methods anew: it must say so anew.
    """
    if part is None:
        return True
    if "is_thread_safe" in getattr(part, "__dict__", {}):  # of a function, or of one object
        return part.is_thread_safe is True
    for home in type(part).__mro__:
        if "is_thread_safe" in vars(home):
            return part.is_thread_safe is True
        if any(_is_method(name, value) for name, value in vars(home).items()):
            return False
    return False


def _is_method(name: str, value: Any) -> bool:
    """Tell whether an entry of a class is called later than `__init__`, which one thread calls."""
    return name != "__init__" and isinstance(value, FunctionType | staticmethod | classmethod | property)
