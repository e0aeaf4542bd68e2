"""map_in_order: the same results, in the same order, whatever the number of threads."""

from __future__ import annotations

import threading
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyloader.deliver import Budget, Steps, StepsClosed, map_in_order

THREADS = pytest.mark.parametrize("num_threads", [0, 1, 4])


def map_ahead(fn, items, *, num_threads, max_ahead=None):
    """Yield `map(fn, items)`, at most `max_ahead` results (twice the threads unless given) ahead of the caller."""
    budget, steps = Budget(max_ahead or max(1, 2 * num_threads), blocking=num_threads > 0), Steps()
    step = steps.add(map_in_order(fn, items, num_threads=num_threads, budget=budget, name="map"))
    try:
        for result in step:
            yield result
            budget.give_back()
    finally:
        steps.close()


@pytest.mark.slow
@given(num_items=st.integers(0, 50), num_threads=st.integers(0, 4), max_ahead=st.integers(1, 10))
def test_running_ahead_changes_nothing_but_the_time(num_items, num_threads, max_ahead):
    squares = map_ahead(lambda n: n * n, range(num_items), num_threads=num_threads, max_ahead=max_ahead)
    assert list(squares) == [n * n for n in range(num_items)]


@THREADS
def test_a_failure_of_the_items_arrives_after_the_results_before_it(num_threads):
    def two_then_break():
        yield "a"
        yield "b"
        raise OSError("disk gone")

    got = map_ahead(str.upper, two_then_break(), num_threads=num_threads)
    assert [next(got), next(got)] == ["A", "B"]
    with pytest.raises(OSError, match="disk gone"):
        next(got)


@THREADS
def test_a_failure_of_the_function_arrives_in_its_place(num_threads):
    got = map_ahead(lambda n: 10 // (3 - n), range(6), num_threads=num_threads)
    assert list(islice(got, 3)) == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(got)


def test_a_failure_is_repeated():
    steps = Steps()
    step = steps.add(map_in_order(lambda n: 1 // n, [0], num_threads=2, budget=Budget(1), name="t"))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            next(step)
    steps.close()


def test_a_failure_to_say_what_an_item_is_arrives_too():
    steps = Steps()

    def describe(number):
        raise LookupError(f"no name for {number}")

    step = steps.add(map_in_order(str, [7], num_threads=1, budget=Budget(1), name="t", describe=describe))
    with pytest.raises(LookupError, match="no name for 7"):
        next(step)
    steps.close()


def test_results_come_in_order_even_when_the_first_is_the_slowest():
    others_done = threading.Semaphore(0)

    def work(number):
        if number == 0:
            for _ in range(3):
                assert others_done.acquire(timeout=10)
        else:
            others_done.release()
        return number

    assert list(map_ahead(work, range(4), num_threads=4)) == [0, 1, 2, 3]


def test_no_more_items_are_begun_than_there_are_slots():
    begun, lock = [], threading.Lock()
    three = threading.Event()

    def work(number):
        with lock:
            begun.append(number)
            if len(begun) == 3:
                three.set()
        return number

    budget, steps = Budget(3), Steps()
    step = steps.add(map_in_order(work, range(100), num_threads=4, budget=budget, name="t"))
    assert three.wait(timeout=10)
    assert next(step) == 0
    assert len(begun) == 3  # what was taken is given back by the user of the results, not by taking them out
    budget.give_back()
    assert next(step) == 1
    steps.close()
    assert budget.peak == 3


def test_items_are_advanced_by_one_thread_at_a_time():
    inside = threading.Lock()

    def items():
        for number in range(200):
            assert inside.acquire(blocking=False), "two threads at once"
            inside.release()
            yield number

    assert list(map_ahead(lambda n: n, items(), num_threads=4)) == list(range(200))


@THREADS
def test_leaving_early_closes_the_items(num_threads):
    closed = threading.Event()

    def items():
        try:
            yield from range(100)
        finally:
            closed.set()

    got = map_ahead(lambda n: n, items(), num_threads=num_threads)
    next(got)
    got.close()  # type: ignore[attr-defined]
    assert closed.is_set()


@THREADS
def test_a_stop_iteration_is_an_error_and_no_end(num_threads):
    got = map_ahead(lambda n: next(iter(())), range(3), num_threads=num_threads)
    with pytest.raises(RuntimeError):
        list(got)


def test_something_larger_than_the_limit_is_let_through_alone():
    budget = Budget(2.0)
    budget.take(5.0)
    assert budget.peak == 5.0
    waiting = threading.Thread(target=budget.take, args=(1.0,))
    waiting.start()
    waiting.join(timeout=0.05)
    assert waiting.is_alive()
    budget.give_back(5.0)
    waiting.join(timeout=10)
    assert budget.taken == 1.0


def test_closing_ends_every_wait():
    budget, ended = Budget(1), threading.Event()
    budget.take()

    def wait():
        with pytest.raises(StepsClosed):
            budget.take()
        ended.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    budget.signal_close()
    assert ended.wait(timeout=10)
    waiting.join()


def test_what_is_held_is_dropped_before_its_share_is_given_back():
    budget = Budget(1)
    budget.take()
    held = budget.lease(["a chunk"])
    held.acquire()
    held.release()
    assert (held.value, budget.taken) == (["a chunk"], 1)
    held.release()
    assert budget.taken == 0
    assert not hasattr(held, "value")


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


def test_the_caller_s_own_thread_takes_weights_and_counts_its_seconds_once(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr("pyloader.deliver.inline.time.perf_counter", lambda: float(next(now)))
    budget = Budget(9, blocking=False)
    step = map_in_order(str, [1, 2, 4], num_threads=0, budget=budget, weight=lambda item: item / 2, name="t")
    assert (list(step), budget.taken) == (["1", "2", "4"], 3.5)
    assert (step.take_busy_seconds(), step.take_busy_seconds()) == (3.0, 0.0)


def test_whoever_joins_the_step_of_the_caller_s_own_thread_closes_the_items():
    closed = []

    def items():
        try:
            yield 1
            assert step.join(0.0) == []  # from another thread: the loop's is inside of them
            yield 2
        finally:
            closed.append(True)

    step = map_in_order(str, items(), num_threads=0, budget=Budget(9), name="t")
    assert [next(step), next(step)] == ["1", "2"]
    assert not closed
    step.join(0.0)
    assert closed
