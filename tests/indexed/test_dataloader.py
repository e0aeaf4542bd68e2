"""DataLoader over random access: its forms, its order, and the laws."""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyloader import DataCollator, PaddingDataCollator
from pyloader.errors import ClosedError, CollateError, CoverageError, ForkError, StallError, StateError
from pyloader.indexed import (
    DataLoader,
    Dataset,
    IIDSampler,
    InMemoryDataset,
    NPDataset,
    RangeDataset,
    SequentialSampler,
    WeightedSampler,
)

ENGINES = pytest.mark.parametrize("num_workers", [0, 1, 3])
RULES = ["keep", "drop", "pad", "wrap"]


class DiskGone(OSError):
    """An error class of the user's."""


class Numbers(Dataset):
    """Item i is i; taking calls `on_take` first."""

    def __init__(self, length, on_take=lambda indices: None):
        self.length, self.on_take = length, on_take

    def __len__(self):
        return self.length

    def take(self, indices):
        self.on_take(indices)
        return indices.copy()


def ids_of(batches):
    return [(batch["data"] if isinstance(batch, dict) else batch).tolist() for batch in batches]


def flat(lists):
    return [number for numbers in lists for number in numbers]


def drain(batches):
    """Return the batches before the error, and the error."""
    found = []
    with pytest.raises(BaseException) as caught:
        for batch in batches:
            found += ids_of([batch])
    return found, caught.value


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("pyloader-")}


# What goes in, and what comes out


def test_a_dataset_and_its_labels_give_data_and_label():
    images = np.arange(60, dtype=np.float32).reshape(20, 3)
    with DataLoader(images, np.arange(20), batch_size=8) as loader:
        batch = next(loader)
    assert list(batch) == ["data", "label"]
    np.testing.assert_array_equal(batch["data"], images[batch["label"]])


def test_datasets_by_name_give_columns_of_these_names():
    streams = {"a": np.arange(20), "b": RangeDataset(100, 120), "c": [str(n) for n in range(20)]}
    with DataLoader(streams, batch_size=8) as loader:
        batch = next(loader)
    assert list(batch) == ["a", "b", "c"]
    assert (batch["b"] - batch["a"]).tolist() == [100] * 8
    assert batch["c"] == [str(n) for n in batch["a"]]


def test_a_single_dataset_gives_its_rows():
    with DataLoader(RangeDataset(0, 20), batch_size=8, shuffle=False) as loader:
        assert next(loader).tolist() == list(range(8))


def test_lists_of_numbers_become_arrays_and_others_stay_lists():
    with DataLoader([[1.5, 2], [3, 4]], ["a", "b"], batch_size=2, shuffle=False) as loader:
        batch = next(loader)
    np.testing.assert_array_equal(batch["data"], [[1.5, 2], [3, 4]])
    assert batch["label"] == ["a", "b"]


