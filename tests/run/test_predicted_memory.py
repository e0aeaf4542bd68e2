"""Predicted memory: what is said, against what is there when threads have done all that they may, at each step."""

from __future__ import annotations

import pytest
from array_chunks import write_array_chunks

import pyloader.run.resident
import pyloader.run.run
from pyloader import ChunkWriter, DataLoader
from pyloader.deliver import Budget, ByteBudget
from pyloader.deliver.threads import ThreadedMap
from pyloader.inspecting.planning import look_at
from pyloader.run.predicted_memory import RowBytes, most_resident
from pyloader.run.predicting import options_of

SETTINGS = [
    {"batch_size": 16, "shuffle_window": 1},
    {"batch_size": 16, "shuffle_window": 4, "last_batch": "keep"},
    {"batch_size": 50, "shuffle_window": 20, "max_queue_size": 25, "last_batch": "pad"},
    {"batch_size": 33, "shuffle_window": 2, "max_queue_size": 3, "last_batch": "drop"},
    {"batch_size": 12, "shuffle_window": 4, "max_queue_size": 5, "last_batch": "drop"},
    {"batch_size": 8, "shuffle_window": 3, "last_batch": "wrap", "world": (1, 3)},
    {"batch_size": 70, "shuffle_window": 2, "max_queue_size": 6, "last_batch": "drop", "num_epochs": 3},
    {"batch_size": 16, "shuffle_window": 4, "max_skipped": 1},  # rows carry their numbers
    {"batch_size": 16, "shuffle": False, "copy": False},
    {"batch_size": 20, "shuffle": False, "copy": False, "max_queue_size": 5, "world": (1, 2), "last_batch": "drop"},
]


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    return write_array_chunks(tmp_path_factory.mktemp("arrays") / "chunks")


class WatchedBudget(Budget):
    """Knows whether its thread waits for room that there is not, or has ended; that of `after` has to before a take."""

    def __init__(self, *args, after=None, **options):
        super().__init__(*args, **options)
        self.after, self.needed, self.is_ended = after, None, False

    def take(self, amount=1, **options):
        if self.after is not None:
            self.after.wait_until_used_up()
        super().take(amount, **options)

    def wait_until_used_up(self):
        with self.changed:
            self.changed.wait_for(self.is_used_up)

    def is_used_up(self):
        return self._closed or self.is_ended or (self.needed is not None and not self.needed())

    def end(self):
        with self.changed:
            self.is_ended = True
            self.changed.notify_all()

    def _wait_until(self, ready):
        self.needed = ready
        self.changed.notify_all()
        super()._wait_until(ready)
        self.needed = None


def most_of_run(monkeypatch, **options):
    """Return the most bytes, and chunks, of a run where reading is as far ahead as it may, and making as well."""
    budgets, of_bytes, finish = [], [], ThreadedMap._finish

    def budget(*args, **given):
        if len(budgets) % 2 == 0:  # of chunks
            budgets.append(WatchedBudget(*args, **given))
        else:
            budgets.append(WatchedBudget(*args, **given, after=budgets[-1]))
        return budgets[-1]

    def byte_budget(*args, **given):
        of_bytes.append(ByteBudget(*args, **given))
        return of_bytes[-1]

    def finish_and_tell(step, place, outcome):
        finish(step, place, outcome)
        step._budget.end()

    monkeypatch.setattr(ThreadedMap, "_finish", finish_and_tell)
    monkeypatch.setattr(pyloader.run.run, "Budget", budget)
    monkeypatch.setattr(pyloader.run.resident, "ByteBudget", byte_budget)
    with DataLoader(**options) as loader:
        for _ in loader:
            budgets[1].wait_until_used_up()
            budgets[0].wait_until_used_up()
        return of_bytes[0].peak, loader.metrics()["resident_chunks"]


@pytest.mark.parametrize("options", SETTINGS)
def test_what_is_said_is_what_is_there_where_reading_is_ahead(chunks, monkeypatch, options):
    given = {"shuffle": True, "world": None, "num_epochs": 2, **options, "data_dir": chunks}
    given |= {"num_workers": 1, "num_readers": 1, "max_bytes": "1GB"}
    with DataLoader(**given) as loader:
        plan = loader.plan()
    most_bytes, most_chunks = most_of_run(monkeypatch, **given)
    assert plan.resident_bytes == pytest.approx(most_bytes, rel=0.005)
    assert plan.resident_chunks == pytest.approx(most_chunks, rel=0.005)


def test_columns_of_arrays_are_made_in_groups_of_batches_and_others_one_batch_at_a_time(chunks, tmp_path):
    with ChunkWriter(tmp_path / "text", chunk_samples=40) as writer:
        for number in range(80):
            writer.write({"text": f"line {number}"})
    with DataLoader(data_dir=tmp_path / "text", batch_size=8) as texts:
        assert not look_at(texts, seconds=1).is_arrays
    with DataLoader(data_dir=chunks, batch_size=8, num_workers=1, shuffle=True) as loader:
        look = look_at(loader, seconds=1)
        plan, options = loader.plan(), options_of(loader)
    as_arrays, as_lists = (
        most_resident(options, RowBytes(look.row_bytes, look.row_bytes, is_arrays=is_arrays))[1]
        for is_arrays in (look.is_arrays, False)
    )
    assert look.is_arrays and as_lists < as_arrays == plan.resident_bytes
