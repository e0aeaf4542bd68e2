"""Thread counts: what is tried next, and what a loader comes to, on machines that are made up."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numbered import NumberedReader, ids_of, loader_of, write_chunks

import pyloader.run.options
import pyloader.run.thread_counts
from pyloader import DataLoader, Dataset
from pyloader.observe import Counters
from pyloader.run.thread_counts import Measured, ThreadCounts, ThreadTrials, counts_to_try, first_counts

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 5]
ONE, MOST = ThreadCounts(1, 1), ThreadCounts(8, 4)


@pytest.mark.parametrize(
    ("now", "waiting", "reading", "making", "failed", "following"),
    [
        ((1, 1), 0.04, 1.0, 0.1, [], None),  # the loop hardly waits
        ((1, 1), 0.5, 1.0, 0.1, [], (2, 1)),
        ((1, 1), 0.5, 0.1, 1.0, [], (1, 2)),
        ((1, 1), 0.5, 0.9, 0.8, [], (2, 2)),  # either may be what it waits for
        ((1, 1), 0.5, 0.9, 0.8, [(2, 2)], (2, 1)),
        ((1, 1), 0.5, 0.8, 0.9, [(2, 2)], (1, 2)),
        ((1, 1), 0.5, 0.9, 0.8, [(2, 2), (2, 1)], None),
        ((1, 1), 0.5, 0.4, 0.3, [], None),  # threads that hardly work have no need of others
        ((4, 2), 0.5, 1.0, 0.1, [], (8, 2)),
        ((8, 2), 0.5, 1.0, 0.1, [], None),
        ((6, 2), 0.5, 1.0, 0.9, [(2, 2)], (8, 4)),
        ((8, 2), 0.5, 1.0, 0.9, [], (8, 4)),
    ],
)
def test_the_step_that_works_most_gets_twice_as_many_while_the_loop_waits(
    now, waiting, reading, making, failed, following
):
    found = Measured(rate=100.0, waiting=waiting, reading=reading, making=making)
    tried = counts_to_try(ThreadCounts(*now), found, least=ONE, most=MOST, failed={ThreadCounts(*each) for each in failed})
    assert tried == following


class Machine:
    """What comes to a loop that needs `step` seconds a batch: as fast as its stages, the lock and the processors let.

    Args:
      read: Seconds of reading for a batch.
      make: Seconds of making it.
      processors: How many there are.
      locked: How much of both holds the interpreter's lock.
      disk: How much of reading is waiting for a disk.
      step: Seconds of the loop's own.
    """

    def __init__(self, *, read, make, processors=4, locked=0.05, disk=0.0, step=0.0, noise=0.01, seed=0):
        self.read, self.make, self.step, self.processors = read, make, step, processors
        self.locked, self.disk = locked, disk
        self.noise, self.rng = noise, np.random.default_rng(seed)
        self.now, self.num_chunks, self.num_groups = 0.0, 0, 0
        self.busy = {"read": 0.0, "shuffle": 0.0, "encode": 0.0, "collate": 0.0}

    def seconds(self, counts):
        """Return the seconds between two batches."""
        worked = self.read * (1 - self.disk) + self.make
        stages = self.read / counts.readers, self.make / counts.workers
        return max(*stages, worked / self.processors, worked * self.locked, self.step)

    def run(self, trials, *, seconds):
        """Have the loop get batches, eight a chunk, for so many seconds or until the counts are fixed."""
        end = self.now + seconds
        while self.now < end and not trials.is_fixed:
            each = self.seconds(trials.now) * self.rng.normal(1, self.noise)
            self.now += each
            self.num_groups += 1
            self.num_chunks += self.num_groups % 8 == 0
            self.busy["read"] += self.read
            self.busy["encode"] += self.make
            waited = max(0.0, each - self.step)
            trials.group_came(self.now, waited=waited, rows=64, num_chunks=self.num_chunks, busy_seconds=self.busy)


def tried_on(machine, *, most=MOST, seconds=200.0):
    trials = ThreadTrials(ONE)
    trials.begin_run(ONE, most)
    machine.run(trials, seconds=seconds)
    assert trials.is_fixed
    return trials.now


@pytest.mark.parametrize(
    ("machine", "counts"),
    [
        ({"read": 0.004, "make": 0.001}, (4, 1)),
        ({"read": 0.001, "make": 0.004}, (1, 4)),
        ({"read": 0.004, "make": 0.001, "locked": 1.0}, (1, 1)),  # Python: another thread adds nothing
        ({"read": 0.004, "make": 0.004}, (2, 2)),
        ({"read": 0.02, "make": 0.001, "disk": 1.0}, (8, 1)),
        ({"read": 0.004, "make": 0.001, "step": 0.005}, (1, 1)),  # the loop does not wait
        ({"read": 0.004, "make": 0.001, "step": 0.003}, (2, 1)),
        ({"read": 2.0, "make": 0.1, "disk": 1.0}, (8, 1)),
    ],
)
def test_a_loader_comes_to_what_its_machine_has_a_use_for(machine, counts):
    assert tried_on(Machine(**machine)) == counts


def test_on_machines_of_any_kind_it_comes_near_the_best_of_all():
    reached = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        read, make = rng.exponential(0.003, size=2)
        machine = Machine(
            read=read, make=make, processors=int(rng.choice([1, 2, 4, 8])), locked=float(rng.choice([0.05, 0.5, 1.0])),
            disk=float(rng.choice([0.0, 0.9])), seed=seed,
        )  # fmt: skip
        most = ThreadCounts(8, machine.processors)
        found = machine.seconds(tried_on(machine, most=most))
        grid = [ThreadCounts(r, w) for r in range(1, most.readers + 1) for w in range(1, most.workers + 1)]
        reached.append(min(map(machine.seconds, grid)) / found)
    assert np.quantile(reached, 0.1) > 0.9


def test_what_lies_between_two_runs_is_not_measured():
    machine, trials = Machine(read=0.004, make=0.001), ThreadTrials(ONE)
    while not trials.is_fixed and machine.now < 1000:
        trials.begin_run(ONE, MOST)
        machine.num_chunks = 0
        machine.run(trials, seconds=0.07)  # an epoch, shorter than what is measured at once
        machine.now += 10.0  # another dataset is evaluated
    assert trials.now == (4, 1)


def test_nothing_is_tried_after_the_first_seconds():
    machine, trials = Machine(read=0.004, make=0.001, step=0.005), ThreadTrials(ONE)
    trials.begin_run(ONE, MOST)
    machine.run(trials, seconds=60.0)
    assert trials.is_fixed and 9.9 < machine.now < 12.0


@pytest.mark.parametrize(
    ("given", "kind", "processors", "counts"),
    [
        (("auto", "auto"), "thread", 8, (1, 1)),
        ((3, "auto"), "thread", 8, (3, 1)),
        (("auto", "auto"), "process", 2, (1, 3)),
        (("auto", "auto"), "process", 64, (8, 8)),
        ((2, 5), "process", 64, (2, 5)),
        (("auto", 0), "thread", 8, (0, 0)),
        ((2, 0), "thread", 8, (2, 0)),
    ],
)
def test_a_loader_begins_with_one_of_each_or_with_its_processes(monkeypatch, given, kind, processors, counts):
    monkeypatch.setattr(pyloader.run.thread_counts, "num_processors", lambda: processors)
    assert first_counts(*given, worker_kind=kind) == counts


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


def test_a_loader_says_how_many_threads_it_has_come_to(tmp_path, restless):
    directory = write_chunks(tmp_path, COUNTS)
    with loader_of(directory, text=True) as loader:
        assert "auto" not in repr(loader)
        while len(restless) < 3 or 1 in restless[-1]:
            next(loader)
        readers, workers = restless[-1]
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
    assert trials.is_fixed or trials._num_groups > 50


def test_the_next_run_begins_with_what_was_found(tmp_path, monkeypatch):
    monkeypatch.setattr(ThreadTrials, "begin_run", lambda self, least, most: None)
    monkeypatch.setattr(ThreadTrials, "group_came", lambda self, came, **measured: False)
    with loader_of(write_chunks(tmp_path, COUNTS)) as loader:
        loader._trials.now = ThreadCounts(3, 2)
        next(loader)
        run = loader._run
        assert (run._reading.num_threads, run._making.num_threads) == (3, 2)


def test_a_verdict_advises_no_threads_that_were_tried_in_vain():
    counters = {"first_request": 0.0, "latest_batch": 10.0, "wait_seconds": 9.0, "num_steps": 100}
    options = {"num_streams": 1, "max_queue_size": 10, "shuffle_window": 4, "has_counts": True, "rank": 0}
    options |= {"num_ranks": 1, "num_readers": 1, "num_workers": 1, "worker_kind": "thread", "last_batch": "keep"}

    def verdict(stage, **tried):
        busy = {"read": 0.0, "shuffle": 0.0, "encode": 0.0, "collate": 0.0, stage: 9.5}
        return Counters(**counters, busy_seconds=busy).snapshot(**options, skipped={}, **tried).verdict

    assert verdict("read") == "read: num_readers=2 reads two chunks at a time"
    assert verdict("read", more_tried=["read"]).startswith("read: more threads were tried, and were no faster")
    assert verdict("encode", more_tried=["read"]).startswith("encode: num_workers=")
    assert verdict("encode", more_tried=["batch"]).startswith("encode: more threads were tried, and were no faster")


def test_it_is_known_of_which_steps_more_were_tried():
    machine, trials = Machine(read=0.004, make=0.0035, locked=1.0), ThreadTrials(ONE)
    trials.begin_run(ONE, MOST)
    machine.run(trials, seconds=60.0)
    assert trials.tried_in_vain == ["read", "batch"]
    trials = ThreadTrials(ONE)
    trials.begin_run(ONE, ONE)
    assert trials.tried_in_vain == [] and trials.is_fixed
