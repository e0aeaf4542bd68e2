"""map_in_order: the same results, in the same order, whatever the number of threads."""

from __future__ import annotations

import gc
import threading
import weakref
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.deliver import Budget, StallWatch, Steps, StepsClosed, map_in_order

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


@pytest.mark.parametrize("may_change", [False, True])
def test_items_that_end_because_they_are_closed_are_not_taken_for_the_end(may_change):
    class Items:
        def __iter__(self):
            return self

        def __next__(self):  # as if another thread had closed everything meanwhile
            steps.close()
            raise StopIteration

    steps = Steps()
    step = map_in_order(str, Items(), num_threads=0, may_change=may_change, budget=Budget(1), name="t")
    steps.add(step)
    with pytest.raises(StepsClosed):
        next(step)


@THREADS
def test_closing_frees_what_the_items_and_the_function_hold(num_threads):
    class Held:
        def __call__(self, item):
            return item

    fn, chunk = Held(), Held()
    steps = Steps()
    held = [weakref.ref(each) for each in (fn, chunk, steps)]
    watch = StallWatch(fail_after=None, activity=steps.activity, stacks=steps.stacks)
    items, budget = map(chunk, range(9)), Budget(9, blocking=num_threads > 0)
    step = steps.add(map_in_order(fn, items, num_threads=num_threads, budget=budget, name="t", watch=watch))
    assert next(step) == 0
    del fn, chunk, items, watch
    gc.disable()
    try:
        steps.close()
        del steps
        assert [each() for each in held] == [None] * 3
    finally:
        gc.enable()


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
    assert next(step) == "1"
    with pytest.raises(StepsClosed):
        next(step)
    assert closed
