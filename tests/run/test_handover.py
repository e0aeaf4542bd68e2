"""Handover: what is counted with a group of batches, what follows its last one, and when the lock is looked at."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import pyloader.run.handover
from pyloader.deliver import FREE, HELD, LONG_SECONDS, UNTRIED, WAITING, Budget, LockProbe, Steps
from pyloader.observe import Counters
from pyloader.run.handover import Handover, MadeGroup
from pyloader.run.thread_counts import ThreadCounts


class Group(MadeGroup):
    """One whose batches are its sizes, and whose positions are numbers."""

    def batch(self, number):
        return self.sizes[number]

    def after(self, position, number):
        return position + 1


class Making:
    """Groups, and how many threads they were asked of."""

    def __init__(self, *groups):
        self.groups, self.num_threads, self.is_ready = iter(groups), 1, False

    def __next__(self):
        return next(self.groups)

    def work_with(self, num_threads):
        self.num_threads = num_threads


class Given(Handover):
    """Hands over what it is given."""

    def __init__(self, *groups, trials=None, probe=None):
        super().__init__(0, Steps(), Counters(), ("shuffle", "encode"), trials)
        self._making, self._budget, self._probe = Making(*groups), Budget(9), probe
        self._budget.take(sum(group.weight for group in groups))
        self.counters, self.noted = self._counters, []

    def _note_left_out(self, left_out):
        self.noted.append((self.position, left_out))

    def _num_read(self):
        return 3


def test_what_a_group_took_is_counted_and_given_back_with_its_last_batch():
    given = Given(
        Group(sizes=[4, 4], seconds=(0.5, 0.25), weight=2.0, num_dropped=1, num_filled=2, num_stand_ins=3),
        Group(sizes=[4], seconds=(0.5, 0.25), weight=1.5, num_filled=1),
    )
    found = []
    for _ in range(3):
        assert given.next_batch() == (4, 4)
        counted = given.counters
        found.append((given._budget.taken, counted.dropped, counted.filled, counted.stand_ins))
    assert found == [(3.5, 0, 0, 0), (1.5, 1, 2, 3), (0.0, 1, 3, 3)]
    assert (counted.busy_seconds["shuffle"], counted.busy_seconds["encode"]) == (1.0, 0.5)
    assert given.position == 3


def test_each_batch_has_its_own_digest_and_what_is_left_out_of_it():
    digests = np.arange(8, dtype=np.uint64).reshape(2, 4)
    given = Given(Group(sizes=[4, 4], seconds=(0, 0), digests=digests, left_out=[{}, {7: "why"}]))
    for number in range(2):
        given.next_batch()
        assert given.digest.tolist() == digests[number].tolist()
    assert given.noted == [(1, {7: "why"})]


def test_an_error_comes_after_the_batches_before_it_and_at_once_where_there_are_none():
    after_one = Given(Group(sizes=[4], seconds=(0, 0), error=ValueError("second")))
    after_one.next_batch()
    for given in (after_one, Given(Group(sizes=[], seconds=(0, 0), error=ValueError("second")))):
        with pytest.raises(ValueError, match="second"):
            given.next_batch()


def test_trials_are_told_of_each_group_until_they_are_fixed_and_their_threads_make_the_next():
    told = []

    def group_came(came, **measured):
        told.append(measured)
        trials.is_fixed = len(told) == 2
        trials.now = ThreadCounts(1, 1 + len(told))
        return True

    trials = SimpleNamespace(is_fixed=False, group_came=group_came)
    given = Given(*(Group(sizes=[4, size], seconds=(0.5, 0.0)) for size in (4, 3, 2)), trials=trials)
    for _ in range(6):
        given.next_batch()
    assert [(measured["rows"], measured["num_chunks"]) for measured in told] == [(8, 3), (7, 3)]
    assert given._making.num_threads == 3


@pytest.mark.parametrize(
    ("found", "busy", "busy_after", "noted"),
    [
        (HELD, (0, 1), (0, 1), {"batch": {"held": 1}}),
        (HELD, (0, 1), (0, 0), {"batch": {"held": 1}}),  # who held it came to its end meanwhile
        (HELD, (0, 1), (1, 1), {}),  # it may have been the other one
        (HELD, (1, 1), (1, 1), {}),
        (FREE, (0, 2), (0, 2), {"batch": {"free": 1}}),
        (FREE, (0, 1), (0, 0), {}),
        (FREE, (1, 1), (1, 1), {}),
        (WAITING, (1, 1), (1, 1), {"read": {"free": 1}, "batch": {"free": 1}}),
        (UNTRIED, (0, 1), (0, 1), {}),
        (None, (0, 0), (0, 0), {}),  # nobody works: it is not looked at
    ],
)
def test_what_is_found_of_the_lock_is_noted_of_the_step_that_alone_was_at_work(
    monkeypatch, found, busy, busy_after, noted
):
    steps = {
        name: SimpleNamespace(native_ids=lambda number=number: [number])
        for number, name in enumerate(("read", "batch"))
    }

    def be_busy(numbers):
        for step, number in zip(steps.values(), numbers, strict=True):
            step.num_busy = number

    def probe_lock(threads, *, num_busy):
        assert (threads, num_busy) == ([0, 1], sum(busy)) and found is not None
        be_busy(busy_after)
        return found

    monkeypatch.setattr(pyloader.run.handover, "probe_lock", probe_lock)
    given, probe = Given(), LockProbe()
    monkeypatch.setattr(given, "_steps_ahead", lambda: steps)
    be_busy(busy)
    given._look_at_lock(probe)
    assert given.counters.lock_counts == noted
    assert probe.due > 0.0  # the next is later


@pytest.mark.parametrize(
    ("due", "due_when_ready", "waited", "came", "is_ready", "looks"),
    [
        (100.0, 101.0, LONG_SECONDS, 100.0, False, True),
        (100.1, 100.0, LONG_SECONDS, 100.0, False, False),  # it is not due
        (100.0, 100.0, LONG_SECONDS / 2, 100.0, False, False),  # batches come fast
        (100.0, 101.0, 0.0, 99.0, False, True),  # the loop works
        (100.0, 101.0, 0.0, 99.0, True, False),  # and loses the time
        (100.0, 100.0, 0.0, 99.0, True, True),  # which it may do now and then
    ],
)
def test_the_lock_is_looked_at_where_the_loop_hardly_loses_the_time(
    monkeypatch, due, due_when_ready, waited, came, is_ready, looks
):
    monkeypatch.setattr(pyloader.run.handover.time, "perf_counter", lambda: 100.0)
    looked = []
    given = Given(Group(sizes=[4], seconds=(0, 0)), probe=SimpleNamespace(due=due, due_when_ready=due_when_ready))
    monkeypatch.setattr(given, "_look_at_lock", looked.append)
    given._waited, given._came, given._making.is_ready = waited, came, is_ready
    given.next_batch()
    assert bool(looked) == looks
