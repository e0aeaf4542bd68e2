"""A call that failed for a reason that may pass is made again; closing ends the wait for it."""

from __future__ import annotations

import logging
import threading

import pytest

from pyloader.deliver import Retries, StepsClosed


def retried(fn, waits=(0, 0), *, counted=None, may_pass=lambda error: isinstance(error, OSError)):
    count = (lambda: None) if counted is None else lambda: counted.append(1)
    retries = Retries(waits=waits, may_pass=may_pass, count=count)

    def call(item):
        number = 1
        while True:
            try:
                return fn(item)
            except Exception as exc:
                if not retries.wait_after(exc, number, f"doing {item}"):
                    raise
            number += 1

    call.signal_close = retries.signal_close  # type: ignore[attr-defined]
    return call


def failing(times, error=OSError):
    """Return a function that fails so often, then answers with how often it was called."""
    calls = []

    def fn(item):
        calls.append(item)
        if len(calls) <= times:
            raise error(f"failure {len(calls)}")
        return calls

    return fn, calls


def test_it_is_called_until_it_answers_and_each_further_call_is_counted_and_logged(caplog):
    fn, _ = failing(2)
    counted = []
    with caplog.at_level(logging.WARNING, "pyloader"):
        assert retried(fn, (0, 0.001), counted=counted)("it") == ["it"] * 3
    assert len(counted) == 2
    assert [record.message for record in caplog.records] == [
        "doing it failed (OSError: failure 1); try 2 of 3 in 0 s",
        "doing it failed (OSError: failure 2); try 3 of 3 in 0.001 s",
    ]


def test_the_last_error_is_raised_and_says_how_often_it_was_tried():
    fn, calls = failing(10)
    with pytest.raises(OSError, match="failure 3") as caught:
        retried(fn)("it")
    assert len(calls) == 3
    assert caught.value.__notes__ == ["pyloader: the last of 3 tries"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_other_errors_are_raised_at_once(error):
    fn, calls = failing(1, error)
    with pytest.raises(error):
        retried(fn)("it")
    assert len(calls) == 1


def test_without_waits_it_is_called_once():
    fn, calls = failing(1)
    with pytest.raises(OSError, match="failure 1") as caught:
        retried(fn, ())("it")
    assert len(calls) == 1
    assert not hasattr(caught.value, "__notes__")


def test_closing_ends_the_wait_at_once():
    failed = threading.Event()
    ended = []

    def fn(item):
        failed.set()
        raise OSError

    patient = retried(fn, (1000,))

    def call():
        try:
            patient("it")
        except StepsClosed:
            ended.append("closed")

    thread = threading.Thread(target=call)
    thread.start()
    assert failed.wait(timeout=10)
    patient.signal_close()
    thread.join(timeout=10)
    assert ended == ["closed"]
    with pytest.raises(StepsClosed):
        patient("another")
