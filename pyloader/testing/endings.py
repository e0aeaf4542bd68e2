"""Law 6 on a user's loader: nothing is left behind, however it ends; and a parked loader does nothing."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

from pyloader.errors import ForkError
from pyloader.testing.faults import AnnouncedReads, altered
from pyloader.testing.laws import assert_same_batches, broken
from pyloader.testing.open_resources import belongings, left_since, loader_cpu_seconds
from pyloader.testing.order import MakeLoader
from pyloader.testing.scripts import in_child

__all__ = ["check_endings", "check_parked", "check_scripts"]

_THREADS: dict[str, Any] = {"num_workers": 2, "num_readers": 2, "worker_kind": "thread"}
_QUIET_SECONDS = 10.0
_QUIET_FOR_SECONDS, _QUIET_CPU_SECONDS = 0.1, 0.005  # without a read for so long, the threads worked for less


class _Raised(Exception):
    """What the loops of the checks raise."""


def check_endings(make_loader: MakeLoader) -> None:
    """Assert that close(), an error in the loop, collection here or in another thread leave nothing (law 6).

    Threads, child processes and open files are counted: those of your parts, too.
    """
    for engine in ({"num_workers": 0}, _THREADS):
        with make_loader(**engine) as loader:  # whatever is made once, on first use, is there afterwards
            next(loader)
        before = belongings()
        for ending in (_closed, _raised_in, _collected, _collected_elsewhere, _run_to_its_end):
            ending(partial(make_loader, **engine))
            if left := left_since(before, seconds=_QUIET_SECONDS):
                how = ending.__name__.strip("_").replace("_", " ")
                raise broken(6, f"a loader with {engine} was {how}, and left behind: {', '.join(sorted(left))}")


def check_parked(make_loader: MakeLoader) -> None:
    """Assert that a loop which stops for long costs no processor time, and goes on where it was (law 6)."""
    with make_loader(num_workers=0) as loader:
        wanted = list(islice(loader, 6))
    loader, read = make_loader(**_THREADS), threading.Event()
    with altered(loader, reader=AnnouncedReads(loader._options.run.reader, read)):
        found = list(islice(loader, min(3, len(wanted))))
        quiet_by = time.monotonic() + _QUIET_SECONDS
        while True:  # what it may read ahead is read, and then it must be quiet
            used = loader_cpu_seconds()
            read.clear()
            if not read.wait(_QUIET_FOR_SECONDS) and loader_cpu_seconds() - used < _QUIET_CPU_SECONDS:
                break
            if time.monotonic() > quiet_by:
                what = f"the loader's threads still use the processor: {used:.1f} s so far"
                raise broken(6, f"{_QUIET_SECONDS:g} s after `break`, {what}")
        found += islice(loader, len(wanted) - len(found))
    assert_same_batches(found, wanted, 6, "The loop stopped for long, and went on")


def check_scripts(make_loader: MakeLoader) -> None:
    """Assert that scripts end as they should (laws 5 and 6), in processes of their own.

    One has a loader at module level, half read, and comes to its end; one is interrupted by SIGINT while it waits;
    one forks while the loader runs, and uses it in the child.  `make_loader` is sent to them by cloudpickle.
    """
    ending = in_child(partial(_half_read, make_loader))
    if ending.code != 0 or "Traceback" in ending.errors:
        raise broken(6, f"a script with a half-read loader ended with {ending.code}: {ending.errors}")
    ending = in_child(partial(_interrupted, make_loader))
    if ending.code not in (1, 130, -signal.SIGINT) or ending.errors.count("KeyboardInterrupt") != 1:
        raise broken(5, f"a script that met Ctrl-C ended with {ending.code}: {ending.errors}")
    ending = in_child(partial(_forked, make_loader))
    if ending.output.strip() != "refused":
        what = f"a loader that was used in a forked child did not raise there: {ending.output}{ending.errors}"
        raise broken(6, what)


def _closed(make: Callable[[], Any]) -> None:
    loader = make()
    next(loader)
    loader.close()


def _raised_in(make: Callable[[], Any]) -> None:
    try:
        with make() as loader:
            for _ in loader:
                raise _Raised
    except _Raised:
        pass


def _collected(make: Callable[[], Any]) -> None:
    loader = make()
    next(loader)
    del loader
    gc.collect()


def _collected_elsewhere(make: Callable[[], Any]) -> None:
    loader = make()
    next(loader)
    loader.itself = loader  # a cycle, which only the collector finds
    del loader
    thread = threading.Thread(target=gc.collect, name="pyloader-collect")
    thread.start()
    thread.join()


def _run_to_its_end(make: Callable[[], Any]) -> None:
    for _ in islice(make(), 1000):
        pass


def _half_read(make_loader: MakeLoader) -> None:
    import __main__

    __main__.loader = make_loader(**_THREADS)
    next(__main__.loader)


def _interrupted(make_loader: MakeLoader) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    loader = make_loader(**_THREADS, num_epochs=None)
    next(loader)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    for _ in loader:
        pass


def _forked(make_loader: MakeLoader) -> None:
    loader = make_loader(**_THREADS)
    next(loader)
    child = os.fork()
    if child == 0:
        answer = b"delivered"
        try:
            next(loader)
        except ForkError:
            answer = b"refused"
        finally:
            os.write(1, answer)
            os._exit(0)
    os.waitpid(child, 0)
    loader.close()
