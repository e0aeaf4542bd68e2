"""Open resources: the threads, child processes and open files of this process; for tests that none is left behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path

__all__ = ["belongings", "children", "left_since", "loader_cpu_seconds", "loader_threads", "open_files"]

_NOT_FILES = ("/dev/", "/proc/", "/memfd:")


def belongings() -> set[str]:
    """Return the threads, child processes and open files of this process, in words.

    Children and files are found where there is a /proc.
    """
    processes = {f"process {pid}" for pid in children()}
    return set(_threads()) | processes | {f"open file {path}" for path in open_files()}


def left_since(before: set[str], *, seconds: float) -> set[str]:
    """Return what is there now and was not `before`: what was dropped is collected, threads have `seconds` to end."""
    if not belongings() - before:
        return set()
    gc.collect()  # a loader that was dropped, not closed, tells its threads to end when it is collected
    deadline = time.monotonic() + seconds
    for thread in [thread for words, thread in _threads().items() if words not in before]:
        thread.join(max(0.0, deadline - time.monotonic()))
    gc.collect()  # what only the threads held
    return belongings() - before


def children(of: int | str = "self") -> set[int]:
    """Return the child processes of a process; nothing where there is no /proc.

    Less the one that the interpreter itself begins with the first spawned process, and that ends with it.
    """
    if of == "self" and not _has_children():
        return set()
    lists = Path(f"/proc/{of}/task").glob("*/children")
    found = {int(pid) for children in lists for pid in _text(children).split()}
    return {pid for pid in found if "multiprocessing.resource_tracker" not in _text(Path(f"/proc/{pid}/cmdline"))}


def open_files() -> set[str]:
    """Return the paths of the files that this process has open; nothing where there is no /proc."""
    targets = {_target(link) for link in Path("/proc/self/fd").glob("*")}
    return {target for target in targets if target.startswith("/") and not target.startswith(_NOT_FILES)}


def loader_threads() -> set[threading.Thread]:
    """Return the threads of all loaders of this process."""
    return {thread for thread in _threads().values() if thread.name.startswith("pyloader-")}


def loader_cpu_seconds() -> float:
    """Return how long the processors have worked for the loaders' threads that are alive; 0.0 where nobody knows."""
    clock_of = getattr(time, "pthread_getcpuclockid", None)
    if clock_of is None:
        return 0.0
    return sum(time.clock_gettime(clock_of(thread.ident)) for thread in loader_threads())


def _threads() -> dict[str, threading.Thread]:
    """Return the threads that were started here, by what they are called in messages."""
    # Those that Ctrl-C kept from being started are listed for ever, and are none.
    # A dummy is a thread that something else has started.
    alive = [thread for thread in threading.enumerate() if thread.is_alive() and not thread.name.startswith("Dummy-")]
    return {f"thread {thread.name} ({thread.ident})": thread for thread in alive}


def _has_children() -> bool:
    """Return whether there are any, by one call of the system: each thread of a process has a list of its own."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


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
