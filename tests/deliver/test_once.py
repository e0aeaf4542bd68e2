"""A value that several threads want is made once, by the first of them."""

from __future__ import annotations

import contextlib
import pickle
import threading

import pytest

from pyloader.deliver import Once


def test_of_threads_that_want_it_at_the_same_time_one_makes_it():
    meeting, made = threading.Barrier(2), []

    def make():
        made.append(threading.current_thread())
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(timeout=0.1)  # where a second thread would arrive, were it let in
        return "value"

    once, found = Once(make), []
    threads = [threading.Thread(target=lambda: found.append(once())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["value", "value"] and len(made) == 1


def test_what_could_not_be_made_is_tried_again():
    answers = [OSError("disk gone"), None]

    def make():
        if error := answers.pop(0):
            raise error
        return 5

    once = Once(make)
    with pytest.raises(OSError, match="disk gone"):
        once()
    assert once() == once() == 5


def test_it_can_be_pickled_with_its_value():
    once = Once(list)
    once().append(1)
    assert pickle.loads(pickle.dumps(once))() == [1]
    assert pickle.loads(pickle.dumps(Once(list)))() == []
