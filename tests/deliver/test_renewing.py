"""What runs out is renewed by a thread that ends with the work."""

from __future__ import annotations

import threading

import pytest

from pyloader.deliver.renewing import renewed


def test_it_is_renewed_again_and_again_until_the_work_ends():
    times, often = [], threading.Event()

    def renew() -> None:
        times.append(threading.current_thread().name)
        if len(times) == 3:
            often.set()

    with renewed(renew, every_seconds=0.001):
        assert often.wait(30)
    number = len(times)
    assert set(times) == {"pyloader-renewing"}
    assert "pyloader-renewing" not in [thread.name for thread in threading.enumerate()]
    assert len(times) == number


def test_work_that_fails_ends_it_too_and_does_not_wait_for_the_next_time():
    with pytest.raises(ValueError, match="work"), renewed(lambda: None, every_seconds=10**6):
        raise ValueError("work")
    assert "pyloader-renewing" not in [thread.name for thread in threading.enumerate()]
