"""What this process has running, or open: threads, child processes, temporary files, shared memory."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from pathlib import Path


def belongings() -> set[str]:
    """Return them in words; of threads and shared memory, those of the package."""
    threads = {f"thread {thread.name} ({thread.ident})" for thread in _threads()}
    return threads | {f"process {pid}" for pid in children()} | _open_temporary_files() | _shared_memory()


def left_since(before: set[str]) -> set[str]:
    """Return what is there now and was not `before`, when what was dropped has been collected."""
    if belongings() - before:
        gc.collect()  # a loader that was dropped, not closed, is cleaned up by collection
        for thread in _threads():
            thread.join(timeout=2)  # it has been told to end, and may be on its way
    return belongings() - before


def children(of: int | str = "self") -> set[int]:
    """Return the child processes of a process; nothing where there is no /proc.

    Less the one that the interpreter itself begins with the first spawned process, and that ends with it.
    """
    lists = Path(f"/proc/{of}/task").glob("*/children")
    found = {int(pid) for children in lists for pid in _text(children).split()}
    return {pid for pid in found if "multiprocessing.resource_tracker" not in _text(Path(f"/proc/{pid}/cmdline"))}


def _threads() -> list[threading.Thread]:
    # Those that Ctrl-C kept from being started are listed for ever, and are none.
    return [thread for thread in threading.enumerate() if thread.name.startswith("pyloader-") and thread.is_alive()]


def _open_temporary_files() -> set[str]:
    temporary = os.path.realpath(tempfile.gettempdir()) + os.sep
    links = {_target(link) for link in Path("/proc/self/fd").glob("*")}
    return {f"open file {target}" for target in links if target.startswith(temporary)}


def _shared_memory() -> set[str]:
    return {f"shared memory {path.name}" for path in Path("/dev/shm").glob("*pyloader*")}


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
