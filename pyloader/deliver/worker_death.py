"""Deaths: what can be said of a worker process that ended in the middle of its work."""

from __future__ import annotations

import signal

from pyloader.machine.limits import memory_limits
from pyloader.options import format_bytes

__all__ = ["account_of_death"]


def account_of_death(who: str, exit_code: int | None, peak_bytes: int | None, doing: str) -> tuple[str, str]:
    """Return what happened to a worker, and what to do about it.

    Args:
      who: The worker.
      exit_code: As `subprocess` counts, so that -9 is SIGKILL; None when nobody knows.
      peak_bytes: It had no more memory than this.
      doing: What it did.
    """
    what = f"{who} {_ending(exit_code)} while {doing}."
    if peak_bytes is not None:
        limits = ", ".join(f"{name} {format_bytes(limit)}" for name, limit in memory_limits().items())
        what += f" It had at most {format_bytes(peak_bytes)} of memory; {limits}."
    if exit_code == -signal.SIGKILL:
        return what, "Most often the system kills when memory runs out: use fewer workers, smaller chunks or batches"
    return what, "Its last words, if it had any, are on the standard error"


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended, nobody knows how,"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"
