"""Found threads: loaders whose threads come and go, and whose code they call."""

from __future__ import annotations

import random
import threading

import pytest
from numbered import NumberedReader, ids_of, loader_of, write_chunks

import pyloader.run.options
import pyloader.run.thread_counts
from pyloader import DataLoader, Dataset
from pyloader.errors import StallError
from pyloader.run.thread_counts import ThreadCounts, ThreadTrials

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 5]


class SafeReader(NumberedReader):
    """One that several threads may call."""

    is_thread_safe = True


class Doubled(Dataset):
    """One that only one may call, unless it says otherwise."""

    def batch_encode(self, columns):
        return {"id": 2 * columns["id"]}


class SafelyDoubled(Doubled):
    """One that says so."""

    is_thread_safe = True


@pytest.mark.parametrize(
    ("parts", "options", "most"),
    [
        ({}, {}, (1, 4)),
        ({"datareader": SafeReader()}, {}, (3, 4)),  # 10 in the queue, 3 for batches, 4 mixed
        ({"datareader": SafeReader()}, {"max_queue_size": 100}, (4, 4)),
        ({"datareader": SafeReader(), "dataset": Doubled()}, {}, (3, 1)),
        ({"datareader": SafeReader(), "dataset": SafelyDoubled()}, {}, (3, 4)),
        ({"datareader": SafeReader()}, {"num_workers": 2}, (3, 2)),
        ({"datareader": SafeReader()}, {"num_workers": 0}, (0, 0)),
        ({"datareader": SafeReader()}, {"num_workers": 0, "num_readers": 2}, (2, 0)),
        ({"datareader": SafeReader()}, {"num_workers": 3, "num_readers": 5}, (5, 3)),
        ({}, {"num_workers": 3, "num_readers": 5}, (5, 3)),
    ],
)
def test_code_that_does_not_say_it_may_be_is_called_by_one_thread(tmp_path, monkeypatch, parts, options, most):
    monkeypatch.setattr(pyloader.run.options, "num_processors", lambda: 4)
    directory = write_chunks(tmp_path, COUNTS)
    parts = {"datareader": NumberedReader(), **parts}
    with DataLoader(data_dir=directory, shuffle=True, **parts, **options) as loader:
        assert loader._options.run.most_threads == most
        assert len(list(loader)) == 13


@pytest.fixture
def restless(monkeypatch):
    """Let loaders change their threads at every group; returns the counts that they had."""
    rng, had = random.Random(5), []

    def begin_run(self, least, most):
        self.is_fixed = most.workers == 0

    def group_came(self, came, **measured):
        workers = rng.randint(0, 4)
        self.now = ThreadCounts(rng.randint(min(1, workers), 4), workers)
        had.append(self.now)
        return True

    monkeypatch.setattr(ThreadTrials, "begin_run", begin_run)
    monkeypatch.setattr(ThreadTrials, "group_came", group_came)
    return had


@pytest.mark.parametrize("options", [{}, {"max_bytes": "1MB"}, {"text": True}, {"max_queue_size": 5, "text": True}])
def test_batches_stay_the_same_while_the_threads_change(tmp_path, restless, options):
    directory = write_chunks(tmp_path, COUNTS)
    shown = {"batch_size": 9, "shuffle": True, "num_epochs": 2, **options}
    with loader_of(directory, num_workers=0, **shown) as inline:
        wanted = ids_of(inline)
    assert not restless
    with loader_of(directory, **shown) as loader:
        assert ids_of(loader) == wanted
        stats = loader.stats()
    assert len(set(restless)) > 5
    assert (stats.num_readers, stats.num_workers) == restless[-1]
    assert stats.resident_peak <= stats.max_queue_size


