"""Law 2: every sample exactly once an epoch, less what the last-batch rule drops, pads or repeats."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import ids_of, loader_of, write_chunks
from products import examples
from ranks import real_ids
from sources import MixedChunks

from pyloader.errors import CoverageError, DataDirError
from pyloader.shuffle import EpochEnd

COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(any)


def flat(lists):
    return [number for numbers in lists for number in numbers]


@pytest.mark.slow
@settings(max_examples=examples(250))
@given(
    counts=COUNTS,
    batch_size=st.integers(1, 50),
    rule=st.sampled_from(["keep", "drop", "pad", "wrap"]),
    window=st.integers(1, 10),
    seed=st.integers(0, 2**32),
    num_workers=st.sampled_from([0, 0, 1, 3]),
    num_epochs=st.integers(1, 2),
    text=st.booleans(),
    counted=st.booleans(),
)
def test_every_sample_comes_once_an_epoch_less_what_the_rule_says(
    source, counts, batch_size, rule, num_epochs, **options
):
    total = sum(counts)
    if rule == "drop":
        batch_size = min(batch_size, total)
    options |= {"batch_size": batch_size, "last_batch": rule, "num_epochs": num_epochs}
    with source.loader(counts, **options) as loader:
        batches, stats = list(loader), loader.stats()
    missing, left = -total % batch_size, total % batch_size
    steps = total // batch_size + (rule != "drop" and left > 0)
    assert len(batches) == steps * num_epochs
    assert stats.dropped == (left * num_epochs if rule == "drop" else 0)
    assert stats.filled == (missing * num_epochs if rule in ("pad", "wrap") else 0)
    for start in range(0, len(batches), steps):
        epoch = batches[start : start + steps]
        ids = ids_of(epoch)
        full = ids[:-1] if rule == "keep" else ids
        assert {len(batch) for batch in full} <= {batch_size}
        if rule == "drop":
            assert len(set(flat(ids))) == len(flat(ids)) == total - left
        elif rule == "wrap":
            assert set(flat(ids)) == set(range(total))
        else:
            assert sorted(flat(map(real_ids, epoch))) == list(range(total))
        if rule == "pad":
            assert all(batch["mask"].dtype == bool and len(batch["mask"]) == batch_size for batch in epoch)
            assert all(batch["mask"].all() for batch in epoch[:-1])


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(
    counts=COUNTS,
    share=st.integers(1, 6),
    size=st.integers(1, 4),
    rule=st.sampled_from(["drop", "pad", "wrap"]),
    window=st.integers(1, 4),
)
def test_over_all_ranks_every_sample_comes_once_and_all_have_as_many_steps(source, counts, share, size, rule, window):
    if isinstance(source, MixedChunks):
        pytest.skip("the ranks of a mixture have the same number of rows: up to one less than there are are left out")
    whole = share * size
    counts = [counts[0] + whole, *counts[1:]]
    options = {"batch_size": share, "last_batch": rule, "window": window, "counted": True, "num_workers": 0}
    ranks = []
    for rank in range(size):
        with source.loader(counts, world=(rank, size), **options) as loader:
            ranks.append(list(loader))
    total = sum(counts)
    assert {len(batches) for batches in ranks} == {total // whole if rule == "drop" else -(-total // whole)}
    times = Counter(number for batches in ranks for batch in batches for number in real_ids(batch))
    if rule == "drop":
        assert len(times) == total // whole * whole
    else:
        assert set(times) == set(range(total))
    assert sum(times.values()) == len(times) + (-total % whole if rule == "wrap" else 0)


def test_wrap_repeats_recent_samples_and_not_one_of_them_many_times(source):
    (*_, last) = ids_of(source.loader([100], batch_size=33, window=1, last_batch="wrap"))
    assert max(Counter(last).values()) == 1


def test_chunks_without_a_whole_batch_are_refused_when_short_ones_are_dropped(tmp_path):
    with (
        loader_of(write_chunks(tmp_path, [3, 4]), batch_size=8, last_batch="drop") as loader,
        pytest.raises(DataDirError, match=r"samples, which make no batch of"),
    ):
        list(loader)


def test_batches_are_full_across_chunk_borders(tmp_path):
    directory = write_chunks(tmp_path, [7, 3, 1, 0, 22, 5])
    assert [len(batch) for batch in ids_of(loader_of(directory, batch_size=8))] == [8, 8, 8, 8, 6]


def test_a_lost_row_is_noticed_at_the_epochs_end(tmp_path, monkeypatch):
    def losing(segments, *arguments, **options):
        for group in cut(segments, *arguments, **options):
            if isinstance(group, EpochEnd) or group.step != 1:
                yield group

    import pyloader.run.run as run

    cut = run.cut
    monkeypatch.setattr(run, "cut", losing)
    with (
        loader_of(write_chunks(tmp_path, [10] * 3), batch_size=10, num_workers=0) as loader,
        pytest.raises(CoverageError, match="delivered 20 samples, and should have delivered 30"),
    ):
        list(loader)
