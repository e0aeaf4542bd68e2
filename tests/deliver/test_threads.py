"""ThreadedMap: threads that come and go while it runs, and a caller that works himself."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyloader.deliver import Budget, Steps, StepsClosed, map_in_order


def threads_named(prefix):
    return {thread.name for thread in threading.enumerate() if thread.name.startswith(prefix)}


@pytest.mark.slow
@settings(max_examples=25)
@given(changes=st.lists(st.integers(0, 5), max_size=20), max_ahead=st.integers(1, 6))
def test_results_are_the_same_while_the_number_of_threads_changes(changes, max_ahead):
    budget, steps = Budget(max_ahead), Steps()
    step = steps.add(map_in_order(lambda n: n * n, range(40), num_threads=1, budget=budget, name="map"))
    found = []
    for number, result in enumerate(step):
        found.append(result)
        budget.give_back()
        if number < len(changes):
            step.work_with(changes[number])
    steps.close()
    assert found == [n * n for n in range(40)]


def test_threads_that_are_added_work_and_those_that_are_too_many_end():
    inside, go_on = threading.Semaphore(0), [threading.Event() for _ in range(5)]

    def work(number):
        inside.release()
        go_on[number].wait()
        return number

    budget, steps = Budget(100), Steps()
    step = steps.add(map_in_order(work, range(5), num_threads=1, budget=budget, name="added"))
    step.work_with(3)
    for _ in range(3):
        inside.acquire()  # all three are inside of it
    assert threads_named("pyloader-added") == {f"pyloader-added-{number}" for number in range(3)}
    ending = [thread for thread in threading.enumerate() if thread.name in ("pyloader-added-1", "pyloader-added-2")]
    step.work_with(1)
    for event in go_on[:3]:
        event.set()
    for thread in ending:
        thread.join()
    inside.acquire()  # the one that is left goes on
    assert [next(step) for _ in range(3)] == [0, 1, 2] and step.num_taken == 3
    for event in go_on:
        event.set()
    steps.close()


def test_without_threads_the_caller_works_and_what_they_made_comes_first():
    calls, full = [], threading.Event()

    def work(number):
        calls.append((number, threading.current_thread().name))
        return number

    def items():
        for number in range(8):
            if number == 3:
                full.set()
            yield number

    budget, steps = Budget(3), Steps()
    step = steps.add(map_in_order(work, items(), num_threads=1, budget=budget, name="first"))
    assert full.wait(timeout=10)  # three are made, and the thread waits for room for the next
    step.work_with(0)
    found = []
    for number in step:
        found.append(number)
        budget.give_back()
    steps.close()
    assert found == list(range(8)) and [number for number, _ in calls] == found
    assert {name for _, name in calls[:3]} == {"pyloader-first-0"}
    assert {name for _, name in calls[4:]} == {"MainThread"}
    assert budget.peak == 3


def test_a_caller_that_works_itself_waits_for_no_room():
    budget, steps = Budget(1), Steps()
    step = steps.add(map_in_order(lambda n: n, range(3), num_threads=0, may_change=True, budget=budget, name="t"))
    assert [next(step), next(step)] == [0, 1]  # nothing is given back: as inline
    assert step.num_busy == 0 and step.take_busy_seconds() > 0
    step.work_with(1)
    budget.give_back(2)
    assert next(step) == 2
    steps.close()


def test_ctrl_c_in_a_caller_that_works_itself_is_raised_there():
    def work(number):
        raise KeyboardInterrupt

    steps = Steps()
    step = steps.add(map_in_order(work, range(3), num_threads=0, may_change=True, budget=Budget(1), name="t"))
    with pytest.raises(KeyboardInterrupt):
        next(step)
    steps.close()


def test_another_thread_may_close_while_the_caller_works_itself():
    inside, go_on = threading.Event(), threading.Event()

    def items():
        inside.set()
        go_on.wait()
        yield 1

    steps, found = Steps(), []
    step = steps.add(map_in_order(str, items(), num_threads=0, may_change=True, budget=Budget(1), name="t"))

    def take():
        try:
            next(step)
        except StepsClosed as exc:
            found.append(exc)

    caller = threading.Thread(target=take)
    caller.start()
    assert inside.wait(timeout=10)
    steps.close()
    go_on.set()
    caller.join(timeout=10)
    assert len(found) == 1


def test_no_thread_begins_once_the_steps_are_closed(monkeypatch):
    steps = Steps()
    step = steps.add(map_in_order(str, range(5), num_threads=1, budget=Budget(1), name="late"))
    steps.close()
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail(f"{thread.name} began"))
    step.work_with(4)


class Watch:
    """Says that somebody waits."""

    def __init__(self):
        self.waits = threading.Event()

    def wait(self, changed, is_ready):
        self.waits.set()
        changed.wait_for(is_ready)


def test_who_waits_for_a_thread_that_is_told_to_end_works_himself():
    given, watch = threading.Event(), Watch()

    def work(number):
        given.wait(timeout=10)
        return number

    budget, steps, found = Budget(10), Steps(), []
    step = steps.add(map_in_order(work, range(2), num_threads=1, budget=budget, name="ending", watch=watch))
    with step._pulling:  # the thread cannot begin the second item
        given.set()
        assert next(step) == 0
        watch.waits.clear()
        caller = threading.Thread(target=lambda: found.append(next(step)))
        caller.start()
        assert watch.waits.wait(timeout=10)
        step.work_with(0)
    caller.join(timeout=10)
    assert found == [1]
    steps.close()


def test_who_is_to_work_himself_takes_what_a_thread_was_already_about_to_do():
    """Other threads, begun meanwhile, may go on to the item after it, and wait for the room that it has."""
    inside, go_on, watch, found = threading.Event(), threading.Event(), Watch(), []

    def items():
        inside.set()
        go_on.wait(timeout=10)
        yield from range(3)

    steps = Steps()
    step = steps.add(map_in_order(str, items(), num_threads=2, budget=Budget(1), name="t", watch=watch))
    assert inside.wait(timeout=10)
    step.work_with(0)
    caller = threading.Thread(target=lambda: found.append(next(step)))
    caller.start()
    assert watch.waits.wait(timeout=10)
    step.work_with(2)
    go_on.set()
    caller.join(timeout=10)
    assert found == ["0"]
    steps.close()