def test_one_thread_may_read_ahead_while_the_loop_makes_batches(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    with loader_of(directory, num_workers=0) as inline:
        wanted = ids_of(inline)
        assert inline.stats().num_readers == 0
        assert "in the loop's own thread" in str(inline.stats())
    with loader_of(directory, num_workers=0, num_readers=2) as loader:
        first = ids_of([next(loader)])
        assert threads_of(loader) == {"pyloader-read-0", "pyloader-read-1"}
        assert first + ids_of(loader) == wanted
        assert "(2 + 0 threads)" in str(loader.stats())
        assert "num_workers=0" in repr(loader) and "num_readers=2" in repr(loader)


def test_a_stalled_disk_is_noticed_where_the_loop_makes_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("pyloader.deliver.lifecycle._CLOSE_SECONDS", 0.01)
    directory, go_on, stalled = write_chunks(tmp_path, COUNTS), threading.Event(), []

    class Stalled(NumberedReader):
        def read_file(self, path):
            stalled.append(threading.current_thread())
            go_on.wait()
            return super().read_file(path)

    options = {"num_workers": 0, "num_readers": 1, "stall_timeout_seconds": 0.3}  # by then the thread reads
    with DataLoader(Stalled(), data_dir=directory, **options) as loader:
        with pytest.raises(StallError, match=r"read: .*chunk"):
            next(loader)
        go_on.set()
        stalled[0].join(10)


def threads_of(loader):
    return {thread.name for step in loader._run.steps._steps for thread in getattr(step, "_threads", ())}


def test_a_loader_says_how_many_threads_it_has_come_to(tmp_path, restless):
    directory = write_chunks(tmp_path, COUNTS)
    with loader_of(directory, text=True) as loader:
        assert "auto" not in repr(loader)
        while len(restless) < 3 or 1 in restless[-1]:
            next(loader)
        readers, workers = restless[-1]
        assert (loader._run._reading.num_threads, loader._run._making.num_threads) == restless[-1]
        assert f"num_workers='auto' ({workers})" in repr(loader) and f"num_readers='auto' ({readers})" in repr(loader)
        assert f"({readers} + {workers} threads)" in str(loader.stats())


def test_a_log_says_when_the_threads_are_others(tmp_path, restless):
    from pyloader.inspecting.run_history import read_histories

    directory = write_chunks(tmp_path / "chunks", COUNTS)
    with loader_of(directory, text=True, log_dir=tmp_path / "log") as loader:
        assert len(list(loader)) == 13
    history = read_histories(tmp_path / "log")[0]
    assert (history.threads("read"), history.threads("encode")) == restless[-1]


@pytest.mark.slow
def test_a_loader_tries_with_its_own_clock(tmp_path, monkeypatch):
    for name, value in {"_FIRST": (1, 0.0), "_AFTER_CHANGE": (1, 0.0), "_LEAST_SECONDS": 0.0}.items():
        monkeypatch.setattr(pyloader.run.thread_counts, name, value)
    monkeypatch.setattr(pyloader.run.options, "num_processors", lambda: 4)
    directory = write_chunks(tmp_path, [20] * 25)
    options = {"data_dir": directory, "batch_size": 8, "shuffle": True, "num_epochs": 2}
    with DataLoader(SafeReader(text=True), num_workers=0, **options) as inline:
        wanted = ids_of(inline)
    with DataLoader(SafeReader(text=True), **options) as loader:
        assert ids_of(loader) == wanted
        stats, trials = loader.stats(), loader._trials
    assert (stats.num_readers, stats.num_workers) == trials.now <= (3, 4)
    assert trials.is_found or trials._num_groups > 20


def test_the_next_run_begins_with_what_was_found(tmp_path, monkeypatch):
    monkeypatch.setattr(ThreadTrials, "begin_run", lambda self, least, most: None)
    monkeypatch.setattr(ThreadTrials, "group_came", lambda self, came, **measured: False)
    with loader_of(write_chunks(tmp_path, COUNTS)) as loader:
        loader._trials.now = ThreadCounts(3, 2)
        next(loader)
        run = loader._run
        assert (run._reading.num_threads, run._making.num_threads) == (3, 2)
