"""Ranks: equal steps, exactly once over all, the same batches on any number of them, and resuming on another number."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numbered import NotingReader, NumberedReader, ids_of
from products import examples
from ranks import global_batches, rank_loaders, real_ids, through_json, write_counted, write_parts

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 1]
GOLDEN = Path(__file__).parents[1] / "golden" / "streams.json"

counts = st.lists(st.integers(0, 30) | st.integers(0, 1), min_size=1, max_size=8).filter(any)
rules = st.sampled_from(["drop", "pad", "wrap"])


def divisors(number):
    return [size for size in range(1, number + 1) if number % size == 0]


@pytest.mark.slow
@settings(max_examples=examples(200))
@given(
    counts=counts,
    num_streams=st.integers(2, 8),
    share=st.integers(1, 6),
    window=st.integers(1, 6),
    seed=st.integers(0, 2**32),
    last_batch=rules,
    shuffle=st.booleans(),
    data=st.data(),
)
def test_every_sample_comes_once_over_all_ranks_less_what_the_rule_says(
    tmp_path_factory, counts, num_streams, share, window, seed, last_batch, shuffle, data
):
    total, whole = sum(counts), share * num_streams
    assume(total >= (whole if last_batch == "drop" else num_streams))
    directory = write_counted(tmp_path_factory.mktemp("chunks"), counts)
    size = data.draw(st.sampled_from(divisors(num_streams)))
    loaders = rank_loaders(
        directory,
        size,
        num_streams=num_streams,
        batch_size=whole // size,
        seed=seed,
        last_batch=last_batch,
        shuffle=shuffle,
        shuffle_window=window if shuffle else None,
    )
    runs = [list(loader) for loader in loaders]
    steps = total // whole if last_batch == "drop" else -(-total // whole)
    assert [len(run) for run in runs] == [steps] * size == [len(loader) for loader in loaders]
    assert all(len(batch["id"]) == whole // size for run in runs for batch in run)
    times = Counter(number for run in runs for batch in run for number in real_ids(batch))
    stats = [loader.stats() for loader in loaders]
    dropped, filled = sum(found.dropped for found in stats), sum(found.filled for found in stats)
    if last_batch == "drop":
        assert max(times.values()) == 1
        assert (dropped, filled) == (total - len(times), 0) == (total % whole, 0)
    else:
        assert set(times) == set(range(total))
        assert (dropped, filled) == (0, -total % whole)
        assert sum(times.values()) == total + (filled if last_batch == "wrap" else 0)


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(
    counts=counts,
    num_streams=st.sampled_from([2, 4, 6, 12]),
    share=st.integers(1, 4),
    window=st.integers(1, 6),
    seed=st.integers(0, 2**32),
    last_batch=rules,
)
def test_the_batches_over_all_ranks_are_the_same_on_every_number_of_them(
    tmp_path_factory, counts, num_streams, share, window, seed, last_batch
):
    whole = share * num_streams
    assume(sum(counts) >= (whole if last_batch == "drop" else num_streams))
    directory = write_counted(tmp_path_factory.mktemp("chunks"), counts)
    options = {"seed": seed, "last_batch": last_batch, "shuffle": True, "shuffle_window": window, "num_epochs": 2}
    found = [
        global_batches(rank_loaders(directory, size, num_streams=num_streams, batch_size=whole // size, **options))
        for size in divisors(num_streams)
    ]
    assert all(batches == found[0] for batches in found)


@pytest.mark.slow
@settings(max_examples=examples(25))
@given(
    counts=counts,
    num_streams=st.sampled_from([2, 4, 6]),
    share=st.integers(1, 4),
    window=st.integers(1, 5),
    last_batch=rules,
    data=st.data(),
)
def test_a_run_goes_on_at_every_step_on_another_number_of_ranks(
    tmp_path_factory, counts, num_streams, share, window, last_batch, data
):
    whole = share * num_streams
    assume(sum(counts) >= (whole if last_batch == "drop" else num_streams))
    directory = write_counted(tmp_path_factory.mktemp("chunks"), counts)
    options = {"last_batch": last_batch, "shuffle": True, "shuffle_window": window, "num_epochs": 2}
    before, after = (data.draw(st.sampled_from(divisors(num_streams))) for _ in range(2))
    loaders = rank_loaders(directory, before, num_streams=num_streams, batch_size=whole // before, **options)
    states, batches = [through_json(loaders[0].state_dict())], []
    while step := global_batches(loaders, 1):
        batches += step
        saved = [through_json(loader.state_dict()) for loader in loaders]
        assert all(state == saved[0] for state in saved)
        states.append(saved[-1])
    for k, state in enumerate(states):
        resumed = rank_loaders(directory, after, batch_size=whole // after, **options)
        for loader in resumed:
            loader.load_state_dict(state)
        assert global_batches(resumed) == batches[k:]
        assert [loader.steps_done for loader in resumed] == [len(batches)] * after


@pytest.mark.slow
def test_a_run_that_changes_its_ranks_again_and_again_is_the_uninterrupted_run(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    options = {"shuffle": True, "last_batch": "wrap", "num_epochs": None}
    wanted = global_batches(rank_loaders(directory, 4, num_streams=12, batch_size=6, **options), 120)
    found, chance = [], random.Random(0)
    state = rank_loaders(directory, 1, num_streams=12, batch_size=24, **options)[0].state_dict()
    while len(found) < 120:
        size = chance.choice([1, 2, 3, 4, 6, 12])
        loaders = rank_loaders(directory, size, batch_size=24 // size, **options)
        for loader in loaders:
            loader.load_state_dict(state)
        found += global_batches(loaders, chance.randrange(12))
        state = through_json(loaders[-1].state_dict())
    assert found[:120] == wanted


def test_the_parts_of_one_file_are_read_on_2_ranks_then_4_then_1_as_files_are_on_one(tmp_path):
    options = {"shuffle": True, "last_batch": "wrap", "num_epochs": None}
    counts = [count for count in COUNTS if count]  # no part is empty
    files, file = write_counted(tmp_path / "files", counts), write_parts(tmp_path / "parts", counts)
    wanted = global_batches(rank_loaders(files, 1, num_streams=4, batch_size=8, **options), 60)
    found, state = [], None
    for size in (2, 4, 1):
        streams = {} if found else {"num_streams": 4}
        loaders = rank_loaders(file, size, batch_size=8 // size, **streams, **options)
        for loader in loaders if state else ():
            loader.load_state_dict(state)
        found += global_batches(loaders, 20)
        state = through_json(loaders[-1].state_dict())
    assert found == wanted


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(
    counts=counts,
    per_rank=st.integers(1, 4),
    share=st.integers(1, 20),
    window=st.integers(1, 4),
    last_batch=rules,
    num_workers=st.integers(1, 3),
    num_readers=st.integers(1, 3),
    text=st.booleans(),
)
def test_threads_and_a_queue_that_is_just_large_enough_change_nothing(
    tmp_path_factory, counts, per_rank, share, window, last_batch, text, **threads
):
    assume(sum(counts) >= (2 * per_rank * share if last_batch == "drop" else 2 * per_rank))
    directory = write_counted(tmp_path_factory.mktemp("chunks"), counts)
    options = {"shuffle": True, "shuffle_window": window, "last_batch": last_batch, "num_epochs": 2}
    options |= {"num_streams": 2 * per_rank, "batch_size": share * per_rank}
    width = min(window, len(counts))
    needed = width * per_rank + (width > 1)
    threaded = rank_loaders(directory, 2, reader=NumberedReader(text=text), max_queue_size=needed, **threads, **options)
    assert global_batches(threaded) == global_batches(rank_loaders(directory, 2, **options))
    for loader in threaded:
        loader.close()
        assert loader.stats().resident_peak <= needed


@pytest.mark.slow
def test_the_batches_of_four_streams_are_those_that_were_pinned(tmp_path):
    """Changing this file is an ORDER CHANGE: every saved state of users goes on in another order."""
    directory = write_counted(tmp_path, [9, 4, 0, 12, 7, 1])
    found = {}
    for window, last_batch in itertools.product([1, 2, 6], ["drop", "pad", "wrap"]):
        options = {"batch_size": 4, "shuffle": True, "shuffle_window": window, "seed": 3, "last_batch": last_batch}
        loaders = rank_loaders(directory, 2, num_streams=4, num_epochs=2, **options)
        found[f"window {window}, {last_batch}"] = global_batches(loaders)
    assert found == json.loads(GOLDEN.read_text())


@pytest.mark.slow
def test_one_chunk_and_64_ranks(tmp_path):
    directory = write_counted(tmp_path, [1000])
    loaders = rank_loaders(directory, 64, batch_size=3, shuffle=True, last_batch="drop")
    runs = [ids_of(loader) for loader in loaders]
    assert {len(run) for run in runs} == {5}
    ids = [number for run in runs for batch in run for number in batch]
    assert len(set(ids)) == len(ids) == 5 * 64 * 3
    assert sum(loader.stats().dropped for loader in loaders) == 40


def test_each_rank_reads_only_its_own_stretches(tmp_path):
    reader = NotingReader()
    directory = write_counted(tmp_path, [10, 0] * 20)
    for loader in rank_loaders(directory, 3, reader=reader, batch_size=4, shuffle=True, last_batch="drop"):
        reader.read.clear()
        list(loader)
        assert len(reader.read) == len(set(reader.read)) <= 20 / 3 + 2


def test_without_shuffle_each_rank_has_its_stretch_in_file_order(tmp_path):
    directory = write_counted(tmp_path, [5, 0, 7, 4])
    runs = [ids_of(loader) for loader in rank_loaders(directory, 2, batch_size=4, last_batch="drop")]
    assert runs == [[[0, 1, 2, 3], [4, 5, 6, 7]], [[8, 9, 10, 11], [12, 13, 14, 15]]]


def test_the_readers_shuffle_mixes_the_rows_of_each_chunk_only(tmp_path):
    directory = write_counted(tmp_path, [8, 8, 8])
    loaders = rank_loaders(directory, 2, reader=NumberedReader(shuffle=True), batch_size=4, last_batch="drop")
    batches = global_batches(loaders)
    (first, middle, last) = batches
    assert sorted(first[:4] + middle[:4]) == list(range(8)) != first[:4] + middle[:4]
    assert sorted(middle[4:] + last[4:]) == list(range(16, 24))
    assert sorted(last[:4] + first[4:]) == list(range(8, 16))
    assert [[8 * int(chunk[6:10]) + row for chunk, row in loaders[1].locate(step)] for step in range(3)] == batches


def test_a_stretch_has_other_rows_of_a_chunk_in_every_epoch(tmp_path):
    directory = write_counted(tmp_path, [1000])
    first, _ = rank_loaders(directory, 2, batch_size=100, shuffle=True, last_batch="drop")
    epochs = [{number for batch in ids_of(first) for number in batch} for _ in range(2)]
    assert 150 < len(epochs[0] & epochs[1]) < 350


def test_streams_do_not_share_their_permutations(tmp_path):
    directory = write_counted(tmp_path, [100] * 8)
    loaders = rank_loaders(directory, 2, batch_size=400, shuffle=True, shuffle_window=4, last_batch="drop")
    in_order_of_appearance = []
    for loader in loaders:
        chunks = (next(loader)["id"] // 100).tolist()
        in_order_of_appearance.append([list(dict.fromkeys(chunks)).index(chunk) for chunk in chunks])
    assert in_order_of_appearance[0] != in_order_of_appearance[1]


def test_an_epoch_that_has_been_received_whole_ends_on_every_rank(tmp_path):
    directory = write_counted(tmp_path, [10, 10])
    options = {"batch_size": 3, "shuffle": True, "last_batch": "drop"}
    loaders = rank_loaders(directory, 2, **options)
    assert len(global_batches(loaders, 3)) == 3
    state = loaders[1].state_dict()
    for loader in rank_loaders(directory, 2, **options):
        loader.load_state_dict(state)
        assert loader.epochs_done == 0
        assert list(loader) == []
        assert loader.epochs_done == 1
        assert len(list(loader)) == 3


def test_epochs_and_steps_are_counted_as_they_are_received(tmp_path):
    directory = write_counted(tmp_path, [10, 10])
    _, loader = rank_loaders(directory, 2, batch_size=4, last_batch="pad", num_epochs=2)
    seen = [(loader.get_epoch(), loader.epochs_done, loader.steps_done) for _ in loader]
    assert seen == [(0, 0, 1), (0, 0, 2), (0, 1, 3), (1, 1, 4), (1, 1, 5), (1, 1, 6)]
    assert (loader.epochs_done, loader.steps_done) == (2, 6)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_comes_after_the_good_batches_of_all_streams_and_the_state_stays(tmp_path, num_workers):
    directory = write_counted(tmp_path, [12] * 12)
    options = {"num_streams": 4, "batch_size": 8, "shuffle": True, "shuffle_window": 2, "last_batch": "drop"}
    wanted = global_batches(rank_loaders(directory, 1, **options))
    broken = directory / rank_loaders(directory, 1, **options)[0].locate(len(wanted) - 1)[0][0]
    sound = broken.read_text()
    broken.write_text("x" * len(sound))
    (loader,) = rank_loaders(directory, 1, num_workers=num_workers, **options)
    found = []
    with loader, pytest.raises(ValueError, match=r"not enough values|invalid literal"):
        for batch in loader:
            found += ids_of([batch])
    assert 0 < len(found) < len(wanted)
    broken.write_text(sound)
    (resumed,) = rank_loaders(directory, 1, **options)
    resumed.load_state_dict(through_json(loader.state_dict()))
    assert found + ids_of(resumed) == wanted


def test_peek_and_reset_keep_the_streams_of_the_state(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    options = {"shuffle": True, "last_batch": "drop"}
    (saving,) = rank_loaders(directory, 1, num_streams=4, batch_size=8, **options)
    batches = ids_of(saving)
    (loader,) = rank_loaders(directory, 1, batch_size=8, **options)
    loader.load_state_dict(saving.state_dict())
    loader.reset()
    assert ids_of([loader.peek()]) == batches[:1]
    assert ids_of(loader) == batches
