"""Deaths: what can be said of a worker process that ended in the middle of its work."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from pyloader.options import format_bytes

__all__ = ["account_of_death"]

_CGROUPS = Path("/sys/fs/cgroup")


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
        limits = ", ".join(f"{name} {format_bytes(limit)}" for name, limit in _memory_limits().items())
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


def _memory_limits() -> dict[str, int]:
    """Return the bounds on memory by name, in bytes."""
    limits = {"the machine has": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")}
    cgroup = [int(text) for text in map(_text, _cgroup_files()) if text.isdecimal()]
    if cgroup and min(cgroup) < limits["the machine has"]:
        limits["its cgroup may have"] = min(cgroup)
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        limits["ulimit -v allows"] = address_space
    return limits


def _cgroup_files() -> Iterator[Path]:
    """Yield where the limits of this process's control groups, and of those around them, would stand."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers in ("", "memory"):
            root = _CGROUPS / controllers
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            own = root / group.lstrip("/")
            # In a container, the path is often that of the host, and the limit stands at the root.
            yield from (directory / name for directory in (own, *own.parents) if directory.is_relative_to(root))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
