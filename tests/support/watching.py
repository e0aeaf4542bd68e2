"""What a loader has running, and what comes of it until it fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest


def threads() -> set[threading.Thread]:
    """Return the threads of all loaders of this process."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("pyloader-")}


def children(of: int | str = "self") -> set[int]:
    """Return the ids of a process's child processes."""
    lists = Path(f"/proc/{of}/task").glob("*/children")
    return {int(pid) for listed in lists for pid in listed.read_text().split()}


def until_error(batches: Iterable[Any]) -> tuple[list[Any], BaseException]:
    """Return the batches before the error, and the error."""
    found: list[Any] = []
    with pytest.raises(BaseException) as caught:
        found.extend(batches)
    return found, caught.value


def error_in_forked_child(use: Callable[[], Any], kind: type[Exception]) -> str:
    """Return the text of the error of that kind that `use` raises in a forked child; "" if it raises none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # it does nothing but try, and leaves at once
        try:
            use()
        except kind as exc:
            os.write(writer, str(exc).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return text
