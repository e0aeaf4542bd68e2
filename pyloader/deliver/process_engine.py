"""The engine of processes: where the tasks of a large split run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_sentinels
from typing import Any

from pyloader.machine.memory import have_one_allocator

__all__ = ["ProcessEngine"]


class ProcessEngine:
    """Runs functions in processes; when one dies, all are begun anew, and the calls that were in them are lost."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        # Not forked: a child of a process with threads may hold a lock for ever.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._num_workers, context, initializer=_begin_worker)

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        try:
            return self._pool.submit(function, *args)
        except BrokenProcessPool:
            self._pool.shutdown(wait=True)
            self._pool = self._new()
            return self._pool.submit(function, *args)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    have_one_allocator()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_the_parent() -> None:
        wait_for_sentinels([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_the_parent, name="pyloader-parent-watch", daemon=True).start()
