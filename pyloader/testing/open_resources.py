"""Open resources: the threads, child processes and open files of this process; for tests that none is left behind."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

__all__ = ["belongings", "loader_cpu_seconds"]

_NOT_FILES = ("/dev/", "/proc/", "/memfd:")


def belongings() -> set[str]:
    """Return the threads, child processes and open files of this process, in words.

    Children and files are found where there is a /proc.
    """
    # Those that Ctrl-C kept from being started are listed for ever, and are none.
    threads = {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate() if thread.is_alive()}
    lists = Path("/proc/self/task").glob("*/children")
    children = {f"process {pid}" for children in lists for pid in _text(children).split()}
    targets = {_target(link) for link in Path("/proc/self/fd").glob("*")}
    files = {target for target in targets if target.startswith("/") and not target.startswith(_NOT_FILES)}
    return threads | children | {f"open file {file}" for file in files}


def loader_cpu_seconds() -> float:
    """Return how long the processors have worked for the loaders' threads that are alive; 0.0 where nobody knows."""
    clock_of = getattr(time, "pthread_getcpuclockid", None)
    if clock_of is None:
        return 0.0
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("pyloader-")]
    return sum(time.clock_gettime(clock_of(thread.ident)) for thread in threads if thread.is_alive())


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the thread has ended meanwhile
        return ""


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed meanwhile
        return ""