def test_datasets_of_unequal_lengths_are_refused_naming_both():
    with pytest.raises(ValueError, match="data has 20 items and label has 19"):
        DataLoader(np.arange(20), np.arange(19))
    with pytest.raises(ValueError, match="x has 20 items and y has 5"):
        DataLoader({"x": np.arange(20), "y": np.arange(5)})


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.arange(0),), {}, ValueError, "ndarray of 0 has no items: there is nothing to load"),
        ((5,), {}, TypeError, "items must be a list, an array"),
        (({"a": np.arange(3)}, np.arange(3)), {}, TypeError, "give it a name: {..., 'label': y}"),
        ((np.arange(3),), {"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ((np.arange(3),), {"num_workers": -1}, ValueError, "num_workers must be at least 0, got -1"),
        ((np.arange(3),), {"prefetch_size": -1}, ValueError, "prefetch_size must be at least 0, got -1"),
        ((np.arange(3),), {"num_epochs": 0}, ValueError, "num_epochs must be at least 1, got 0"),
        ((np.arange(3),), {"last_batch": "none"}, ValueError, r'"keep", .*"wrap" or "span", not \'none\''),
        ((np.arange(3),), {"last_batch": "span", "num_epochs": 1}, ValueError, '"span" needs num_epochs=None'),
        ((np.arange(3),), {"last_batch": "drop"}, ValueError, "3 items make no batch of 256 with last_batch='drop'"),
        ((np.arange(3),), {"sampler": [1, 2]}, TypeError, "must be a pyloader.indexed.Sampler, got a list"),
        ((np.arange(3),), {"sampler": SequentialSampler(4)}, ValueError, "chooses from 4 items; the dataset has 3"),
        ((np.arange(3),), {"transform": 5}, TypeError, "transform must be a function of a batch, got 5"),
        ((np.arange(3),), {"datacollator": len}, TypeError, "a function can be given as transform="),
        ((np.arange(3),), {"world": 4}, TypeError, r"world must be .*\(rank, size\) or a World, got 4"),
        ((np.arange(3),), {"world": (2, 2)}, ValueError, "must be below size=2, got 2"),
        ((np.arange(3),), {"world": (0, 2), "last_batch": "keep"}, ValueError, 'write "drop", "pad" or "wrap"'),
        ((np.arange(3),), {"stall_timeout_seconds": 0}, ValueError, "stall_timeout_seconds must be a number"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(arguments, options, error, message):
    with pytest.raises(error, match=message):
        DataLoader(*arguments, **options)


def test_transform_gets_the_rows_and_makes_the_batch():
    with DataLoader(np.arange(20), batch_size=4, shuffle=False, transform=lambda rows: rows * 10) as loader:
        assert next(loader).tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize(
    "transform",
    [
        lambda pair: (pair[0] * 2, pair[1] + 1),
        lambda data, label: (data * 2, label + 1),
        lambda pair: {"data": pair[0] * 2, "label": pair[1] + 1},
    ],
    ids=["of the pair", "of data and label", "to a dict"],
)
def test_transform_of_a_pair_can_be_spelled_in_each_way(transform):
    with DataLoader(np.arange(20), np.arange(20), batch_size=2, shuffle=False, transform=transform) as loader:
        batch = next(loader)
    assert {name: values.tolist() for name, values in batch.items()} == {"data": [0, 2], "label": [1, 2]}


def test_a_transform_that_returns_no_pair_is_told_so():
    with (
        DataLoader(np.arange(20), np.arange(20), transform=lambda pair: pair[0]) as loader,
        pytest.raises(TypeError, match=r"must return the pair \(data, label\), or a dict; it returned a ndarray"),
    ):
        next(loader)


def test_a_datacollator_makes_the_batch_of_the_columns():
    class Summing(DataCollator):
        def collate_batch(self, columns):
            return {name: int(values.sum()) for name, values in columns.items()}

    with DataLoader({"x": np.arange(8)}, batch_size=8, datacollator=Summing()) as loader:
        assert next(loader) == {"x": 28}
    with DataLoader(
        np.arange(8), batch_size=8, datacollator=Summing(), transform=lambda rows: {"data": rows * 2}
    ) as loader:
        assert next(loader) == {"data": 56}
    ragged = InMemoryDataset([[1], [2, 3]])
    with DataLoader(ragged, batch_size=2, shuffle=False, datacollator=PaddingDataCollator(pad_value=0)) as loader:
        assert next(loader)["data"].tolist() == [[1, 0], [2, 3]]


def test_batches_are_writable_disjoint_and_the_users_own(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(60_000).reshape(20_000, 3))
    source = np.arange(60_000).reshape(20_000, 3)
    for dataset in (NPDataset(tmp_path / "x.npy"), source):
        with DataLoader(dataset, batch_size=700, num_epochs=2, last_batch="drop") as loader:
            kept = list(loader)
        copies = [batch.copy() for batch in kept]
        for number, batch in enumerate(kept):
            batch[:] = number
        for number, batch in enumerate(kept):
            assert (batch == number).all()
        assert len(np.unique(np.concatenate(copies[: len(copies) // 2]), axis=0)) == 28 * 700
    assert source[5].tolist() == [15, 16, 17]


# How long it is


def test_it_is_endless_unless_told_otherwise_and_len_says_so():
    loader = DataLoader(np.arange(10), batch_size=4)
    with pytest.raises(TypeError, match="endless and has no length: give num_epochs=1, or stop the loop"):
        len(loader)
    with loader:
        assert len(ids_of(islice(loader, 100))) == 100
    assert loader


@pytest.mark.parametrize(("rule", "batches"), [("keep", 6), ("drop", 4), ("pad", 6), ("wrap", 6)])
def test_len_is_the_batches_of_a_run(rule, batches):
    with DataLoader({"data": np.arange(10)}, batch_size=4, num_epochs=2, last_batch=rule) as loader:
        assert len(loader) == len(list(loader)) == batches


def test_repr_shows_what_was_resolved():
    shown = repr(DataLoader(np.arange(10), np.arange(10), seed=3, world=(1, 2), transform=abs))
    assert shown == (
        "DataLoader(ndarray of 10, ndarray of 10, num_workers=4, batch_size=256, prefetch_size=4, transform=abs, "
        "num_epochs=None, sampler=PermutationSampler(seed=3), datacollator=None, last_batch='span', "
        "worker_kind='thread', max_skipped=0, stall_timeout_seconds=None, progress=False, "
        "world=World(rank=1, size=2, num_streams=None), starts_over=False)"
    )


# Law 2: exactly once


@settings(max_examples=120)
@given(
    length=st.integers(1, 60),
    batch_size=st.integers(1, 25),
    rule=st.sampled_from(RULES),
    num_workers=st.sampled_from([0, 0, 2]),
    seed=st.integers(0, 2**32),
)
def test_every_item_comes_once_an_epoch_less_what_the_rule_says(length, batch_size, rule, num_workers, seed):
    if rule == "drop":
        batch_size = min(batch_size, length)
    with DataLoader(
        {"data": np.arange(length)},
        num_workers=num_workers,
        batch_size=batch_size,
        seed=seed,
        num_epochs=2,
        last_batch=rule,
    ) as loader:
        batches = list(loader)
    for epoch in (batches[: len(batches) // 2], batches[len(batches) // 2 :]):
        ids = flat(ids_of(epoch))
        if rule == "pad":
            ids = [number for batch in epoch for number in batch["data"][batch["mask"]].tolist()]
        whole = length // batch_size * batch_size
        if rule == "drop":
            assert len(ids) == len(set(ids)) == whole
        elif rule == "wrap":
            assert set(ids) == set(range(length))
            assert ids[length:] == [ids[(place - batch_size) % length] for place in range(length, len(ids))]
        else:
            assert sorted(ids) == list(range(length))
        if rule != "keep":
            assert {len(batch["data"]) for batch in epoch} == {batch_size}


@settings(max_examples=60)
@given(length=st.integers(1, 40), batch_size=st.integers(1, 50), num_workers=st.sampled_from([0, 3]))
def test_endless_batches_are_whole_and_epochs_follow_without_gap(length, batch_size, num_workers):
    with DataLoader(np.arange(length), num_workers=num_workers, batch_size=batch_size) as loader:
        ids = ids_of(islice(loader, 5 * length // batch_size + 2))
    assert {len(batch) for batch in ids} == {batch_size}
    line = flat(ids)
    for start in range(0, len(line) - length + 1, length):
        assert sorted(line[start : start + length]) == list(range(length))


@settings(max_examples=80)
@given(
    length=st.integers(1, 60),
    batch_size=st.integers(1, 6),
    world_size=st.integers(1, 5),
    rule=st.sampled_from(["drop", "pad", "wrap", "span"]),
)
def test_ranks_share_out_the_batches_that_one_rank_would_get(length, batch_size, world_size, rule):
    if rule == "drop" and length < batch_size * world_size:
        return

    def batches_of(world, size):
        with DataLoader(
            {"data": np.arange(length)}, None, 0, size, world=world, last_batch=rule, num_epochs=None
        ) as loader:
            return list(islice(loader, 9))

    whole = batches_of((0, 1), batch_size * world_size)
    parts = [batches_of((rank, world_size), batch_size) for rank in range(world_size)]
    for step, batch in enumerate(whole):
        for name in batch:
            joined = np.concatenate([part[step][name] for part in parts])
            np.testing.assert_array_equal(joined, batch[name])


def test_a_take_that_loses_rows_is_an_error():
    class Losing(Numbers):
        def take(self, indices):
            return indices[1:]

    with (
        DataLoader(Losing(20), batch_size=4) as loader,
        pytest.raises(CoverageError, match="was asked for 4 rows and returned 3"),
    ):
        next(loader)


def test_padding_needs_names():
    with (
        DataLoader(np.arange(10), batch_size=4, last_batch="pad") as loader,
        pytest.raises(CollateError, match=r'Give the dataset a name: DataLoader\({"data": dataset}'),
    ):
        next(loader)
    with (
        DataLoader({"mask": np.arange(10)}, batch_size=4, last_batch="pad") as loader,
        pytest.raises(CollateError, match="'mask', and the dataset has one"),
    ):
        next(loader)


# Law 3: the same seed, the same batches


@settings(max_examples=60)
@given(
    num_workers=st.integers(0, 4),
    prefetch_size=st.integers(0, 9),
    rule=st.sampled_from([*RULES, "span"]),
    sampler=st.sampled_from([None, IIDSampler(53, 3), WeightedSampler(range(53), 3)]),
)
def test_threads_and_prefetching_change_nothing(num_workers, prefetch_size, rule, sampler):
    def batches_of(num_workers, prefetch_size):
        with DataLoader(
            {"data": np.arange(53)},
            None,
            num_workers,
            7,
            prefetch_size,
            sampler=sampler,
            last_batch=rule,
            num_epochs=None if rule == "span" else 9,
        ) as loader:
            return ids_of(islice(loader, 60))

    assert batches_of(num_workers, prefetch_size) == batches_of(0, 4)


def test_without_shuffle_the_order_is_that_of_the_dataset():
    with DataLoader(np.arange(10), batch_size=4, shuffle=False, num_epochs=1) as loader:
        assert ids_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_seeds_and_epochs_have_orders_of_their_own():
    def epochs(seed):
        with DataLoader(np.arange(100), batch_size=100, seed=seed, num_epochs=2) as loader:
            return ids_of(loader)

    assert epochs(7) == epochs(7)
    assert len({tuple(epoch) for seed in (7, 8) for epoch in epochs(seed)}) == 4


# Law 4: resume exactly


@settings(max_examples=25)
@given(
    length=st.integers(1, 40),
    batch_size=st.integers(2, 12),
    rule=st.sampled_from(["keep", "pad", "wrap", "span"]),
    num_epochs=st.integers(1, 3),
)
def test_resuming_after_every_batch_continues_with_the_next(length, batch_size, rule, num_epochs):
    num_epochs = None if rule == "span" else num_epochs
    num_batches = 12 if num_epochs is None else num_epochs * -(-length // batch_size)

    def fresh(num_workers):
        return DataLoader(
            {"data": np.arange(length)}, None, num_workers, batch_size, last_batch=rule, num_epochs=num_epochs
        )

    with fresh(0) as loader:
        states, batches = [loader.state_dict()], []
        for batch in islice(loader, num_batches):
            batches += ids_of([batch])
            states.append(json.loads(json.dumps(loader.state_dict())))
    for k, state in enumerate(states):
        with fresh(k % 3) as resumed:
            resumed.load_state_dict(state)
            assert resumed.steps_done == k
            assert ids_of(islice(resumed, num_batches - k if rule == "span" else None)) == batches[k:]
            assert resumed.steps_done == num_batches


def test_the_state_says_what_was_received_not_what_was_made_ahead():
    with DataLoader(np.arange(100), batch_size=4) as loader:
        assert loader.state_dict()["step"] == 0
        for step, _ in enumerate(loader, start=1):
            assert loader.state_dict()["step"] == step
            if step == 7:
                break
        assert loader.steps_done == 7
    assert len(json.dumps(loader.state_dict())) < 1000


def test_a_training_script_that_is_killed_anywhere_sees_each_epoch_whole():
    """`for epoch in range(loader.epochs_done, 3)`, killed after every possible batch."""

    def train(kill_after, state):
        seen = []
        with DataLoader(np.arange(21), batch_size=8, num_epochs=1, num_workers=0) as loader:
            if state is not None:
                loader.load_state_dict(state)
            for _ in range(loader.epochs_done, 3):
                for batch in loader:
                    seen += ids_of([batch])
                    state = json.loads(json.dumps(loader.state_dict()))
                    if len(seen) == kill_after:
                        return seen, state
        return seen, state

    whole, _ = train(None, None)
    assert len(whole) == 9
    for kill_after in range(1, len(whole) + 1):
        before, state = train(kill_after, None)
        after, _ = train(None, state)
        assert before + after == whole


def test_seeking_is_going_to_a_step_whatever_it_is():
    with DataLoader(np.arange(100), batch_size=7) as loader:
        wanted = ids_of(islice(loader, 60))
        for step in (59, 0, 33):
            loader.seek(step)
            assert ids_of([next(loader)]) == [wanted[step]]
        loader.reset()
        assert ids_of(islice(loader, 3)) == wanted[:3]
        batches = iter(loader)
        batches.seek(50)
        assert ids_of([next(batches)]) == [wanted[50]]


def test_seeking_costs_the_same_everywhere():
    taken = []
    with DataLoader(Numbers(10**6, lambda indices: taken.append(len(indices))), num_workers=0) as loader:
        loader.seek(10**9)
        next(loader)
    assert taken == [256]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, r"saved with sampler='PermutationSampler\(seed=42\)'; this loader has sampler='Perm.*seed=1"),
        ({"batch_size": 9}, "saved with global_batch_size=8; this loader has global_batch_size=9"),
        ({"shuffle": False}, "this loader has sampler='SequentialSampler'"),
        ({"num_epochs": 1}, "saved with last_batch='span'; this loader has last_batch='keep'"),
    ],
)
def test_a_state_of_another_order_is_refused_by_name(options, message):
    state = DataLoader(np.arange(50), batch_size=8).state_dict()
    with pytest.raises(StateError, match=message):
        DataLoader(np.arange(50), **{"batch_size": 8, **options}).load_state_dict(state)
    with pytest.raises(StateError, match="saved with length=50; this loader has length=51"):
        DataLoader(np.arange(51), batch_size=8).load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: None, "no state of version 1 but a NoneType"),
        (lambda state: {**state, "version": 2}, "but version 2"),
        (lambda state: {name: state[name] for name in state if name != "step"}, "lacks 'step'"),
        (lambda state: {**state, "step": -1}, "has step=-1"),
        (lambda state: {**state, "order_digest": "0"}, "a NumPy whose random numbers differ"),
    ],
)
def test_what_is_no_state_is_refused(change, message):
    loader = DataLoader(np.arange(50), batch_size=8)
    with pytest.raises(StateError, match=message):
        loader.load_state_dict(change(loader.state_dict()))


def test_workers_ranks_and_epochs_may_change():
    with DataLoader(np.arange(50), None, 2, 8, 9, last_batch="wrap", num_epochs=1) as loader:
        next(loader)
        next(loader)
        state, wanted = loader.state_dict(), ids_of([next(loader)])[0]
    for rank in (0, 1):
        with DataLoader(np.arange(50), None, 0, 4, last_batch="wrap", world=(rank, 2)) as resumed:
            resumed.load_state_dict(state)
            assert ids_of([next(resumed)]) == [wanted[4 * rank : 4 * rank + 4]]


# Iterators


def test_two_iterators_over_one_loader_are_independent():
    with DataLoader(np.arange(100), batch_size=7) as loader:
        fast, slow = iter(loader), iter(loader)
        ahead = ids_of(islice(fast, 20))
        assert slow.steps_done == 0
        assert ids_of(islice(slow, 20)) == ahead
        fast.close()
        assert len(ids_of(islice(slow, 20))) == 20


def test_a_for_goes_on_where_the_last_one_stopped():
    with DataLoader(np.arange(100), batch_size=7) as loader:
        first, second = ids_of(islice(loader, 5)), ids_of(islice(loader, 5))
        third = ids_of([next(loader)])
    with DataLoader(np.arange(100), batch_size=7) as loader:
        assert ids_of(islice(loader, 11)) == first + second + third


def test_after_a_run_the_next_for_gives_the_next_epochs():
    with DataLoader(np.arange(20), batch_size=8, num_epochs=1) as loader:
        first = ids_of(loader)
        with pytest.raises(StopIteration):
            next(loader)
        assert loader.epochs_done == 1
        second = ids_of(loader)
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(20))
    assert first != second


def test_with_starts_over_every_for_begins_at_the_first_batch():
    with DataLoader(np.arange(20), batch_size=8, num_epochs=1, starts_over=True) as loader:
        first = ids_of(loader)
        assert ids_of(loader) == first
        next(iter(loader))
        state = loader.state_dict()
        loader.load_state_dict(state)
        assert ids_of(loader) == first[1:]
        assert ids_of(loader) == first


@ENGINES
def test_progress_counts_what_the_loop_has_received(num_workers):
    """Not what was produced, as loadax counted."""
    with DataLoader(np.arange(21), batch_size=8, num_workers=num_workers, num_epochs=2) as loader:
        seen = [loader.progress()]
        for _ in loader:
            seen.append(loader.progress())
    assert seen == [(0, 42), (8, 42), (16, 42), (21, 42), (29, 42), (37, 42), (42, 42)]
    with DataLoader(np.arange(21), batch_size=8) as loader:
        next(loader)
        assert loader.progress() == (8, None)


def test_a_progress_bar_shows_batches(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with DataLoader(np.arange(21), batch_size=8, num_epochs=1, progress=True) as loader:
        list(loader)
    assert "3/3" in capsys.readouterr().err


# Law 1: bounded


@settings(max_examples=15)
@given(num_workers=st.integers(0, 4), prefetch_size=st.integers(0, 9))
def test_no_more_batches_are_ahead_than_prefetch_size_and_workers(num_workers, prefetch_size):
    rows, lock = [0], threading.Lock()

    def count(indices):
        with lock:
            rows[0] += len(indices)

    with DataLoader(Numbers(1000, count), None, num_workers, 10, prefetch_size) as loader:
        for step in range(60):
            next(loader)
            assert rows[0] <= 10 * (step + 1 + prefetch_size + max(1, num_workers) + max(1, num_workers))


def test_a_shuffled_shard_of_1e9_items_starts_at_once_in_little_memory():
    script = """
    import resource
    from pyloader.indexed import DataLoader, RangeDataset
    dataset = RangeDataset(0, 10**9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shard = dataset.shuffle(1).shard(rank=63, world_size=64)
    with DataLoader(shard) as loader:
        assert len(set(next(loader).tolist())) == 256
    with DataLoader(dataset, world=(63, 64)) as loader:
        assert len(set(next(loader).tolist())) == 256
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) * 1024 < 100e6


# Law 5: never hang, never end early


def failing_at(number, error):
    def on_take(indices):
        if number in indices:
            raise error

    return on_take


@ENGINES
@pytest.mark.parametrize("error", [DiskGone("gone"), KeyError("no such token")], ids=["OSError", "KeyError"])
def test_a_datasets_error_arrives_as_itself_after_the_batches_before_it(num_workers, error):
    dataset = Numbers(1000, failing_at(434, error))
    with DataLoader(dataset, None, num_workers, 4, 16, shuffle=False, num_epochs=1) as loader:
        batches, found = drain(loader)
        assert found is error
        assert batches == [list(range(at, at + 4)) for at in range(0, 432, 4)]
        assert any("while a batch was made (epoch 0, step 108)" in note for note in error.__notes__)
        assert loader.state_dict()["step"] == 108
        dataset.on_take = lambda indices: None  # the disk is there again, but the loop must not go on as if nothing was
        for _ in range(3):
            with pytest.raises(type(error)) as again:
                next(loader)
            assert again.value is error
        assert loader.state_dict()["step"] == 108
        assert ids_of(loader)[0] == [432, 433, 434, 435]


@ENGINES
def test_a_transforms_error_arrives_with_its_place(num_workers):
    def transform(rows):
        if 434 in rows:
            raise DiskGone
        return rows

    with DataLoader(np.arange(1000), None, num_workers, 4, 16, False, transform=transform) as loader:
        batches, error = drain(loader)
    assert type(error) is DiskGone
    assert len(batches) == 108
    assert any("while a batch was made (epoch 0, step 108)" in note for note in error.__notes__)


@ENGINES
def test_a_stop_iteration_in_user_code_does_not_end_the_run(num_workers):
    for options in [
        {"dataset": Numbers(1000, failing_at(434, StopIteration()))},
        {"dataset": np.arange(1000), "transform": lambda rows: rows if 434 not in rows else next(iter(()))},
    ]:
        with DataLoader(
            **options, num_workers=num_workers, batch_size=4, prefetch_size=16, shuffle=False, num_epochs=1
        ) as loader:
            batches, error = drain(loader)
        assert len(batches) == 108
        assert type(error) is RuntimeError
        assert isinstance(error.__cause__, StopIteration)


@ENGINES
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_even_errors_that_are_no_exceptions_arrive_and_the_loop_can_go_on(num_workers, kind):
    dataset = Numbers(100, failing_at(33, kind()))
    with DataLoader(dataset, None, num_workers, 4, shuffle=False, num_epochs=1) as loader:
        batches, error = drain(loader)
        assert type(error) is kind
        dataset.on_take = lambda indices: None
        batches += ids_of([next(loader)])
        assert flat(batches) + flat(ids_of(loader)) == list(range(100))


@ENGINES
def test_a_loop_faster_than_its_workers_gets_every_item(num_workers):
    """loadax lost the last batch, and the original pyloader all of them after a momentarily empty queue."""
    turn = threading.Semaphore(0)

    def wait(indices):
        if num_workers:
            assert turn.acquire(timeout=10)

    with DataLoader(Numbers(300, wait), None, num_workers, 10, 0, shuffle=False, num_epochs=1) as loader:
        turn.release(max(1, num_workers))  # one for each batch that may be in making at once
        seen = []
        for batch in loader:
            seen += batch.tolist()
            turn.release()
    assert seen == list(range(300))


def test_silence_becomes_an_error_that_names_the_step():
    release = threading.Event()

    def stuck(indices):
        if 25 in indices:
            release.wait(timeout=30)

    loader = DataLoader(Numbers(100, stuck), None, 1, 10, 0, shuffle=False, stall_timeout_seconds=0.2)
    try:
        next(loader)
        next(loader)
        threading.Timer(0.5, release.set).start()  # so that closing the threads need not wait
        with pytest.raises(StallError, match=r"(?s)stall_timeout_seconds=0.2.*batch: epoch 0, step 2 for.*stuck"):
            next(loader)
    finally:
        release.set()
        loader.close()


# Law 6: clean


def test_break_keeps_the_threads_and_uses_no_cpu():
    with DataLoader(np.arange(1000), batch_size=5) as loader:
        for _ in loader:
            break
        assert threads()
        before = time.process_time()
        threading.Event().wait(0.3)
        assert time.process_time() - before < 0.05
        assert loader.steps_done == 1


@ENGINES
def test_close_ends_the_threads_of_every_iterator_and_later_use_is_an_error(num_workers):
    """loaderx deadlocked here: its workers sat in get() and put() while close() joined them."""
    loader = DataLoader(np.arange(1000), batch_size=5, num_workers=num_workers)
    next(loader)
    others = [iter(loader), iter(loader)]
    for other in others:
        next(other)
    state = loader.state_dict()
    loader.close()
    loader.close()
    assert not threads()
    assert loader.state_dict() == state
    for use in (lambda: next(loader), lambda: iter(loader), lambda: next(others[0]), lambda: loader.seek(3)):
        with pytest.raises(ClosedError, match="is closed"):
            use()


def test_with_closes_also_after_an_error_in_the_loop():
    with pytest.raises(ZeroDivisionError), DataLoader(np.arange(1000), batch_size=5) as loader:
        for _ in loader:
            1 / 0  # noqa: B018
    assert not threads()
    with DataLoader(np.arange(1000)) as loader, iter(loader) as batches:
        next(batches)
    assert not threads()


def test_a_run_that_has_ended_leaves_no_threads_even_without_close():
    loader = DataLoader(np.arange(100), batch_size=5, num_epochs=1)
    list(loader)
    assert not threads()


def test_loaders_and_iterators_that_are_dropped_are_cleaned_up():
    """loadax leaked a pool for each iterator: its finaliser held the object that it was to finalise."""
    loader = DataLoader(np.arange(1000), batch_size=5)
    first, second = iter(loader), iter(loader)
    next(first)
    next(second)
    gone = [weakref.ref(loader), weakref.ref(first), weakref.ref(second)]
    del loader, first, second
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3
    assert not threads()


def test_close_waits_for_the_call_in_progress_and_then_gives_up(caplog, monkeypatch):
    import pyloader.deliver.lifecycle as lifecycle

    monkeypatch.setattr(lifecycle, "_CLOSE_SECONDS", 0.2)
    release, stuck = threading.Event(), threading.Event()

    def wait(indices):
        if 25 in indices:
            stuck.set()
            release.wait(timeout=30)

    loader = DataLoader(Numbers(100, wait), None, 1, 10, 1, shuffle=False)
    next(loader)
    assert stuck.wait(timeout=10)
    mine = threads()
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING, "pyloader"):
        loader.close()
    assert time.monotonic() - begun < 10
    assert "still running, and left behind: batch: epoch 0, step 2 for 0 s" in caplog.text
    release.set()
    for thread in mine:
        thread.join(timeout=5)


def test_a_loader_used_in_a_forked_child_raises_there():
    with DataLoader(np.arange(1000), None, 2, 5) as loader:
        next(loader)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                for _ in range(50):
                    next(loader)
            except ForkError as exc:
                os.write(writer, str(exc).encode())
            loader.close()
            os._exit(0)
        os.close(writer)
        assert os.waitpid(child, 0)[1] == 0
        with os.fdopen(reader) as answer:
            assert "Make one in each process, after the fork" in answer.read()
        assert len(ids_of(islice(loader, 10))) == 10


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise KeyError('stop')"])
def test_a_script_that_stops_an_endless_loop_exits_at_once(ending):
    """loaderx 0.0.5 and loadax left a thread behind that kept the process from exiting."""
    script = f"""
    import sys, numpy as np
    from pyloader.indexed import DataLoader
    loader = DataLoader(np.arange(1000), np.arange(1000), batch_size=5)
    for i, batch in enumerate(loader):
        if i >= 3:
            break
    print("delivered", flush=True)
    {ending}
    """
    begun = time.monotonic()
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert time.monotonic() - begun < 10
    assert done.stdout == "delivered\n"
    assert done.returncode == {"": 0, "sys.exit(3)": 3}.get(ending, 1)
    assert "pyloader" not in done.stderr
