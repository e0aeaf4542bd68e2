"""Law 3: the batches are a function of the chunks, seed, batch size and shuffle options, and of nothing else."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import NumberedReader, ids_of, loader_of, write_chunks
from products import examples

from pyloader import DataLoader

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 5]
GOLDEN = Path(__file__).parents[1] / "golden" / "batches.json"


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(
    num_workers=st.integers(0, 4),
    num_readers=st.integers(1, 4),
    ahead=st.integers(0, 8),
    window=st.integers(1, 6),
    last_batch=st.sampled_from(["keep", "drop", "pad", "wrap"]),
    text=st.booleans(),
)
def test_threads_and_queues_change_nothing(source, num_workers, num_readers, ahead, **options):
    options |= {"batch_size": 16, "num_epochs": 2}
    with source.loader(COUNTS, num_workers=0, ahead=0, **options) as inline:
        wanted = ids_of(inline)
    with source.loader(COUNTS, num_workers=num_workers, num_readers=num_readers, ahead=ahead, **options) as threaded:
        assert ids_of(threaded) == wanted


def test_batches_with_and_without_text_have_the_same_rows(source):
    sliced = ids_of(source.loader(COUNTS, batch_size=16, window=4))
    assert ids_of(source.loader(COUNTS, text=True, batch_size=16, window=4)) == sliced


def test_each_epoch_has_an_order_of_its_own_however_it_is_asked_for(source):
    with source.loader(COUNTS, batch_size=16, window=4) as loader:
        first, second = ids_of(loader), ids_of(loader)
    assert first != second
    with source.loader(COUNTS, batch_size=16, window=4, num_epochs=2) as both:
        assert ids_of(both) == first + second


def test_seeds_differ_and_do_not_run_into_each_other(source):
    def epochs(seed):
        with source.loader(COUNTS, batch_size=sum(COUNTS), window=4, seed=seed, num_epochs=2) as loader:
            return ids_of(loader)

    assert epochs(7) == epochs(7)
    assert len({tuple(epoch) for seed in (7, 8) for epoch in epochs(seed)}) == 4


def test_without_shuffle_the_order_is_that_of_the_samples(source):
    batches = ids_of(source.loader(COUNTS, batch_size=16))
    assert list(itertools.chain(*batches)) == list(range(sum(COUNTS)))


def test_the_global_random_state_is_neither_read_nor_changed(source):
    """loaderx 0.0.5 seeded it, and loadax shuffled by it."""

    def everything():
        with source.loader(COUNTS, batch_size=9, window=4, num_epochs=2) as loader:
            return ids_of(loader)

    np.random.seed(1)
    random.seed(1)
    before, found = (np.random.get_state()[1].tolist(), random.getstate()), everything()
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before
    np.random.seed(2)
    random.seed(2)
    assert everything() == found


def test_the_batches_are_those_that_were_pinned(tmp_path):
    """Changing this file is an ORDER CHANGE: every saved state of users goes on in another order."""
    directory = write_chunks(tmp_path, [9, 4, 0, 12, 7, 1])
    found = {}
    for window, last_batch in itertools.product([1, 2, 4, 6], ["keep", "wrap"]):
        with loader_of(
            directory, batch_size=8, shuffle=True, shuffle_window=window, seed=3, last_batch=last_batch, num_epochs=2
        ) as loader:
            found[f"window {window}, {last_batch}"] = ids_of(loader)
    assert found == json.loads(GOLDEN.read_text())


def test_the_directory_may_move(tmp_path):
    first = write_chunks(tmp_path / "here", COUNTS)
    wanted = ids_of(loader_of(first, batch_size=16, shuffle=True))
    second = shutil.move(first, tmp_path / "there")
    assert ids_of(loader_of(Path(second), batch_size=16, shuffle=True)) == wanted


def test_the_readers_shuffle_mixes_rows_inside_each_chunk_only(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    loader = DataLoader(NumberedReader(shuffle=True), data_dir=directory, batch_size=1)
    ids = list(itertools.chain(*ids_of(loader)))
    assert ids != sorted(ids)
    at = 0
    for count in COUNTS:
        assert sorted(ids[at : at + count]) == list(range(at, at + count))
        at += count


def test_a_full_window_is_a_full_shuffle_and_a_small_one_is_not(tmp_path):
    directory = write_chunks(tmp_path, [50] * 20)

    def effective_chunks(window):
        with loader_of(
            directory, batch_size=100, shuffle=True, shuffle_window=window, max_queue_size=30, num_workers=0
        ) as loader:
            batches = ids_of(loader)
        shares = [np.bincount(np.array(batch) // 50, minlength=20) / 100 for batch in batches]
        return np.mean([1 / np.square(share).sum() for share in shares])

    assert effective_chunks(1) == pytest.approx(2, abs=0.5)
    assert effective_chunks(8) > 6
    assert effective_chunks(20) > 14


def test_the_last_batches_of_an_epoch_are_mixed_too(tmp_path):
    directory = write_chunks(tmp_path, [200] * 40)
    with loader_of(directory, batch_size=100, shuffle=True, shuffle_window=8, num_workers=0) as loader:
        batches = ids_of(loader)
    last = batches[-len(batches) // 20 :]
    assert np.mean([len({number // 200 for number in batch}) for batch in last]) > 6
