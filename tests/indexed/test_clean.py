"""Law 6 over random access: break parks, close and collection and exit leave nothing behind."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from itertools import islice

import numpy as np
import pytest
from item_numbers import ENGINES, Numbers, ids_of
from watching import error_in_forked_child, threads

from pyloader.errors import ClosedError, ForkError
from pyloader.indexed import (
    DataLoader,
)


def test_break_keeps_the_threads_and_uses_no_cpu():
    with DataLoader(np.arange(1000), batch_size=5) as loader:
        for _ in loader:
            break
        assert threads()
        before = time.process_time()
        threading.Event().wait(0.3)
        assert time.process_time() - before < 0.05
        assert loader.steps_done == 1


@ENGINES
def test_close_ends_the_threads_of_every_iterator_and_later_use_is_an_error(num_workers):
    """loaderx deadlocked here: its workers sat in get() and put() while close() joined them."""
    loader = DataLoader(np.arange(1000), batch_size=5, num_workers=num_workers)
    next(loader)
    others = [iter(loader), iter(loader)]
    for other in others:
        next(other)
    state = loader.state_dict()
    loader.close()
    loader.close()
    assert not threads()
    assert loader.state_dict() == state
    for use in (lambda: next(loader), lambda: iter(loader), lambda: next(others[0]), lambda: loader.seek(3)):
        with pytest.raises(ClosedError, match="is closed"):
            use()


def test_with_closes_also_after_an_error_in_the_loop():
    with pytest.raises(ZeroDivisionError), DataLoader(np.arange(1000), batch_size=5) as loader:
        for _ in loader:
            1 / 0  # noqa: B018
    assert not threads()
    with DataLoader(np.arange(1000)) as loader, iter(loader) as batches:
        next(batches)
    assert not threads()


def test_a_run_that_has_ended_leaves_no_threads_even_without_close():
    loader = DataLoader(np.arange(100), batch_size=5, num_epochs=1)
    list(loader)
    assert not threads()


def test_loaders_and_iterators_that_are_dropped_are_cleaned_up():
    """loadax leaked a pool for each iterator: its finaliser held the object that it was to finalise."""
    loader = DataLoader(np.arange(1000), batch_size=5)
    first, second = iter(loader), iter(loader)
    next(first)
    next(second)
    gone = [weakref.ref(loader), weakref.ref(first), weakref.ref(second)]
    del loader, first, second
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3
    assert not threads()


def test_close_waits_for_the_call_in_progress_and_then_gives_up(caplog, monkeypatch):
    import pyloader.deliver.lifecycle as lifecycle

    monkeypatch.setattr(lifecycle, "_CLOSE_SECONDS", 0.2)
    release, stuck = threading.Event(), threading.Event()

    def wait(indices):
        if 25 in indices:
            stuck.set()
            release.wait(timeout=30)

    loader = DataLoader(Numbers(100, wait), None, 1, 10, 1, shuffle=False)
    next(loader)
    assert stuck.wait(timeout=10)
    mine = threads()
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING, "pyloader"):
        loader.close()
    assert time.monotonic() - begun < 10
    assert "still running, and left behind: batch: epoch 0, step 2 for 0 s" in caplog.text
    release.set()
    for thread in mine:
        thread.join(timeout=5)


def test_a_loader_used_in_a_forked_child_raises_there():
    with DataLoader(np.arange(1000), None, 2, 5) as loader:
        next(loader)

        def use():
            for _ in range(50):
                next(loader)

        assert "Make one in each process, after the fork" in error_in_forked_child(use, ForkError)
        assert len(ids_of(islice(loader, 10))) == 10


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise KeyError('stop')"])
def test_a_script_that_stops_an_endless_loop_exits_at_once(ending):
    """loaderx 0.0.5 and loadax left a thread behind that kept the process from exiting."""
    script = f"""
    import sys, numpy as np
    from pyloader.indexed import DataLoader
    loader = DataLoader(np.arange(1000), np.arange(1000), batch_size=5)
    for i, batch in enumerate(loader):
        if i >= 3:
            break
    print("delivered", flush=True)
    {ending}
    """
    begun = time.monotonic()
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert time.monotonic() - begun < 10
    assert done.stdout == "delivered\n"
    assert done.returncode == {"": 0, "sys.exit(3)": 3}.get(ending, 1)
    assert "pyloader" not in done.stderr


def test_waiting_for_a_slow_item_uses_no_cpu():
    """loadax asked whether it was there, again and again."""
    nothing = threading.Event()
    with DataLoader(Numbers(100, lambda indices: nothing.wait(0.3)), None, 1, 10) as loader:
        before = time.process_time()
        next(loader)
        assert time.process_time() - before < 0.15
