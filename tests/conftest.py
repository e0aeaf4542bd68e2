"""What holds for every test: nothing is left behind, and generated cases come without a deadline."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves threads, child processes, open temporary files or shared memory."""
    before = _belongings()
    yield
    if _belongings() - before:
        gc.collect()  # a loader that was dropped, not closed, is cleaned up by collection
        for thread in _threads():
            thread.join(timeout=2)  # it has been told to end, and may be on its way
    left = _belongings() - before
    assert not left, f"left behind: {sorted(left)}"


def _belongings() -> set[str]:
    threads = {f"thread {thread.name} ({thread.ident})" for thread in _threads()}
    return threads | _children() | _open_temporary_files() | _shared_memory()


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("pyloader-")]


def _children() -> set[str]:
    lists = Path("/proc/self/task").glob("*/children")  # nothing where there is no /proc
    return {f"process {pid}" for children in lists for pid in _text(children).split()}


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
