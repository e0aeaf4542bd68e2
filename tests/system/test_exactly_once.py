"""Law 2: every sample exactly once an epoch, less what the last-batch rule drops, pads or repeats."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import ids_of, loader_of, write_chunks

from pyloader.errors import CoverageError, DataDirError
from pyloader.shuffle import EpochEnd

SETTINGS = {
    "counts": st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(any),
    "batch_size": st.integers(1, 50),
    "window": st.integers(1, 10),
    "seed": st.integers(0, 2**32),
    "num_workers": st.sampled_from([0, 0, 1, 3]),
    "text": st.booleans(),
}


def batches_of(directory, window, **options):
    with loader_of(directory, shuffle=True, shuffle_window=window, max_queue_size=window + 2, **options) as loader:
        return list(loader), loader.stats()


@settings(max_examples=150)
@given(**SETTINGS)
def test_keep_delivers_each_sample_once_in_full_batches(tmp_path_factory, counts, window, batch_size, **options):
    directory = write_chunks(tmp_path_factory.mktemp("chunks"), counts)
    batches, stats = batches_of(directory, window, batch_size=batch_size, **options)
    ids = ids_of(batches)
    assert sorted(itertools.chain(*ids)) == list(range(sum(counts)))
    assert [len(batch) for batch in ids[:-1]] == [batch_size] * (len(ids) - 1)
    assert (stats.num_samples, stats.dropped, stats.filled) == (sum(counts), 0, 0)


@settings(max_examples=60)
@given(**SETTINGS)
def test_drop_leaves_out_less_than_a_batch_and_counts_it(tmp_path_factory, counts, window, batch_size, **options):
    directory = write_chunks(tmp_path_factory.mktemp("chunks"), counts)
    if sum(counts) < batch_size:
        with pytest.raises(DataDirError, match=r"samples, which make no batch of"):
            batches_of(directory, window, batch_size=batch_size, last_batch="drop", **options)
        return
    batches, stats = batches_of(directory, window, batch_size=batch_size, last_batch="drop", **options)
    ids = list(itertools.chain(*ids_of(batches)))
    assert len(set(ids)) == len(ids) == sum(counts) // batch_size * batch_size
    assert stats.dropped == sum(counts) % batch_size


@settings(max_examples=60)
@given(**SETTINGS)
def test_pad_marks_the_rows_that_are_no_samples(tmp_path_factory, counts, window, batch_size, **options):
    directory = write_chunks(tmp_path_factory.mktemp("chunks"), counts)
    batches, stats = batches_of(directory, window, batch_size=batch_size, last_batch="pad", **options)
    ids_of(batches)
    assert all(len(batch["id"]) == len(batch["mask"]) == batch_size for batch in batches)
    assert all(batch["mask"].dtype == bool and batch["mask"].all() for batch in batches[:-1])
    real = [number for batch in batches for number in batch["id"][batch["mask"]].tolist()]
    assert sorted(real) == list(range(sum(counts)))
    assert stats.filled == -sum(counts) % batch_size


@settings(max_examples=60)
@given(**SETTINGS)
def test_wrap_repeats_the_rows_before_the_last(tmp_path_factory, counts, window, batch_size, **options):
    directory = write_chunks(tmp_path_factory.mktemp("chunks"), counts)
    batches, stats = batches_of(directory, window, batch_size=batch_size, last_batch="wrap", **options)
    ids = list(itertools.chain(*ids_of(batches)))
    assert set(ids) == set(range(sum(counts)))
    assert len(ids) % batch_size == 0
    assert stats.filled == len(ids) - sum(counts) == -sum(counts) % batch_size


def test_wrap_repeats_recent_rows_and_not_one_row_many_times(tmp_path):
    directory = write_chunks(tmp_path, [100])
    (*_, last) = ids_of(loader_of(directory, batch_size=33, shuffle=True, last_batch="wrap"))
    assert max(Counter(last).values()) == 1


def test_batches_are_full_across_chunk_borders(tmp_path):
    directory = write_chunks(tmp_path, [7, 3, 1, 0, 22, 5])
    assert [len(batch) for batch in ids_of(loader_of(directory, batch_size=8))] == [8, 8, 8, 8, 6]


def test_a_lost_row_is_noticed_at_the_epochs_end(tmp_path, monkeypatch):
    def losing(segments, *arguments, **options):
        for piece in cut(segments, *arguments, **options):
            if isinstance(piece, EpochEnd) or piece.step != 1:
                yield piece

    import pyloader.run.streaming as streaming

    cut = streaming.cut
    monkeypatch.setattr(streaming, "cut", losing)
    with (
        loader_of(write_chunks(tmp_path, [30]), text=True, batch_size=10, num_workers=0) as loader,
        pytest.raises(CoverageError, match="delivered 20 samples, and should have delivered 30"),
    ):
        list(loader)
