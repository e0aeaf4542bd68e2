"""Stats: numbers that add up, and a text that says what to do."""

from __future__ import annotations

import math
import re

import pytest

from pyloader.observe import Counters

OPTIONS = {
    "rank": 0,
    "num_ranks": 1,
    "num_streams": 1,
    "num_readers": 1,
    "num_workers": 2,
    "worker_kind": "thread",
    "max_queue_size": 10,
    "shuffle_window": 4,
    "has_counts": True,
    "last_batch": "keep",
    "skipped": {},
}


def counters_of(*, wait, **busy):
    counters = Counters(first_request=100.0, latest_batch=110.0, wait_seconds=wait, num_steps=5, num_samples=50)
    counters.busy_seconds.update(busy)
    return counters


def test_rates_are_over_the_loops_own_time():
    stats = counters_of(wait=2.5).snapshot(**OPTIONS)
    assert (stats.loop_seconds, stats.samples_per_second, stats.waiting_share) == (10, 5, 0.25)


@pytest.mark.parametrize(
    ("busy", "stage"),
    [
        ({"read": 9.0, "encode": 10.0}, "read"),  # one thread reads, two encode
        ({"read": 4.0, "encode": 10.0}, "encode"),
        ({"collate": 3.0}, "collate"),
        ({"shuffle": 3.0}, "shuffle"),
    ],
)
def test_a_waiting_loop_is_told_which_stage_it_waits_for(busy, stage):
    stats = counters_of(wait=5.0, **busy).snapshot(**OPTIONS)
    assert stats.bound_by == stage
    assert f"bound by   {stage}: " in str(stats)


def test_a_loop_that_waits_for_mixing_is_told_what_a_manifest_would_change():
    def text(**options) -> str:
        return str(counters_of(wait=5.0, shuffle=3.0).snapshot(**{**OPTIONS, "has_counts": False, **options}))

    assert "bound by   shuffle: arrays are mixed faster when there is a manifest (pyloader index DIR); " in text()
    for other in ({"has_counts": True}, {"shuffle_window": 1}, {"worker_kind": "process"}, {"max_bytes": 10**9}):
        assert "manifest" not in text(**other)


def test_a_loop_that_does_not_wait_is_told_nothing():
    stats = counters_of(wait=0.1, read=9.0).snapshot(**OPTIONS)
    assert stats.bound_by == ""
    assert "bound by" not in str(stats)


def test_unknown_mixing_is_left_out_of_the_text():
    stats = Counters().snapshot(**OPTIONS)
    assert math.isnan(stats.mixing)
    assert "nan" not in str(stats)


def test_the_longest_wait_is_one_after_the_first_batch():
    counters = Counters()
    counters.waited(3.0)
    counters.delivered(1)
    counters.waited(0.5)
    counters.delivered(1)
    counters.waited(0.1)
    stats = counters.snapshot(**OPTIONS)
    assert (stats.first_wait_seconds, stats.longest_wait_seconds, stats.longest_wait_step) == (3.0, 0.5, 1)
    assert stats.wait_seconds == pytest.approx(3.6)


def waits_of(*, held_up, waits=100, cpu=6.0, read=0.0, encode=6.0, samples=10_000, **options):
    counters = counters_of(wait=5.0, encode=encode, read=read)
    counters.num_samples = samples
    counters.sampled_seconds, counters.processor_seconds = 6.0, cpu
    counters.num_waits, counters.num_held_up = waits, held_up
    return counters.snapshot(**{**OPTIONS, "num_workers": 1, **options})


@pytest.mark.parametrize(
    ("case", "holds"),
    [
        ({"held_up": 95}, True),
        ({"held_up": 95, "cpu": 3.0, "num_workers": 2}, True),  # two threads that take turns
        ({"held_up": 5}, False),
        ({"held_up": 5, "cpu": 0.1}, False),  # waiting for a disk
        ({"held_up": 40}, None),
        ({"held_up": 9, "waits": 9}, None),
        ({"held_up": 95, "cpu": 2.0}, None),  # other programs had the processors
        ({"held_up": 95, "read": 6.0}, None),  # it may be the reading threads that hold it
        ({"held_up": 5, "worker_kind": "process"}, None),
    ],
)
def test_who_holds_the_interpreters_lock_is_said_only_when_it_can_be_told(case, holds):
    assert waits_of(**case).holds_lock is holds


@pytest.mark.parametrize(
    ("case", "advice"),
    [
        ({"held_up": 95}, r"600 µs a sample; worker_kind='process', num_workers=2 uses more cores"),
        ({"held_up": 95, "samples": 3_000_000}, r"2 µs a sample; num_workers=1 is best, since processes pay from 5 µs"),
        ({"held_up": 5}, r"leaves the interpreter's lock \(GIL\) to others, so num_workers=2 helps"),
        ({"held_up": 40}, r"num_workers=4 helps where batch_encode releases the GIL"),
    ],
)
def test_encoding_that_the_loop_waits_for_is_advised_by_who_holds_the_lock(case, advice):
    assert re.search(f"bound by   encode: .*{advice}", str(waits_of(**case)))
