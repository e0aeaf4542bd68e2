"""What comes of a loader until it fails, is interrupted, or in a forked child."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest


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


@contextmanager
def ctrl_c_after(event: threading.Event) -> Iterator[None]:
    """Press Ctrl-C when an event has happened, again and again until it is heard: once.

    A signal that comes just before the main thread begins to wait for a lock is only seen when that wait ends.
    """
    heard = threading.Event()

    def hear(_number: int, _frame: FrameType | None) -> None:
        if not heard.is_set():
            heard.set()
            raise KeyboardInterrupt

    def press() -> None:
        event.wait(10)
        while not heard.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            heard.wait(0.2)

    before = signal.signal(signal.SIGINT, hear)
    presses = threading.Thread(target=press)
    presses.start()
    try:
        yield
    finally:
        heard.set()
        event.set()
        presses.join()
        signal.signal(signal.SIGINT, before)
