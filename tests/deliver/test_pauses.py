"""A pause lasts as long as it is told, and ends at once when it is closed."""

from __future__ import annotations

import threading

import pytest

from pyloader.deliver import Pauses, Steps, StepsClosed


def test_a_pause_ends_by_itself_and_says_that_nothing_was_closed():
    assert Pauses()(0.001) is False


def test_closing_ends_every_pause_at_once():
    steps, ended = Steps(), []
    pauses = steps.add_awaited(Pauses())

    def pause() -> None:
        try:
            pauses(100)
        except StepsClosed:
            ended.append(True)

    threads = [threading.Thread(target=pause) for _ in range(3)]
    for thread in threads:
        thread.start()
    steps.close()
    for thread in threads:
        thread.join(10)
    assert ended == [True] * 3


def test_after_closing_there_is_no_pause():
    pauses = Pauses()
    pauses.signal_close()
    with pytest.raises(StepsClosed):
        pauses(100)
