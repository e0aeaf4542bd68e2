"""Work in a forked process that is killed before its n-th change to the file system."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


def in_a_child(work: Callable[[], object], *, kill_at: int, meanwhile: Callable[[], object] | None = None) -> int:
    """Run `work` in a forked process that is killed before its `kill_at`-th change to the file system.

    Returns that number, or how many changes there were when it came to its end.  `meanwhile` is called again and again
    until then.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        num_changes, is_over = 0, False

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal num_changes
            if event in CHANGES and not is_over:  # what coverage writes at the end is not the work's
                if num_changes == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                num_changes += 1

        status = 1
        try:
            sys.addaudithook(count)
            work()
            is_over = True
            os.write(write_end, str(num_changes).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    try:
        ended, status = 0, 0
        while meanwhile is not None and not ended:
            meanwhile()
            ended, status = os.waitpid(child, os.WNOHANG)
    finally:
        if not ended:
            _, status = os.waitpid(child, 0)
    answer = os.read(read_end, 20)
    os.close(read_end)
    assert os.waitstatus_to_exitcode(status) == (0 if answer else -signal.SIGKILL)
    return int(answer) if answer else kill_at
