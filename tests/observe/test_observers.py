"""Observers: called in the loop's own thread, when they are due, and never the end of a run."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from numbered import loader_of, write_chunks

from pyloader import indexed
from pyloader.observe.observers import Observers
from pyloader.run.adapters import LoaderAdapter


def test_an_observer_is_called_at_whole_multiples_and_once_more_at_the_end(tmp_path):
    seen = []
    with loader_of(write_chunks(tmp_path, [10] * 3), batch_size=2) as loader:
        loader.add_observer(lambda metrics: seen.append((metrics["steps_done"], threading.get_ident())), every=4)
        for _ in loader:
            pass
    assert [step for step, _ in seen] == [1, 4, 8, 12, 15]
    assert {thread for _, thread in seen} == {threading.get_ident()}


def test_of_items_all_iterators_are_observed():
    seen = []
    with indexed.DataLoader({"x": range(12)}, batch_size=2, num_epochs=1) as loader:
        loader.add_observer(lambda metrics: seen.append(metrics["steps"]), every=3)
        for _ in range(2):
            list(loader)
    assert seen == [1, 3, 6, 9, 12]


def test_by_time_it_is_called_with_the_first_batch_that_comes_when_it_is_due():
    observers, seen = Observers(), []
    observers.add(lambda: seen.append("called"), every_seconds=1.0)
    assert observers.due_time == 0.0
    observers.call_due(1, 100.0)
    assert observers.due_time == 101.0
    observers.call_due(2, 100.9)
    assert len(seen) == 1
    observers.call_due(3, 101.5)
    assert (len(seen), observers.due_time) == (2, 102.5)


def test_one_that_is_removed_is_called_no_more():
    observers, seen = Observers(), []
    remove = observers.add(lambda: seen.append("called"), every_steps=1)
    observers.call_due(1, 0.0)
    remove()
    remove()
    observers.call_due(2, 0.0)
    observers.call_last(2)
    assert (seen, observers.due_step) == (["called"], float("inf"))


def test_one_that_fails_is_a_warning_and_the_run_goes_on(tmp_path, caplog):
    seen = []

    def fails(metrics):
        raise OSError("no space left")

    with loader_of(write_chunks(tmp_path, [10]), batch_size=2) as loader:
        loader.add_observer(fails, every=1)
        loader.add_observer(seen.append, every=1)
        assert len(list(loader)) == 5
    assert len(seen) == 5
    assert [record.levelname for record in caplog.records if "an observer of the loader failed" in record.message] == [
        "WARNING"
    ]


def test_what_wraps_a_loader_is_asked_what_the_loop_has_received(tmp_path):
    seen = []
    with loader_of(write_chunks(tmp_path, [10] * 4), batch_size=2) as loader:
        ahead = LoaderAdapter(loader, lambda batch: batch, size=5)
        ahead.add_observer(lambda metrics: seen.append(metrics["steps_done"]), every=1)
        next(ahead)
        assert loader.stats().num_steps > 1
        assert max(seen) <= 1  # four more are on their way, and nobody has them
        assert ahead.metrics()["steps_done"] == 1


def test_an_observer_does_not_keep_a_loader_alive(tmp_path):
    loader = loader_of(write_chunks(tmp_path, [10]), batch_size=2)
    loader.add_observer(print, every=1)
    gone = weakref.ref(loader)
    del loader
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("options", "says"), [({"every": 0}, "every"), ({"every_seconds": -1}, "every_seconds")])
def test_a_period_must_be_above_0(tmp_path, options, says):
    with loader_of(write_chunks(tmp_path, [10])) as loader, pytest.raises(ValueError, match=says):
        loader.add_observer(print, **options)
