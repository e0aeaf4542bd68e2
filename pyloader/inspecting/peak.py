"""The most memory that this process has used."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

__all__ = ["forget_peak", "peak_bytes"]


def peak_bytes() -> int:
    """Return the largest resident size of this process since `forget_peak`, in bytes; 0 where the system is silent."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's peak too, which a child inherits
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(found[1]) * 1024 if found else 0
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Measure from here on, on Linux; elsewhere the peak is that of the whole process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
