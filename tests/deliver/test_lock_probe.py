"""Lock probes: whether another thread holds the interpreter's lock."""

from __future__ import annotations

import os
import resource
import threading
import time
import zlib
from contextlib import contextmanager

import pytest

from pyloader.deliver.lock_probe import FREE, HELD, UNTRIED, WAITING, LockProbe, probe_lock

pytestmark = pytest.mark.skipif(not hasattr(resource, "RUSAGE_THREAD"), reason="the system does not count sleeps")


@contextmanager
def at_work(work):
    begun, ended = threading.Event(), threading.Event()

    def run():
        begun.set()
        while not ended.is_set():
            work()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        begun.wait()
        yield thread.native_id
    finally:
        ended.set()
        thread.join()


def in_python():
    sum(number * number for number in range(1000))


@pytest.mark.slow
def test_a_thread_of_python_holds_the_lock_and_one_that_packs_or_waits_does_not():
    data = bytes(10**7)
    for work, expected, other in (
        (in_python, HELD, FREE),
        (lambda: zlib.compress(data), FREE, HELD),
        (lambda: time.sleep(0.02), WAITING, HELD),
    ):
        with at_work(work) as thread:
            found = [probe_lock([thread], num_busy=1) for _ in range(20)]
        # On a busy machine some are untried; the contrary is never found more often.
        assert expected in found and found.count(other) < found.count(expected)


@pytest.mark.slow
def test_threads_that_lack_a_processor_get_that_of_the_probe():
    data, processors = bytes(10**7), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})  # of this thread, and of those that it starts
    try:
        with at_work(lambda: zlib.compress(data)) as first, at_work(lambda: zlib.compress(data)) as second:
            found = []
            while FREE not in found and len(found) < 50:  # other processes may want that processor too
                found.append(probe_lock([first, second], num_busy=2))
    finally:
        os.sched_setaffinity(0, processors)
    assert FREE in found


def test_a_thread_that_is_not_known_to_sleep_leaves_the_lock_untried():
    assert probe_lock([2**31 - 1], num_busy=2) == UNTRIED


def test_probes_become_rarer(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: 100.0)
    probe = LockProbe()
    assert probe.due == 0.0
    probe.postpone(UNTRIED)
    assert probe.due == 100.01
    for _ in range(30):
        probe.postpone(HELD)
        assert (probe.due, probe.due_when_ready) == (100.03, 100.1)
    probe.postpone(FREE)
    assert (probe.due, probe.due_when_ready) == (101.0, 102.0)
    for _ in range(100):
        probe.postpone(UNTRIED)
    assert probe.due == 101.0
