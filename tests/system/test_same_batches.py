"""Law 3: the batches are a function of the chunks, seed, batch size and shuffle options, and of nothing else."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import NumberedReader, ids_of, loader_of, write_chunks

from pyloader import DataLoader

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 5]
GOLDEN = Path(__file__).parents[1] / "golden" / "batches.json"


@settings(max_examples=60)
@given(
    num_workers=st.integers(0, 4),
    num_readers=st.integers(1, 4),
    extra_queue=st.integers(0, 8),
    window=st.integers(1, 6),
    last_batch=st.sampled_from(["keep", "drop", "pad", "wrap"]),
    text=st.booleans(),
)
def test_threads_and_queues_change_nothing(
    tmp_path_factory, num_workers, num_readers, extra_queue, window, last_batch, text
):
    directory = write_chunks(tmp_path_factory.mktemp("chunks"), COUNTS)
    options = {"batch_size": 16, "shuffle": True, "shuffle_window": window, "last_batch": last_batch, "num_epochs": 2}
    needed = window + 1 if window > 1 else 1
    with loader_of(directory, text=text, num_workers=0, max_queue_size=needed, **options) as inline:
        wanted = ids_of(inline)
    with loader_of(
        directory,
        text=text,
        num_workers=num_workers,
        num_readers=num_readers,
        max_queue_size=needed + extra_queue,
        **options,
    ) as threaded:
        assert ids_of(threaded) == wanted


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


def test_batches_with_and_without_text_have_the_same_rows(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    sliced = ids_of(loader_of(directory, batch_size=16, shuffle=True))
    assert ids_of(loader_of(directory, text=True, batch_size=16, shuffle=True)) == sliced


def test_each_epoch_has_an_order_of_its_own(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    loader = loader_of(directory, batch_size=16, shuffle=True)
    first, second = ids_of(loader), ids_of(loader)
    assert first != second
    with loader_of(directory, batch_size=16, shuffle=True, num_epochs=2) as both:
        assert ids_of(both) == first + second


def test_seeds_differ_and_do_not_run_into_each_other(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    loader = loader_of(directory, batch_size=16, shuffle=True, seed=7)
    ids_of(loader)
    seed_7_epoch_1 = ids_of(loader)
    assert seed_7_epoch_1 != ids_of(loader_of(directory, batch_size=16, shuffle=True, seed=8))


def test_without_shuffle_the_order_is_that_of_the_files(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    assert list(itertools.chain(*ids_of(loader_of(directory, batch_size=16)))) == list(range(sum(COUNTS)))


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
