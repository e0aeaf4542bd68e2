"""Thread counts: what is tried next, and what a loader comes to, on machines that are made up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pyloader.run.options
import pyloader.run.thread_counts
from pyloader.observe import Counters
from pyloader.run.thread_counts import Measured, ThreadCounts, ThreadTrials, counts_to_try, first_counts

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 5]
NONE, ONE, MOST = ThreadCounts(0, 0), ThreadCounts(1, 1), ThreadCounts(8, 4)


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
    tried = counts_to_try(
        ThreadCounts(*now), found, least=ONE, most=MOST, failed={ThreadCounts(*each) for each in failed}
    )
    assert tried == following


@pytest.mark.parametrize(
    ("now", "waiting", "reading", "making", "failed", "following"),
    [
        ((1, 1), 0.9, 0.6, 0.5, [], (1, 0)),
        ((1, 1), 0.4, 0.6, 0.5, [], (2, 2)),  # the loop has much to do itself
        ((1, 1), 0.9, 0.6, 0.5, [(1, 0)], (0, 0)),
        ((1, 1), 0.9, 0.6, 0.5, [(1, 0), (0, 0)], (2, 2)),
        ((1, 1), 0.9, 1.0, 0.1, [], (2, 1)),  # it reads most of the time, and may wait for a disk
        ((1, 1), 0.9, 1.0, 0.1, [(2, 1)], (1, 0)),
        ((1, 0), 0.9, 0.5, 0.5, [(0, 0)], (2, 2)),
        ((1, 0), 0.9, 0.4, 0.6, [(0, 0)], (1, 2)),
        ((0, 0), 0.9, 0.4, 0.6, [], (1, 2)),
        ((0, 0), 0.9, 0.6, 0.4, [], (2, 0)),
        ((2, 1), 0.9, 0.6, 0.4, [], (2, 0)),
        ((2, 2), 0.9, 0.6, 0.5, [], (4, 4)),
    ],
)
def test_the_loop_s_own_thread_is_tried_where_the_loop_does_little(now, waiting, reading, making, failed, following):
    found = Measured(rate=100.0, waiting=waiting, reading=reading, making=making)
    failed = {ThreadCounts(*each) for each in failed}
    assert counts_to_try(ThreadCounts(*now), found, least=NONE, most=MOST, failed=failed) == following


class Machine:
    """What comes to a loop that needs `step` seconds a batch: as fast as its stages, the lock and the processors let.

    Args:
      read: Seconds of reading for a batch.
      make: Seconds of making it.
      processors: How many there are.
      locked: How much of both holds the interpreter's lock.
      disk: How much of reading is waiting for a disk.
      step: Seconds of the loop's own.
      handover: Seconds that a batch takes on its way from one thread to another.
      contended: How many times as long what holds the lock takes, where threads wait for it.
    """

    def __init__(
        self,
        *,
        read,
        make,
        processors=4,
        locked=0.05,
        disk=0.0,
        step=0.0,
        handover=0.0,
        contended=1.0,
        noise=0.01,
        seed=0,
    ):
        self.read, self.make, self.step, self.processors, self.handover = read, make, step, processors, handover
        self.locked, self.disk, self.contended = locked, disk, contended
        self.noise, self.rng = noise, np.random.default_rng(seed)
        self.now, self.num_chunks, self.num_groups = 0.0, 0, 0
        self.busy = {"read": 0.0, "shuffle": 0.0, "encode": 0.0, "collate": 0.0}

    def seconds(self, counts):
        """Return the seconds between two batches."""
        worked = self.read * (1 - self.disk) + self.make
        reading, making, own = self.read, self.make + self.handover, self.step
        if not counts.workers:
            own, making = own + self.make, 0.0
        if not counts.readers:
            own, reading = own + self.read, 0.0
        stages = reading / max(1, counts.readers), making / max(1, counts.workers)
        locked = worked * self.locked * (self.contended if any(counts) else 1.0)
        return max(*stages, worked / self.processors, locked, own)

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


def tried_on(machine, *, least=ONE, most=MOST, seconds=200.0):
    trials = ThreadTrials(ONE)
    trials.begin_run(least, most)
    machine.run(trials, seconds=seconds)
    assert trials.is_found
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


@pytest.mark.parametrize(
    ("machine", "counts"),
    [
        ({"read": 0.004, "make": 0.0037, "handover": 0.002, "processors": 2}, (1, 0)),
        ({"read": 0.004, "make": 0.001, "locked": 1.0, "contended": 1.4}, (0, 0)),
        ({"read": 0.004, "make": 0.0037, "step": 0.003, "processors": 2}, (1, 1)),
        ({"read": 0.02, "make": 0.001, "handover": 0.002, "disk": 1.0}, (8, 0)),
    ],
)
def test_the_loop_makes_batches_itself_where_that_is_faster(machine, counts):
    assert tried_on(Machine(**machine), least=NONE, seconds=30.0) == counts


def test_threads_come_back_when_the_loop_that_makes_batches_itself_becomes_slower():
    machine = Machine(read=0.004, make=0.0037, handover=0.002, processors=2)
    trials = ThreadTrials(ONE)
    trials.begin_run(NONE, MOST)
    machine.run(trials, seconds=30.0)
    assert trials.now == (1, 0) and trials.is_found and not trials.is_fixed
    machine.step = 0.004  # training begins
    machine.run(trials, seconds=30.0)
    assert trials.now == ONE and trials.is_fixed


def test_threads_that_would_not_help_a_slower_loop_do_not_stay():
    machine = Machine(read=0.004, make=0.0037, handover=0.002, processors=2)
    trials = ThreadTrials(ONE)
    trials.begin_run(NONE, MOST)
    machine.run(trials, seconds=30.0)
    machine.read, machine.make, machine.handover = 0.012, 0.0111, 0.006  # other programs have the processors
    machine.run(trials, seconds=30.0)
    assert trials.now == (1, 0) and trials.is_found and not trials.is_fixed


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


class Told:
    """Trials that are told what a machine shows."""

    def __init__(self, start=ONE, *, least=ONE, most=MOST):
        self.trials, self.now, self.num_chunks = ThreadTrials(start), 0.0, 0
        self.busy = {"read": 0.0, "fetch": 0.0, "shuffle": 0.0}
        self.trials.begin_run(least, most)
        self.group(1.0)  # the first one, which is not counted

    def group(self, seconds, *, rows=100, waiting=0.9, reading=1.0, making=0.1, fetching=0.0, chunks=1):
        """Have a group come after so many seconds, of which each step worked so much; tell whether `now` changed."""
        self.now += seconds
        self.num_chunks += chunks
        for stage, worked in {"read": reading, "fetch": fetching, "shuffle": making}.items():
            self.busy[stage] += worked * seconds
        waited, num_chunks = waiting * seconds, self.num_chunks
        return self.trials.group_came(self.now, waited=waited, rows=rows, num_chunks=num_chunks, busy_seconds=self.busy)

    def shows(self, *rates, **shown):
        """Measure one rate after another; return the counts that follow each."""
        followed = []
        for rate in rates:
            is_settled = self.trials._busy_before is not None
            for _ in range(1 if is_settled else 2):
                self.group(1.0, rows=rate, **shown)
            followed.append(self.trials.now)
        return followed


@pytest.mark.parametrize(
    ("before", "tried", "after", "is_kept"),
    [(100, 111, 100, True), (100, 109, 100, False), (100, 120, 110, False), (110, 120, 100, False)],
)
def test_more_threads_stay_where_they_were_a_tenth_faster_than_before_and_after(before, tried, after, is_kept):
    told = Told(most=ThreadCounts(2, 1))
    assert told.shows(before, tried) == [(2, 1), ONE]
    assert told.shows(after, waiting=0.0) == [(2, 1) if is_kept else ONE]
    assert told.trials.is_fixed == is_kept  # with them the loop waited, and nothing else can be tried


@pytest.mark.parametrize(("rate", "following"), [(103, (0, 0)), (101, ONE)])
def test_fewer_threads_stay_where_they_were_a_little_faster(rate, following):
    told = Told(least=NONE)
    assert told.shows(100, rate, reading=0.4, making=0.4) == [(1, 0), ONE]
    assert told.shows(100, reading=0.4, making=0.4, waiting=0.0) == [following]


def test_what_was_no_better_is_tried_once_more_and_again_when_there_are_other_threads_beside_it():
    told = Told(most=ThreadCounts(2, 2))
    both = {"reading": 0.9, "making": 0.8}
    assert told.shows(100, 100, 100, 100, **both) == [(2, 2), ONE, (2, 2), ONE]
    assert told.shows(100, 150, 100, **both) == [(2, 1), ONE, (2, 2)]
    assert told.shows(150, 150, 150, 150, reading=1.8, making=0.8) == [(2, 1), (2, 2), (2, 1), (2, 1)]
    assert told.trials.is_fixed


def without_workers():
    """Return trials that have found the loop's own thread to make batches best, at a rate of 150."""
    told = Told(least=NONE)
    assert told.shows(100, 150, 100, reading=0.4, making=0.4) == [(1, 0), ONE, (0, 0)]
    assert told.shows(100, 150, 100, 150, reading=0.4, making=0.4) == [(1, 0), (0, 0), (1, 0), (1, 0)]
    assert told.trials.is_found and not told.trials.is_fixed
    return told


