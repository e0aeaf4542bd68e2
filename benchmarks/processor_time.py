"""Processor time of this process and of those below it: where other programs use the machine, it can be compared."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["processor_seconds"]


def processor_seconds() -> float:
    """Return those of this process, its threads, and all processes below it."""
    total = time.process_time()
    ticks = os.sysconf("SC_CLK_TCK")
    for child in Path("/proc/self/task").glob("*/children"):
        for number in child.read_text().split():
            user, system = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[11:13]
            total += (int(user) + int(system)) / ticks
    return total
