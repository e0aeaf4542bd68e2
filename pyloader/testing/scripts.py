"""Scripts: functions run in processes of their own, to see how those end."""

from __future__ import annotations

from collections.abc import Callable
from unittest import SkipTest

from pyloader.deliver import Ending, run_child
from pyloader.errors import MissingDependencyError
from pyloader.testing.laws import broken

__all__ = ["in_child"]

_SECONDS = 60


def in_child(script: Callable[[], None]) -> Ending:
    """Run a function in a new interpreter, and return how that ended.

    Raises:
      AssertionError: it did not end.
      SkipTest: cloudpickle, which sends it there, is not installed.
    """
    try:
        ending = run_child(script, timeout=_SECONDS)
    except MissingDependencyError as exc:
        raise SkipTest(str(exc)) from exc
    if ending.code is None:
        raise broken(5, f"a script had not ended after {_SECONDS} s: {ending.errors}")
    return ending
