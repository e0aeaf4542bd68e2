"""Audit: which receipts count, where ranks are behind, runs were given up, or several knew nothing of each other."""

from __future__ import annotations

import itertools
import os
import time
from types import SimpleNamespace

import pytest
from auditing import COUNTS, audited, close, found
from numbered import loader_of
from ranks import global_batches, rank_loaders, write_counted

from pyloader.audit import receipts
from pyloader.run.adapters import LoaderAdapter


def test_a_rank_that_is_not_as_far_as_the_others_is_named_and_no_fault(tmp_path):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    loaders = rank_loaders(chunks, 4, batch_size=2, last_batch="drop", audit_dir=tmp_path / "receipts")
    global_batches(loaders, 9)
    for loader in (loaders[0], loaders[3]):
        next(loader)
    audit = audited(tmp_path)
    (epoch,) = audit.epochs
    assert audit.is_good
    assert (epoch.state, epoch.steps_done, epoch.behind) == ("running", 9, "ranks 1, 2 of 4")
    close(loaders)


def test_a_rank_that_was_split_up_does_not_speak_for_one_that_has_not_begun(tmp_path):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    options = {"last_batch": "drop", "audit_dir": tmp_path / "receipts"}
    (only,) = rank_loaders(chunks, 1, num_streams=2, batch_size=8, **options)
    global_batches([only], 5)
    state = only.state_dict()
    global_batches([only], 5)
    loaders = rank_loaders(chunks, 2, batch_size=4, **options)
    for loader in loaders:
        loader.load_state_dict(state)
    for _ in range(3):
        next(loaders[0])
    audit = audited(tmp_path)
    (epoch,) = audit.epochs
    assert found(audit) == []
    assert (epoch.state, epoch.steps_done, epoch.behind) == ("running", 5, "rank 1 of 2")
    for _ in range(4):
        next(loaders[1])
    assert audited(tmp_path).epochs[0].steps_done == 8
    close(loaders)


def test_an_epoch_that_ended_early_is_missing_steps_once_another_has_begun(tmp_path):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    with loader_of(
        chunks, batch_size=8, last_batch="drop", num_epochs=2, world=None, audit_dir=tmp_path / "receipts"
    ) as loader:
        for _ in range(5):
            next(loader)
        loader.skip(3)
        for _ in range(10):
            next(loader)
        loader.skip(7)
        next(loader)
    lost = "no receipt: left out by skip(), or lost"
    assert found(audited(tmp_path)) == [
        ("missing", 0, 5, 7, "every rank", lost),
        ("missing", 0, 18, 22, "every rank", lost),
        ("missing", 1, 0, 1, "every rank", lost),
    ]


def test_receipts_that_begin_in_the_middle_of_an_epoch_speak_for_the_rest_of_it(tmp_path):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    options = {"batch_size": 8, "last_batch": "drop", "num_epochs": 2, "world": None}
    with loader_of(chunks, **options) as loader:
        for _ in range(20):
            next(loader)
        state = loader.state_dict()
    with loader_of(chunks, audit_dir=tmp_path / "receipts", **options) as loader:
        loader.load_state_dict(state)
        assert len(list(loader)) == 26
    audit = audited(tmp_path)
    assert audit.is_good
    assert [(epoch.state, epoch.first_step, epoch.steps_done) for epoch in audit.epochs] == [
        ("partial", 20, 3),
        ("complete", 0, 23),
    ]


def test_a_run_that_was_begun_anew_by_mistake_and_given_up_does_not_count(tmp_path):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    options = {"batch_size": 8, "last_batch": "wrap", "world": None, "audit_dir": tmp_path / "receipts"}
    with loader_of(chunks, **options) as loader:
        for _ in range(11):
            next(loader)
        state = loader.state_dict()
    with loader_of(chunks, **options) as loader:
        for _ in range(4):
            next(loader)
    with loader_of(chunks, **options) as loader:
        loader.load_state_dict(state)
        assert len(list(loader)) == 13
    audit = audited(tmp_path)
    assert audit.is_good
    assert [(epoch.state, epoch.delivered) for epoch in audit.epochs] == [("complete", 189)]
    assert audit.num_replaced == 4


def test_what_a_wrapper_took_ahead_of_the_loop_is_taken_back_on_resuming(tmp_path):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    options = {"batch_size": 8, "world": None, "audit_dir": tmp_path / "receipts"}
    with LoaderAdapter(loader_of(chunks, **options), lambda batch: batch, size=3) as batches:
        for _ in range(10):
            next(batches)
        state = batches.state_dict()
    assert audited(tmp_path).epochs[0].steps_done == 12  # as far as the wrapper is
    with loader_of(chunks, **options) as loader:
        loader.load_state_dict(state)
        assert len(list(loader)) == 14
    audit = audited(tmp_path)
    assert (audit.is_good, audit.epochs[0].state, audit.num_replaced) == (True, "complete", 2)


def test_starting_over_takes_back_what_was_delivered(tmp_path):
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    with loader_of(chunks, batch_size=8, world=None, audit_dir=tmp_path / "receipts") as loader:
        for _ in range(3):
            assert len(list(loader)) == 24
            loader.reset()
    audit = audited(tmp_path)
    assert audit.is_good
    assert (len(audit.epochs), audit.num_receipts, audit.num_replaced) == (1, 1, 48)


@pytest.mark.parametrize("at_once", [True, False])
def test_processes_that_do_not_know_of_each_other_deliver_everything_twice(tmp_path, monkeypatch, at_once):
    """As when RANK and WORLD_SIZE are not set: each takes itself for the only one."""
    seconds = itertools.count(1_000_000)
    clock = SimpleNamespace(time_ns=lambda: next(seconds) * 10**9, monotonic=lambda: float(next(seconds)))
    clock.strftime, clock.gmtime = time.strftime, time.gmtime
    monkeypatch.setattr(receipts, "time", clock)
    chunks = write_counted(tmp_path / "chunks", COUNTS)
    options = {"batch_size": 8, "world": None, "audit_dir": tmp_path / "receipts"}
    with loader_of(chunks, **options) as one, loader_of(chunks, **options) as other:
        for loader in [one, other] * 6 if at_once else [one] * 7 + [other] * 6:
            next(loader)
    audit = audited(tmp_path)
    assert audit.is_good != at_once
    for kind, epoch, first, last, who, what in found(audit):
        assert (kind, epoch, first, last) == ("twice", 0, 0, 5)
        assert who.count(f"rank 0 of 1 ({os.uname().nodename}:{os.getpid()})") == 2
        assert "Are RANK and WORLD_SIZE set" in what
    assert audit.num_replaced == (6 if at_once else 7)
