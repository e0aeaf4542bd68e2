"""Law 1: at most max_queue_size chunks' worth of rows are resident, taken before reading starts."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import NumberedReader, ids_of, loader_of, write_chunks
from products import examples
from ranks import write_counted

from pyloader import DataLoader, World


class WatchedReader(NumberedReader):
    """Counts how many of the chunks that it read are still alive, the one being read included."""

    def __init__(self):
        super().__init__()
        self.alive, self.most, self.lock = 0, 0, threading.Lock()

    def read_file(self, path):
        with self.lock:
            self.alive += 1
            self.most = max(self.most, self.alive)
        columns, count = super().read_file(path)
        weakref.finalize(columns["row"], self._gone)
        return columns, count

    def _gone(self):
        self.alive -= 1


def assert_bounded(directory, *, max_queue_size, **options):
    """Assert that no more chunks are alive in two epochs, and that the loader says so."""
    reader = WatchedReader()
    with DataLoader(reader, data_dir=directory, max_queue_size=max_queue_size, num_epochs=2, **options) as loader:
        for _ in loader:
            pass
        assert reader.most <= max_queue_size
        assert loader.stats().resident_peak <= max_queue_size


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(
    window=st.integers(1, 6),
    extra=st.integers(0, 6),
    num_workers=st.integers(0, 3),
    num_readers=st.integers(1, 4),
    batch_size=st.sampled_from([3, 16, 50]),
    shuffle=st.booleans(),
)
def test_no_more_chunks_are_alive_than_the_queue_holds(
    tmp_path_factory, window, extra, num_workers, num_readers, batch_size, shuffle
):
    window = window if shuffle else 1
    assert_bounded(
        write_chunks(tmp_path_factory.mktemp("chunks"), [20] * 15),
        max_queue_size=window + extra + (window > 1),
        batch_size=batch_size,
        shuffle=shuffle,
        shuffle_window=window,
        num_workers=num_workers,
        num_readers=num_readers,
    )


@pytest.mark.slow
@settings(max_examples=examples(25))
@given(
    window=st.integers(1, 4),
    per_rank=st.integers(1, 4),
    extra=st.integers(0, 4),
    num_workers=st.integers(0, 3),
    num_readers=st.integers(1, 3),
    share=st.sampled_from([1, 8, 30]),
)
def test_no_more_chunks_are_alive_than_the_queue_holds_for_several_streams(
    tmp_path_factory, window, per_rank, extra, num_workers, num_readers, share
):
    assert_bounded(
        write_counted(tmp_path_factory.mktemp("chunks"), [20] * 15),
        max_queue_size=window * per_rank + extra + (window > 1),
        batch_size=share * per_rank,
        shuffle=True,
        shuffle_window=window,
        last_batch="pad",
        num_workers=num_workers,
        num_readers=num_readers,
        world=World(1, 2, num_streams=2 * per_rank),
    )


def test_a_slot_is_taken_before_reading_starts(tmp_path):
    directory = write_chunks(tmp_path, [20] * 15)
    reader = WatchedReader()
    with DataLoader(reader, data_dir=directory, batch_size=20, max_queue_size=1, num_readers=4) as loader:
        for _ in loader:
            assert reader.alive <= 1
    assert reader.most == 1


def test_a_window_that_the_queue_cannot_hold_is_refused_with_the_arithmetic(tmp_path):
    directory = write_chunks(tmp_path, [20] * 15)
    message = r"holds 8 chunks for mixing and one.*at least 9, got 5. Write max_queue_size=9, or shuffle_window=4"
    with pytest.raises(ValueError, match=message):
        loader_of(directory, shuffle=True, shuffle_window=8, max_queue_size=5)


@pytest.mark.slow
def test_a_batch_that_the_user_keeps_is_not_written_over(source):
    with source.loader([5000] * 20, batch_size=700, window=4, num_epochs=2) as loader:
        kept = list(loader)
    ids = [number for batch in ids_of(kept) for number in batch]
    assert (np.bincount(ids) == 2).all()


def test_batches_are_writable_and_disjoint(source):
    for window in (None, 4):
        with source.loader([5000] * 4, batch_size=700, window=window) as loader:
            batches = list(loader)
        for batch in batches:
            batch["row"][:] = 7
        for batch in batches:
            batch["row"][:] += 1
            assert (batch["row"] == 8).all()


def test_a_batch_that_the_loop_has_let_go_of_is_gone(source):
    with source.loader([40] * 5, text=True, batch_size=4, num_workers=2, ahead=8) as loader:
        for _ in range(10):
            next(loader)
        for _ in range(10):
            gone = weakref.ref(next(loader)["id"])
            assert gone() is None


def test_batches_are_made_ahead_while_the_loop_is_busy_with_one(source):
    """loadax made none but inside next."""
    read = threading.Semaphore(0)
    with source.loader([10] * 100, on_read=lambda ids: read.release(len(ids) // 10), batch_size=10, ahead=5) as loader:
        next(loader)
        for _ in range(1 + 5):
            assert read.acquire(timeout=10)


def test_batches_do_not_change_the_arrays_of_a_reader_that_keeps_them(tmp_path):
    held = {}

    class Keeping(NumberedReader):
        def read_file(self, path):
            return held.setdefault(path, super().read_file(path))

    directory = write_chunks(tmp_path, [100] * 3)
    with DataLoader(Keeping(), data_dir=directory, batch_size=30, num_epochs=2) as loader:
        for batch in loader:
            batch["id"][:] = -1
    assert all((columns["id"] >= 0).all() for columns, _ in held.values())


def test_copy_false_hands_out_parts_of_the_readers_arrays(tmp_path):
    held = []

    class Keeping(NumberedReader):
        def read_file(self, path):
            held.append(super().read_file(path))
            return held[-1]

    directory = write_chunks(tmp_path, [100] * 3)
    with DataLoader(Keeping(), data_dir=directory, batch_size=50, copy=False) as loader:
        batches = list(loader)
    assert all(any(np.shares_memory(batch["id"], columns["id"]) for columns, _ in held) for batch in batches)
    assert np.concatenate([batch["id"] for batch in batches]).tolist() == list(range(300))
