"""A function runs in a process of each thread that calls it, as if it ran in the thread."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pyloader.deliver import Budget, RemoteFunction, Steps, StepsClosed, map_in_order
from pyloader.errors import MissingDependencyError, WorkerDiedError


@pytest.fixture
def steps():
    steps = Steps()
    yield steps
    steps.close()


def remote(steps, fn):
    return steps.add_awaited(RemoteFunction(fn, doing=lambda *args: f"it did {args!r}"[:40]))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_it_runs_in_another_process_and_always_in_the_same(steps):
    pid = remote(steps, lambda: os.getpid())
    assert pid() == pid() != os.getpid()


@pytest.mark.slow
def test_each_thread_has_a_process_of_its_own(steps):
    pid = remote(steps, lambda: os.getpid())
    meeting = threading.Barrier(3)

    def call(_):
        meeting.wait(timeout=10)
        return pid()

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(call, range(3)))) == 3


@pytest.mark.slow
def test_results_are_in_order_whatever_the_number_of_processes(steps):
    square = remote(steps, lambda number: number**2)
    step = steps.add(map_in_order(square, range(50), num_threads=3, budget=Budget(100), name="square"))
    assert list(step) == [number**2 for number in range(50)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "value",
    [
        {"text": ["a", "ä", None], "count": 3},
        np.arange(12, dtype=">i2").reshape(3, 4),
        np.zeros((0, 5), np.float32),
        np.asfortranarray(np.random.default_rng(0).random((300, 400))),
        np.arange(10**6)[::-2],
        [np.full(5000, number) for number in range(200)],  # more parts than go at once
        "x" * 10**7,
        np.array(["a", {"b": 1}], dtype=object),
        np.array(["2026-11-20"], "datetime64[D]"),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'shape', len(value))}",
)
def test_what_goes_there_comes_back_the_same_and_writable(steps, value):
    back = remote(steps, lambda value: value)(value)
    np.testing.assert_equal(back, value)
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert back.dtype == value.dtype
        back[...] = back[::-1].copy() if len(back) else back


@pytest.mark.slow
def test_answers_that_are_kept_are_not_overwritten_by_later_ones(steps):
    full = remote(steps, lambda number: np.full(10**5, number))
    kept = [full(number) for number in range(10)]
    assert [set(array.tolist()) for array in kept] == [{number} for number in range(10)]


@pytest.mark.slow
def test_closures_lambdas_and_local_classes_go_by_value_and_come_back_as_they_were(steps):
    class Pair:
        def __init__(self, left):
            self.left = left

    method = Pair.__init__
    outer = 7
    pair = remote(steps, lambda number: Pair(number + outer))(1)
    assert type(pair) is Pair
    assert pair.left == 8
    assert Pair.__init__ is method  # unpickling an answer must not touch the parent's class


class TestSeveralAtATime:
    @pytest.mark.slow
    def test_the_answers_are_in_order_and_those_before_a_failure_come_with_it(self, steps):
        inverse = remote(steps, lambda number: 12 // number)
        assert inverse.each([(1,), (2,), (3,)]) == ([12, 6, 4], None)
        values, error = inverse.each([(4,), (6,), (0,), (1,)])
        assert values == [3, 2]
        assert isinstance(error, ZeroDivisionError)
        assert inverse(12) == 1  # and no answer of those calls is taken for that of a later one

    @pytest.mark.slow
    def test_a_death_takes_none_of_those_before_along_and_names_the_call(self, steps):
        def dies(number):
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return number

        values, error = remote(steps, dies).each([(1,), (2,), (3,), (4,)])
        assert values == [1, 2]
        assert isinstance(error, WorkerDiedError)
        assert "SIGKILL while it did (3,)" in str(error)

    @pytest.mark.slow
    def test_what_cannot_be_sent_or_received_is_an_error_in_its_place(self, steps):
        class Odd:
            def __reduce__(self):
                return int, ("odd",)  # it can be pickled, and not unpickled

        answers = {"odd": Odd, "fails": {}.popitem, "dies": lambda: os._exit(1)}
        echo = remote(steps, lambda value: answers.get(value, lambda: value)())
        values, error = echo.each([(1,), (threading.Lock(),), (3,)])
        assert values == [1]
        assert isinstance(error, TypeError)
        assert "columns cannot be sent" in str(error)
        for last in (3, "fails"):
            values, error = echo.each([(1,), ("odd",), (last,)])
            assert values[0] == 1
            assert isinstance(error, ValueError)
            assert echo("after") == "after"
        assert isinstance(echo.each([("odd",), ("dies",)])[1], ValueError)


class TestErrors:
    @pytest.mark.slow
    def test_an_exception_arrives_as_itself_with_the_traceback_from_there_in_a_note(self, steps):
        class Broken(Exception):
            def __init__(self, place, reason):
                super().__init__(place, reason)
                self.place = place

        def breaks():
            error = Broken("row 7", "odd")
            error.add_note("see the manual")
            raise error

        with pytest.raises(Broken) as caught:
            remote(steps, breaks)()
        assert caught.value.place == "row 7"
        assert caught.value.__notes__[0] == "see the manual"
        assert re.search(r"(?s)in a worker process:\nTraceback.*in breaks", caught.value.__notes__[1])
        assert "worker.py" not in caught.value.__notes__[1]

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, OSError, EOFError])
    def test_every_kind_arrives_and_the_process_goes_on(self, steps, kind):
        def fails(wanted):
            if wanted:
                raise kind("stop")
            return "fine"

        function = remote(steps, fails)
        with pytest.raises(kind):
            function(True)
        assert function(False) == "fine"

    @pytest.mark.slow
    def test_a_stop_iteration_does_not_end_the_loop(self, steps):
        step = map_in_order(
            remote(steps, lambda item: next(iter(()))), [1, 2], num_threads=1, budget=Budget(9), name="stop"
        )
        steps.add(step)
        with pytest.raises(RuntimeError, match="StopIteration"):
            next(step)

    @pytest.mark.slow
    def test_an_exception_that_cannot_be_sent_arrives_as_its_text(self, steps):
        class Holds(Exception):
            def __init__(self, lock):
                super().__init__("it holds a lock")
                self.lock = lock

        class Needs(Exception):
            def __init__(self, one, two):
                super().__init__(f"{one} and {two}")

        def holds():
            raise Holds(threading.Lock())

        def needs():
            raise Needs(1, 2)

        for function, text in [(holds, "it holds a lock"), (needs, "1 and 2")]:
            with pytest.raises(RuntimeError, match=text) as caught:
                remote(steps, function)()
            assert f"in {function.__name__}" in caught.value.__notes__[0]

    @pytest.mark.slow
    def test_an_answer_that_cannot_be_sent_is_told_so(self, steps):
        with pytest.raises(TypeError, match=r"what was returned cannot be sent from a worker process: .*generator"):
            remote(steps, lambda: (number for number in range(3)))()

    def test_arguments_that_cannot_be_sent_are_told_so(self, steps):
        with pytest.raises(
            TypeError, match=r"columns cannot be sent to a worker process: .*lock.*worker_kind='thread'"
        ):
            remote(steps, lambda value: 1)(threading.Lock())

    @pytest.mark.slow
    def test_a_function_that_cannot_be_loaded_there_is_told_so(self, steps):
        class Unloadable:
            def __reduce__(self):
                return os.listdir, ("/no/such/directory",)

            def __call__(self):
                return 1

        with pytest.raises(FileNotFoundError, match="/no/such/directory"):
            remote(steps, Unloadable())()


class TestWhatCannotBePickled:
    def test_the_attribute_is_named(self):
        class Inner:
            def __init__(self):
                self.itself, self.lock = self, threading.Lock()

        class Tokens:
            def __init__(self):
                self.words, self.inner = ["a"], {"cache": Inner()}

            def encode(self):
                return self.words

        from functools import partial

        message = r"Tokens\.inner\['cache'\]\.lock cannot be pickled: it is a lock .*__getstate__.*worker_kind='thread'"
        with pytest.raises(TypeError, match=message):
            RemoteFunction(partial(Tokens.encode, Tokens()), doing=str)

    def test_the_variable_of_a_closure_is_named(self, tmp_path):
        with open(tmp_path / "log", "w") as log, pytest.raises(TypeError, match="log cannot be pickled"):
            RemoteFunction(lambda: log.write("x"), doing=str)

    def test_the_variable_that_a_method_of_a_local_class_uses_is_named(self):
        guard = threading.Lock()

        class Uses:
            def __call__(self):
                with guard:
                    return 1

        with pytest.raises(TypeError, match="guard cannot be pickled: it is a lock"):
            RemoteFunction(Uses(), doing=str)

    def test_without_cloudpickle_the_command_that_installs_it_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cloudpickle", None)
        with pytest.raises(
            MissingDependencyError, match=r"worker_kind='process' needs 'cloudpickle'.*pip install cloudp"
        ):
            RemoteFunction(print, doing=str)


class TestDeath:
    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    def test_a_killed_process_is_an_error_at_once_that_says_what_it_did(self, steps, number, capfd):
        function = remote(steps, lambda place: os.kill(os.getpid(), number))
        begun = time.monotonic()
        message = rf"process \d+ was killed by {number.name} while it did .'row 7',.*It had at most .*[MG]B"
        with pytest.raises(WorkerDiedError, match=message):
            function("row 7")
        assert time.monotonic() - begun < 10
        assert ("in <lambda>" in capfd.readouterr().err) == (number == signal.SIGSEGV)  # it shows where it crashed

    @pytest.mark.slow
    def test_its_exit_code_is_told_however_it_ends(self, steps):
        for code in [0, 3] * 5:
            with pytest.raises(WorkerDiedError, match=f"ended with exit code {code} while"):
                remote(steps, lambda code: os._exit(code))(code)

    @pytest.mark.slow
    def test_what_it_has_printed_is_seen(self, steps, capfd, monkeypatch):
        monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
        with pytest.raises(WorkerDiedError):
            remote(steps, lambda: (sys.stdout.write("its last words\n"), os.kill(os.getpid(), signal.SIGKILL)))()
        assert capfd.readouterr().out == "its last words\n"

    @pytest.mark.slow
    def test_one_that_was_killed_between_two_calls_is_an_error_of_the_second(self, steps):
        pid = remote(steps, os.getpid)
        os.kill(pid(), signal.SIGKILL)
        with pytest.raises(WorkerDiedError, match="SIGKILL"):
            pid()

    @pytest.mark.slow
    def test_one_that_closes_its_connection_is_not_waited_for(self, steps):
        with pytest.raises(WorkerDiedError, match="worker process"):
            remote(steps, lambda: os.closerange(3, 100))()

    @pytest.mark.slow
    def test_a_child_of_its_own_does_not_keep_it_from_being_missed(self, steps):
        def forks():
            if os.fork() == 0:
                time.sleep(15)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)

        begun = time.monotonic()
        with pytest.raises(WorkerDiedError, match="SIGKILL"):
            remote(steps, forks)()
        assert time.monotonic() - begun < 10


class TestEnd:
    @pytest.mark.slow
    def test_close_ends_the_process_and_leaves_no_zombie(self, steps):
        pid = remote(steps, os.getpid)()
        steps.close()
        assert not is_running(pid)

    @pytest.mark.slow
    def test_an_idle_process_ends_as_a_program_does(self, steps, tmp_path):
        def remember(path):
            import atexit
            from pathlib import Path

            atexit.register(lambda: Path(path).write_text("ended"))

        remote(steps, remember)(str(tmp_path / "witness"))
        steps.close()
        assert (tmp_path / "witness").read_text() == "ended"

    @pytest.mark.slow
    def test_close_wakes_a_thread_that_waits_and_ends_a_call_that_does_not(self, tmp_path):
        steps = Steps()
        begun = threading.Event()
        function = remote(steps, lambda wanted: time.sleep(wanted))
        caught = []

        def call():
            function(0)  # the process is there
            begun.set()
            try:
                function(60)
            except StepsClosed:
                caught.append(True)

        thread = threading.Thread(target=call)
        thread.start()
        assert begun.wait(timeout=10)
        started = time.monotonic()
        steps.close()
        thread.join(timeout=20)
        assert caught and time.monotonic() - started < 20  # and not 60

    def test_a_call_after_close_starts_nothing(self, steps):
        function = remote(steps, os.getpid)
        steps.close()
        with pytest.raises(StepsClosed):
            function()

    @pytest.mark.slow
    def test_a_worker_has_one_socket_and_no_other_workers(self, steps):
        def sockets():
            links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
            return sum(os.path.exists(link) and "socket" in os.readlink(link) for link in links)

        function = remote(steps, sockets)
        with ThreadPoolExecutor(3) as pool:
            meeting = threading.Barrier(3)
            assert list(pool.map(lambda _: (meeting.wait(timeout=10), function())[1], range(3))) == [1, 1, 1]


@pytest.mark.slow
def test_the_worker_imports_from_where_the_parent_does(steps):
    assert remote(steps, lambda: list(sys.path))() == sys.path
