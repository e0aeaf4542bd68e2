"""Limits: how much memory there is, how many processors and open files, for this machine and for this process."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

__all__ = ["available_bytes", "memory_limits", "num_processors", "open_files_share", "resident_bytes"]

_USUAL_OPEN_FILES = 256  # where the system sets no limit
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_OWN_MEMORY = Path("/proc/self/statm")

MACHINE, CGROUP = "the machine has", "its cgroup may have"


def num_processors() -> int:
    """Return how many processors this process may use: those it may run on, or as much time as its control group has.

    A part of a processor counts as one.
    """
    try:
        number = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no such call
        number = os.cpu_count() or 1
    return max(1, min([number, *map(math.ceil, _cgroup_processors())]))


def open_files_share() -> int:
    """Return a quarter of the files that this process may have open: what one part of it may keep open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _USUAL_OPEN_FILES if soft == resource.RLIM_INFINITY else max(1, soft // 4)


def available_bytes() -> int:
    """Return the memory that this process may use: its control group's limit, where that is set, or the machine's.

    Of control groups both versions count, and of nested groups the smallest limit.
    """
    limits = memory_limits()
    return limits.get(CGROUP, limits[MACHINE])


def resident_bytes() -> int | None:
    """Return how much memory this process has now; None where the system does not tell."""
    fields = _text(_OWN_MEMORY).split()
    return int(fields[1]) * resource.getpagesize() if len(fields) > 1 else None


def memory_limits() -> dict[str, int]:
    """Return the bounds on memory, in bytes, by what is to be said of them: "the machine has"."""
    limits = {MACHINE: os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")}
    files = (directory / name for directory, name in _cgroup_directories("memory", "memory.limit_in_bytes"))
    cgroup = [int(text) for text in map(_text, files) if text.isdecimal()]
    if cgroup and min(cgroup) < limits[MACHINE]:
        limits[CGROUP] = min(cgroup)
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        limits["ulimit -v allows"] = address_space
    return limits


def _cgroup_processors() -> Iterator[float]:
    """Yield the time that control groups allow, in processors."""
    for directory, name in _cgroup_directories("cpu", "cpu.cfs_quota_us"):
        quota, _, period = _text(directory / name).partition(" ")
        period = period or _text(directory / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):  # not "max", nor -1
            yield int(quota) / int(period)


def _cgroup_directories(controller: str, first_version: str) -> Iterator[tuple[Path, str]]:
    """Yield where this process's control groups, and those around them, would be, and the name of a limit there.

    Args:
      controller: "memory" or "cpu"; the limit is then "memory.max" or "cpu.max".
      first_version: What it is called in control groups of the first version.
    """
    for line in _text(_OWN_CGROUPS).splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            root = _CGROUPS / controllers
            own = root / group.lstrip("/")
            name = first_version if controllers else f"{controller}.max"
            # In a container, the path is often that of the host, and the limit stands at the root.
            yield from ((directory, name) for directory in (own, *own.parents) if directory.is_relative_to(root))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