def test_threads_are_tried_again_where_the_rate_falls_below_seven_tenths_and_not_before():
    told = without_workers()
    assert told.shows(106, 104, reading=0.4, making=0.4) == [(1, 0), ONE]


def test_threads_come_back_when_the_loop_has_come_to_work_itself_as_fast_as_batches_may_come():
    told = without_workers()
    assert told.trials.tried_in_vain == ["batch"]
    assert told.shows(150, reading=0.4, making=0.4, waiting=0.4) == [ONE] and told.trials.is_fixed


def test_each_of_several_threads_works_its_share_and_fetching_is_work_of_neither_step():
    assert Told(ThreadCounts(1, 2)).shows(100, reading=0.1, making=0.8) == [(1, 2)]
    assert Told(ThreadCounts(1, 2)).shows(100, reading=0.1, making=1.2) == [(1, 4)]
    assert Told().shows(100, reading=0.1, fetching=1.0) == [ONE]


@pytest.mark.parametrize(
    ("seconds", "chunks", "num_groups"),
    [
        (1 / 128, [1], 13),  # a tenth of a second
        (1 / 16, [1], 8),
        (1 / 16, [0, 0, 1], 12),  # four chunks
        (1 / 16, [5, *[0] * 8, 1], 10),  # from the end of a burst to that of another
        (1 / 16, [0], 16),  # a second
    ],
)
def test_a_measurement_has_time_chunks_and_groups_enough_after_a_change_took_effect(seconds, chunks, num_groups):
    told = Told(most=ThreadCounts(4, 1))
    assert not told.group(1.0)
    came = itertools.cycle(chunks)
    assert next(number for number in itertools.count(1) if told.group(seconds, chunks=next(came))) == num_groups
    assert not told.group(1 / 16) and not told.group(1 / 16)  # two chunks
    came = itertools.cycle(chunks)
    assert next(number for number in itertools.count(1) if told.group(seconds, chunks=next(came))) == num_groups
