"""Calls that wait for a network run several at a time, and whoever waits for them can be interrupted."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing

import pytest
from watching import ctrl_c_after

from pyloader.deliver import Pauses, StepsClosed, at_once, called_at_once


def test_results_come_in_order_and_so_many_calls_run_at_once() -> None:
    met = threading.Barrier(4, timeout=10)

    def call(item: int, pauses: Pauses) -> int:
        met.wait()  # four calls must run for one to go on
        return item * item

    assert list(at_once(call, range(8), num_threads=4, name="test")) == [0, 1, 4, 9, 16, 25, 36, 49]
    assert list(called_at_once([lambda: "a", lambda: "b"])) == ["a", "b"]


def test_there_may_be_far_more_calls_than_run_at_once() -> None:
    assert list(at_once(lambda item, pauses: item, range(100), num_threads=2, name="test")) == list(range(100))


def test_an_error_comes_in_its_place() -> None:
    def call(item: int, pauses: Pauses) -> int:
        return 6 // (2 - item)

    results = at_once(call, range(5), num_threads=3, name="test")
    assert [next(results), next(results)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_ends_the_pauses_of_calls() -> None:
    ended = []

    def call(item: int, pauses: Pauses) -> int:
        try:
            return item if not item else pauses(60)
        except StepsClosed:
            ended.append(item)
            raise

    with closing(at_once(call, range(3), num_threads=3, name="test")) as results:
        assert next(results) == 0
    assert sorted(ended) in ([1], [2], [1, 2], [])


@pytest.mark.slow
def test_ctrl_c_is_heard_while_a_server_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    silent, begun = threading.Event(), threading.Event()

    def call(item: int, pauses: Pauses) -> int:
        begun.set()
        silent.wait(30)
        return item

    before = time.monotonic()
    try:
        with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt), ctrl_c_after(begun):
            list(at_once(call, [1], num_threads=1, name="test"))
        assert time.monotonic() - before < 20
        assert "still running, and left behind" in caplog.text
    finally:
        silent.set()
