"""DataLoader over random access: what goes in, what comes out, how long it is, and its iterators."""

from __future__ import annotations

import logging
import sys
from itertools import islice

import numpy as np
import pytest
from item_numbers import ENGINES, flat, ids_of

from pyloader import DataCollator, PaddingDataCollator, World
from pyloader.indexed import (
    DataLoader,
    Dataset,
    InMemoryDataset,
    NPDataset,
    RangeDataset,
    SequentialSampler,
)


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


@pytest.mark.slow
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
    shown = repr(DataLoader(np.arange(10), np.arange(10), 4, seed=3, world=(1, 2), transform=abs))
    assert shown == (
        "DataLoader(ndarray of 10, ndarray of 10, num_workers=4, batch_size=256, prefetch_size=4, transform=abs, "
        "num_epochs=None, sampler=PermutationSampler(seed=3), datacollator=None, last_batch='span', "
        "worker_kind='thread', max_skipped=0, stall_timeout_seconds=None, progress=False, "
        "world=World(rank=1, size=2, num_streams=None), starts_over=False)"
    )


def test_there_are_no_more_workers_than_processors_unless_they_are_asked_for(monkeypatch):
    for processors, workers in [(1, 1), (3, 3), (64, 4)]:
        monkeypatch.setattr("pyloader.indexed.options.num_processors", lambda processors=processors: processors)
        assert f"num_workers={workers}, " in repr(DataLoader(np.arange(10)))
    assert "num_workers=100, " in repr(DataLoader(np.arange(10), num_workers=100))


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


# Options, as in every loader here


@pytest.mark.parametrize(
    ("foreign", "advice"),
    [
        ("drop_last", 'Write last_batch="drop"'),
        ("collate_fn", "Write transform="),
        ("pin_memory", "Write datacollator=pyloader.torch.TorchDataCollator"),
        ("prefetch_factor", "Write prefetch_size=4, in batches"),
        ("max_queue_size", "Write prefetch_size=4, in batches"),
        ("shuffle_window", "Every epoch is shuffled whole; leave it out"),
        ("batch_sampler", "Write sampler=, and batch_size="),
        ("data_dir", r"Write DataLoader\(ChunkedDataset\(data_dir\)\)"),
        ("strides", "Every epoch has an order of its own"),
        ("monitor", r"Write progress=True, or look at loader.stats\(\)"),
        ("key", "Write seed=7"),
        ("timeout", "Write stall_timeout_seconds=60"),
        ("batchsize", "Did you mean 'batch_size'?"),
    ],
)
def test_an_option_from_elsewhere_is_refused_with_what_to_write_here(foreign, advice):
    with pytest.raises(TypeError, match=f"^DataLoader has no option '{foreign}'. {advice}"):
        DataLoader(np.arange(10), **{foreign: 1})


def test_old_spellings_are_taken_in_under_their_new_names():
    with DataLoader(np.arange(10), batch_size=4, num_epoch=1, random_seed=7) as loader:
        found = ids_of(loader)
    with DataLoader(np.arange(10), batch_size=4, num_epochs=1, seed=7) as loader:
        assert ids_of(loader) == found


@pytest.mark.parametrize(("world", "rank"), [(World(1, 2), 1), ((0, 2), 0), (World(1, 2, num_streams=8), 1)])
def test_a_world_can_be_given_in_each_form(world, rank):
    with DataLoader(np.arange(8), None, 0, 2, shuffle=False, world=world) as loader:
        assert ids_of([next(loader)]) == [[2 * rank, 2 * rank + 1]]


def test_auto_finds_the_rank_and_none_is_the_only_one(monkeypatch, caplog):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    options = {"num_workers": 0, "batch_size": 2, "shuffle": False, "num_epochs": 1, "last_batch": "drop"}
    with caplog.at_level(logging.INFO, "pyloader"), DataLoader(np.arange(9), **options) as loader:
        assert ids_of(loader) == [[2, 3], [6, 7]]
    assert [record.message for record in caplog.records] == ["rank 1 of 2 (RANK, WORLD_SIZE), 2 steps an epoch"]
    with DataLoader(np.arange(8), world=None, **options) as loader:
        assert ids_of(loader) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_a_shard_is_not_shared_out_once_more(monkeypatch):
    shard = {"x": RangeDataset(0, 100).shard(rank=1, world_size=2).map(str), "y": np.arange(50)}
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"one of its shards, and world='auto' found rank 1 of 2.*Write world=None"):
        DataLoader(shard)
    for world in (None, (1, 2)):
        DataLoader(shard, world=world)


def test_stats_say_what_was_delivered_left_out_and_repeated():
    with DataLoader({"x": np.arange(22)}, batch_size=8, num_epochs=2, last_batch="wrap") as loader:
        assert loader.stats().num_steps == 0
        list(loader)
        next(iter(loader))
        stats = loader.stats()
    assert (stats.num_steps, stats.num_samples, stats.dropped, stats.filled) == (7, 56, 0, 4)
    assert list(stats.busy_seconds) == ["take", "transform", "collate"]
    assert "2 ranks" not in str(stats)
    assert "0 dropped and 4 repeated by last_batch='wrap'; 0 items skipped" in str(stats)


@pytest.mark.parametrize("length", [12, 13, 20, 23])
def test_what_ranks_drop_adds_up(length):
    dropped = []
    for rank in range(3):
        options = {"world": (rank, 3), "last_batch": "drop", "num_epochs": 2}
        with DataLoader(np.arange(length), None, 0, 4, **options) as loader:
            list(loader)
            dropped.append(loader.stats().dropped)
    assert sum(dropped) == length % 12 * 2


def test_a_slow_transform_is_named_as_what_the_loop_waits_for():
    def slow(rows):
        sum(range(100_000))
        return rows

    with DataLoader(np.arange(100), None, 1, 10, transform=slow, num_epochs=1) as loader:
        list(loader)
        stats = loader.stats()
    assert stats.bound_by == "transform"
    assert "bound by   transform: " in str(stats)
    assert not {"holds", "leaves"} & set(str(stats).split())  # the interpreter's lock: nobody can tell from outside


class Squares(Dataset):
    """Code of the user's."""

    def __len__(self):
        return 10

    def take(self, indices):
        return indices**2


class SafeSquares(Squares):
    """The same, which says that several threads may call it."""

    is_thread_safe = True


def doubled(rows):
    return 2 * rows


def safely_doubled(rows):
    return 2 * rows


safely_doubled.is_thread_safe = True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("dataset", "options", "workers"),
    [
        (np.arange(10), {}, 4),
        (np.arange(10), {"num_workers": None}, 4),
        ({"a": np.arange(10), "b": RangeDataset(10).shuffle()}, {}, 4),
        (Squares(), {}, 1),
        (SafeSquares(), {}, 4),
        (SafeSquares().shuffle(), {}, 4),
        ({"a": np.arange(10), "b": Squares().shuffle()}, {}, 1),
        (RangeDataset(10).map(doubled), {}, 1),
        (RangeDataset(10).map(safely_doubled), {}, 4),
        (np.arange(10), {"transform": doubled}, 1),
        (np.arange(10), {"transform": safely_doubled}, 4),
        (Squares(), {"num_workers": 3}, 3),
        (Squares(), {"worker_kind": "process"}, 4),
    ],
)
def test_code_of_the_users_is_called_by_one_thread_unless_it_says_that_several_may(
    monkeypatch, dataset, options, workers
):
    monkeypatch.setattr("pyloader.indexed.options.num_processors", lambda: 64)
    with DataLoader(dataset, **options) as loader:
        assert f"num_workers={workers}, " in repr(loader)
