"""Stats: numbers that add up, and a text that says what to do."""

from __future__ import annotations

import math

import pytest

from pyloader.observe import Counters, chunk_stats, stats

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


def counters_of(*, wait, room=0.0, **busy):
    counters = Counters(first_request=100.0, latest_batch=110.0, wait_seconds=wait, num_steps=5, num_samples=50)
    counters.room_seconds = room
    counters.busy_seconds.update(busy)
    return counters


def set_processors(monkeypatch, number):
    for module in (stats, chunk_stats):
        monkeypatch.setattr(module, "num_processors", lambda: number)


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


def test_stages_that_share_their_threads_are_busy_together():
    counters = counters_of(wait=5.0, read=6.0, encode=9.0, collate=10.0)
    assert counters.snapshot(**OPTIONS).bound_by == "collate"  # two threads, busy 95% of their time; reading's is 60%


def test_a_loop_that_waits_for_threads_that_wait_for_room_is_told_to_give_them_more():
    def verdict(room=5.0, **options) -> str:
        return counters_of(wait=3.0, room=room, read=2.0, encode=8.0).snapshot(**{**OPTIONS, **options}).verdict

    assert verdict() == "queue: max_queue_size=20 lets the threads work further ahead"
    assert verdict(max_bytes=10**6) == "queue: max_bytes=2000000 lets the threads work further ahead"
    assert verdict(room=1.0).startswith("encode: ")
    assert verdict(num_workers=1).startswith("encode: ")  # it works 80% of its time
    assert verdict(num_workers=0).startswith("encode: ")  # nothing works ahead


def test_the_first_batch_does_not_rule_the_verdict_where_others_came():
    def stats_of(first, others, num_steps=50, **options):
        counters = Counters(first_request=100.0, latest_batch=100.0 + first + 4.0, num_samples=50)
        counters.waited(first)
        counters.busy_seconds.update(read=3 * first, encode=0.1)
        counters.num_steps = 1
        counters.waited(others)
        counters.busy_seconds["encode"] += 5.0
        counters.num_steps = num_steps
        return counters.snapshot(**{**OPTIONS, **options})

    assert stats_of(6.0, 2.0).bound_by == "encode"  # what works most after it
    assert stats_of(6.0, 2.0, num_steps=10).bound_by == "read"  # too few came
    assert stats_of(6.0, 0.1).verdict == (
        "start: the first batch took 6.00 s, 60% of the time; "
        "it needs 4 chunks: smaller ones, or a smaller shuffle_window, are there sooner"
    )
    for options, hint in (
        ({"shuffle_window": 1}, "that is once a run, however long it is"),
        ({"worker_kind": "process"}, "processes start once a run, however long it is"),
    ):
        assert stats_of(6.0, 0.1, **options).verdict.endswith(hint)
    assert stats_of(0.1, 0.1).bound_by == ""


def test_a_loop_that_waits_for_a_store_is_told_how_fast_it_is():
    counters = counters_of(wait=8.0, room=9.0, read=1.0, encode=0.5, fetch=30.0)
    counters.fetched_bytes, counters.num_fetches = 50_000_000, 4
    stats = counters.snapshot(**OPTIONS)
    assert stats.verdict.startswith("fetch: chunks come from the store at 5.0 MB/s; pyloader fetch")
    assert "fetch 30.00 s" in str(stats)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"held": 9, "free": 1}, {"batch": True}),
        ({"held": 1, "free": 9}, {"batch": False}),
        ({"held": 5, "free": 5}, {}),
        ({"free": 7, "unclear": 3}, {}),
        ({"held": 3}, {}),  # too few
        ({"free": 4, "unclear": 1}, {}),
    ],
)
def test_whether_the_lock_is_held_is_said_only_where_most_looks_agree(found, said):
    counters = counters_of(wait=5.0, encode=9.0)
    for what, number in found.items():
        for _ in range(number):
            counters.note_lock("batch", what)
    assert counters.snapshot(**OPTIONS).holds_lock == said


