"""Something that runs out is renewed again and again, in a thread, as long as work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["renewed"]


@contextmanager
def renewed(renew: Callable[[], object], *, every_seconds: float) -> Iterator[None]:
    """Call `renew` every so many seconds until the `with` ends; it answers for its own errors."""
    ends = threading.Event()

    def run() -> None:
        while not ends.wait(every_seconds):
            renew()

    thread = threading.Thread(target=run, name="pyloader-renewing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