@pytest.mark.parametrize(
    ("stage", "held", "options", "advice"),
    [
        ("encode", True, {"num_workers": 1}, "worker_kind='process', num_workers=4: it is Python, and holds the GIL"),
        ("encode", False, {"num_workers": 1}, "num_workers=4: it leaves the GIL to others"),
        ("encode", False, {"num_workers": 4}, "num_workers=8 helps where it waits for a disk or a server; else it has"),
        ("collate", True, {"num_workers": 4}, "worker_kind='process', num_workers=4: it is Python"),
        ("read", True, {}, "worker_kind='process', num_readers=2: reading holds the GIL"),
        ("read", False, {}, "num_readers=2 reads two chunks at a time"),
        ("encode", True, {"worker_kind": "process", "num_workers": 4}, "it has the 4 processors already"),
    ],
)
def test_what_is_known_of_the_lock_decides_between_threads_and_processes(monkeypatch, stage, held, options, advice):
    set_processors(monkeypatch, 4)
    counters = counters_of(wait=5.0, **{stage: 30.0})
    for _ in range(10):
        counters.note_lock("read" if stage == "read" else "batch", "held" if held else "free")
    assert counters.snapshot(**{**OPTIONS, **options}).verdict.startswith(f"{stage}: {advice}")


def test_a_loop_that_hardly_waits_is_told_who_keeps_the_interpreters_lock_from_it(monkeypatch):
    set_processors(monkeypatch, 4)

    def verdict(encode=9.0, found="held", **options) -> str:
        counters = counters_of(wait=0.1, read=1.0, encode=encode)
        for _ in range(10):
            counters.note_lock("batch", found)
        return counters.snapshot(**{**OPTIONS, "num_workers": 1, **options}).verdict

    assert verdict() == (
        "encode: it keeps the interpreter's lock (GIL) from the loop's own steps; worker_kind='process', "
        "num_workers=4: it is Python, and holds the GIL"
    )
    assert (
        verdict(encode=3.0) == verdict(found="free") == verdict(worker_kind="process") == verdict(num_workers=0) == ""
    )


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


@pytest.mark.parametrize(
    ("stage", "options", "processors", "advice"),
    [
        (
            "encode",
            {"num_workers": 1},
            16,
            "num_workers=4 helps where batch_encode releases the GIL (NumPy, tokenizers, image decoders); "
            "worker_kind='process', num_workers=4 where it is Python",
        ),
        ("encode", {"num_workers": 6}, 16, "num_workers=7 helps where batch_encode releases the GIL"),
        ("collate", {"num_workers": 1}, 2, "num_workers=2 helps where collate_batch releases the GIL"),
        (
            "encode",
            {"num_workers": 2},
            2,
            "worker_kind='process', num_workers=2 helps where it is Python, num_workers=4 where it waits for a disk or "
            "a server; else it has the 2 processors already: make it cheaper, or do it once: pyloader split --encode",
        ),
        (
            "collate",
            {"num_workers": 2, "worker_kind": "process"},
            2,
            "it has the 2 processors already: make it cheaper",
        ),
        ("encode", {"num_workers": 2, "worker_kind": "process"}, 8, "num_workers=4 uses more of the 8 processors"),
        ("encode", {"num_workers": 1}, 1, "it has the only processor already: make it cheaper"),
        ("read", {"num_readers": 3}, 8, "num_readers=4 reads 4 chunks at a time"),
        ("shuffle", {"num_workers": 1}, 8, "num_workers=2 gathers in two threads; a smaller shuffle_window"),
        ("shuffle", {"num_workers": 2}, 2, "a smaller shuffle_window mixes fewer chunks"),
    ],
)
def test_the_advice_goes_by_what_there_is_and_claims_nothing_of_the_interpreters_lock(
    monkeypatch, stage, options, processors, advice
):
    set_processors(monkeypatch, processors)
    text = str(counters_of(wait=5.0, **{stage: 9.0}).snapshot(**{**OPTIONS, **options}))
    assert f"bound by   {stage}: {advice}" in text
