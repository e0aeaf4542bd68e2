"""The lazy operations that give a dataset's items again: slices, shards, samples, mixes, and so on."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.indexed.caching import CachedDataset
from pyloader.indexed.concatenation import CombinedDataset
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.filtering import FilteredDataset
from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.indexed.mapping import MappedBatchDataset, MappedDataset
from pyloader.indexed.mixing import MixedDataset, largest_remainder
from pyloader.indexed.named import NamedStreams
from pyloader.indexed.sampling import (
    SampledDataset,
    SampledDatasetWithoutReplacement,
    SampledDatasetWithReplacement,
)
from pyloader.indexed.sharding import ShardedDataset, compute_shard_boundaries, split_dataset_by_node
from pyloader.indexed.slicing import PartialDataset, split_dataset
from pyloader.indexed.splitting import train_test_split
from pyloader.indexed.zipping import ZippedDataset

LETTERS = InMemoryDataset(list("abcdefghij"))


class Counted(Dataset[int]):
    """An array dataset that keeps what it was asked for."""

    def __init__(self, rows):
        self.rows, self.taken = rows, []

    def __len__(self):
        return len(self.rows)

    def take(self, indices):
        self.taken.append(indices.tolist())
        return self.rows.take(indices, axis=0)


# map


def test_a_map_is_computed_when_an_item_is_read():
    called = []
    dataset = MappedDataset(RangeDataset(0, 10), lambda x: called.append(x) or x * 2)
    assert len(dataset) == 10 and called == []
    assert dataset[-1] == 18 and called == [9]
    assert list(dataset) == list(range(0, 20, 2))


def test_an_error_in_a_mapped_function_arrives_as_itself():
    with pytest.raises(ZeroDivisionError):
        RangeDataset(10).map(lambda x: 1 / (x - 3))[0:5]


def test_a_batched_map_gets_rows_in_one_take_and_the_last_batch_is_short():
    source = Counted(np.arange(70))
    dataset = source.map_batch(np.sum)
    assert len(dataset) == 3 and isinstance(dataset, MappedBatchDataset)
    assert dataset[0:3] == [sum(range(32)), sum(range(32, 64)), sum(range(64, 70))]
    assert len(source.taken) == 1
    assert source.map_batch(list, batch_size=4)[[17, 0]] == [[68, 69], [0, 1, 2, 3]]
    assert LETTERS.map_batch("".join, batch_size=4)[:] == ["abcd", "efgh", "ij"]
    columns = InMemoryDataset({"x": np.arange(5)})
    assert [batch["x"].tolist() for batch in columns.map_batch(lambda rows: rows, batch_size=3)] == [[0, 1, 2], [3, 4]]
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        LETTERS.map_batch(len, batch_size=0)


# filter


def test_a_filter_reads_everything_once_when_it_is_first_used():
    called = []
    dataset = FilteredDataset(RangeDataset(3000), lambda x: called.append(x) or x % 7 == 0)
    assert called == []
    assert len(dataset) == 429 and list(dataset) == list(range(0, 3000, 7)) and dataset[-1] == 2996
    assert called == list(range(3000))


def test_a_filter_that_nothing_passes_is_empty():
    assert list(LETTERS.filter(lambda letter: False)) == []


def test_a_filter_is_built_once_whoever_is_first():
    called = []
    dataset = RangeDataset(500).filter(lambda x: called.append(x) or x > 2)
    threads = [threading.Thread(target=len, args=(dataset,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(called) == 500


def test_a_filter_shows_a_bar_when_asked(capsys):
    len(LETTERS.filter(str.isalpha))
    assert capsys.readouterr().err == ""
    len(LETTERS.filter(str.isalpha, progress=True))
    assert "filter: 100%" in capsys.readouterr().err


# slices and shards


def test_a_slice_is_a_stretch_and_nothing_else_is_one():
    part = PartialDataset(LETTERS, 2, 5)
    assert list(part) == ["c", "d", "e"] and part[-1] == "e" and len(part) == 3
    with pytest.raises(IndexError, match="which has 3 items"):
        part[3]
    for start, end in [(-1, 3), (3, 3), (4, 3), (0, 11)]:
        with pytest.raises(ValueError, match="are no stretch of a dataset of 10; give 0 <= start < end <= 10"):
            PartialDataset(LETTERS, start, end)


@given(length=st.integers(1, 60), parts=st.integers(1, 60))
def test_parts_are_almost_equal_and_hold_everything(length, parts):
    dataset = RangeDataset(length)
    if parts > length:
        with pytest.raises(ValueError, match="cannot be split into"):
            split_dataset(dataset, parts)
        return
    cut = split_dataset(dataset, parts)
    assert [item for part in cut for item in part] == list(range(length))
    assert {len(part) for part in cut} <= {length // parts, -(-length // parts)}
    assert [list(part) for part in PartialDataset.split(dataset, parts)] == [list(part) for part in cut]


@given(length=st.integers(1, 60), world_size=st.integers(1, 60), drop=st.booleans())
def test_shards_do_not_overlap_and_leave_out_only_the_remainder(length, world_size, drop):
    dataset = RangeDataset(length)
    if world_size > length:
        with pytest.raises(ValueError, match="too few for"):
            dataset.shard(rank=0, world_size=world_size)
        return
    shards = [list(dataset.shard(rank=rank, world_size=world_size, drop_remainder=drop)) for rank in range(world_size)]
    left_out = length % world_size if drop else 0
    assert [item for shard in shards for item in shard] == list(range(length - left_out))
    assert max(map(len, shards)) - min(map(len, shards)) <= (0 if drop else 1)


def test_shard_0_is_shard_0_and_there_is_no_shard_beyond_the_last():
    shard = ShardedDataset(LETTERS, 3, 0)
    assert list(shard) == ["a", "b", "c"] and shard[-1] == "c" and shard.shard_boundaries() == (0, 3)
    assert compute_shard_boundaries(3, 0, 10, drop_remainder=False) == (0, 4)
    assert list(split_dataset_by_node(LETTERS, rank=0, world_size=3)) == ["a", "b", "c"]
    assert list(LETTERS.split_dataset_by_node(rank=1, world_size=3)) == ["d", "e", "f"]
    with pytest.raises(ValueError, match="shard_id must be below num_shards=3, got 3"):
        ShardedDataset(LETTERS, 3, 3)
    with pytest.raises(ValueError, match="shard_id must be at least 0, got -1"):
        ShardedDataset(LETTERS, 3, -1)


# concatenation, repetition


def test_any_number_of_datasets_come_one_after_another():
    parts = [RangeDataset(0, 3), RangeDataset(3, 4), RangeDataset(4, 9)]
    for combined in (CombinedDataset(*parts), CombinedDataset(parts), parts[0].concatenate(*parts[1:])):
        assert list(combined) == list(range(9)) and combined[-1] == 8
        assert combined[[8, 0, 3, 2, 8]] == [8, 0, 3, 2, 8]
    with pytest.raises(ValueError, match="at least one dataset"):
        CombinedDataset()


def test_a_concatenation_asks_each_dataset_once_and_empty_ones_never():
    sources = [Counted(np.arange(4)), Counted(np.arange(0)), Counted(np.arange(4, 8))]
    assert CombinedDataset(sources)[[5, 0, 7, 1]].tolist() == [5, 0, 7, 1]
    assert [source.taken for source in sources] == [[[0, 1]], [], [[1, 3]]]
    assert CombinedDataset(sources)[[]].tolist() == []


def test_rows_of_every_form_come_together_in_order():
    columns = [InMemoryDataset({"x": np.arange(2) + 10 * part, "y": [part, part]}) for part in range(2)]
    np.testing.assert_equal(CombinedDataset(columns)[[3, 0, 2]], {"x": np.array([11, 0, 10]), "y": [1, 0, 1]})
    assert CombinedDataset(LETTERS, InMemoryDataset(["z"]))[[10, 1]] == ["z", "b"]


def test_datasets_that_do_not_go_together_say_how_they_differ():
    with pytest.raises(ValueError, match=r"one gives lists of items, another arrays of int64 \[2\]. Make them alike"):
        CombinedDataset(RangeDataset(3), InMemoryDataset(np.zeros((4, 2), int)))[[0, 5]]


def test_a_repetition_begins_again():
    assert list(RangeDataset(3).repeat(3)) == [0, 1, 2] * 3
    with pytest.raises(ValueError, match="times must be at least 1, got 0"):
        LETTERS.repeat(0)


# sampling


@given(st.lists(st.integers(-30, 29), max_size=20))
def test_a_sampled_index_is_the_same_item_however_it_is_read(indices):
    for replacement in (False, True):
        sample = RangeDataset(100).sample(30, seed=5, replacement=replacement)
        everything = list(sample)
        assert sample[indices] == [everything[index] for index in indices]
        assert [sample[index] for index in indices] == [everything[index] for index in indices]


def test_without_replacement_no_item_comes_twice():
    assert len(set(RangeDataset(100).sample(100, seed=1))) == 100
    assert SampledDataset is SampledDatasetWithoutReplacement
    with pytest.raises(ValueError, match="sample_size=11 is more than the 10 items; sample with replacement=True"):
        LETTERS.sample(11)


def test_with_replacement_every_item_comes_about_equally_often():
    counts = np.bincount(RangeDataset(10).sample(100_000, seed=3, replacement=True)[:], minlength=10)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 35
    assert list(RangeDataset(10).sample(50, seed=3, replacement=True)) != list(
        RangeDataset(10).sample(50, seed=4, replacement=True)
    )
    with pytest.raises(ValueError, match="no items to draw from"):
        SampledDatasetWithReplacement(InMemoryDataset([]), 1)


# mixing


def test_a_mix_holds_its_ratio_exactly_in_every_period():
    sources = [RangeDataset(0, 70), RangeDataset(1000, 1030)]
    mixed = sources[0].mix(sources[1], weights=[0.7, 0.3])
    assert len(mixed) == 100
    items = np.array(list(mixed))
    assert sorted(items) == [*range(70), *range(1000, 1030)]
    is_second = items >= 1000
    assert np.abs(np.cumsum(is_second) - 0.3 * np.arange(1, 101)).max() < 1  # evenly spread, at every step
    assert items[~is_second].tolist() == list(range(70))


def test_a_mix_begins_a_dataset_again_at_its_end():
    mixed = MixedDataset([RangeDataset(2), RangeDataset(10, 15)], [2, 1], length=9)
    assert list(mixed) == [0, 10, 1, 0, 11, 1, 0, 12, 1]
    assert mixed[[8, 1]] == [1, 10]
    assert len(MixedDataset([RangeDataset(2), RangeDataset(10, 15)], [2, 1])) == 3


@given(weights=st.lists(st.floats(0.001, 1000), min_size=1, max_size=6), total=st.integers(0, 10_000))
def test_the_largest_remainder_shares_out_everything(weights, total):
    counts = largest_remainder(weights, total)
    assert counts.sum() == total
    assert np.abs(counts - np.array(weights) / sum(weights) * total).max() < 1 + 1e-6


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([1], "one weight for each dataset, got 2 and 1"),
        ([1, 0], "weights must be above 0, got 0"),
        ([1, float("nan")], "weights must be above 0, got nan"),
        ([1, 1e-9], "the weight 1e-09 is less than 1/10,000 of all, and would never come"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights, match):
    with pytest.raises(ValueError, match=match):
        MixedDataset([LETTERS, LETTERS], weights)


def test_an_empty_dataset_cannot_be_mixed():
    with pytest.raises(ValueError, match="dataset 1 of the mix is empty"):
        LETTERS.mix(InMemoryDataset([]), weights=[1, 1])


# zip, names


def test_what_stands_at_the_same_index_comes_together():
    zipped = LETTERS.zip(RangeDataset(10))
    assert zipped[-1] == ("j", 9) and zipped[:2] == [("a", 0), ("b", 1)]
    named = NamedStreams({"image": np.arange(20).reshape(10, 2), "label": LETTERS})
    np.testing.assert_equal(named[[1, 0]], {"image": np.array([[2, 3], [0, 1]]), "label": ["b", "a"]})
    np.testing.assert_equal(named[3], {"image": np.array([6, 7]), "label": "d"})


def test_unequal_lengths_are_an_error_that_names_both():
    with pytest.raises(ValueError, match="image has 10 items and label has 9; what belongs together"):
        NamedStreams({"image": LETTERS, "label": RangeDataset(9)})
    with pytest.raises(ValueError, match="dataset 0 has 10 items and dataset 1 has 9"):
        ZippedDataset(LETTERS, RangeDataset(9))
    with pytest.raises(ValueError, match="there is no dataset"):
        NamedStreams({})


# cache


def test_a_cache_takes_every_item_once():
    source = Counted(np.arange(20).reshape(10, 2))
    cached = CachedDataset(source)
    np.testing.assert_array_equal(cached[[3, 1, 3]], source.rows[[3, 1, 3]])
    np.testing.assert_array_equal(cached[:], source.rows)
    np.testing.assert_array_equal(cached[:], source.rows)
    assert source.taken == [[1, 3], [0, 2, 4, 5, 6, 7, 8, 9]]


def test_a_cache_keeps_rows_of_every_form_and_is_not_changed_by_its_users():
    columns = InMemoryDataset({"x": np.arange(4.0), "y": list("abcd")}).cache()
    rows = columns[:]
    rows["x"] += 1
    rows["y"][0] = "changed"
    np.testing.assert_equal(columns[:], {"x": np.arange(4.0), "y": list("abcd")})
    assert list(LETTERS.cache()) == list(LETTERS)


# train and test


def test_every_item_is_in_train_or_in_test_and_growing_moves_none():
    train, test = train_test_split(RangeDataset(10_000), 0.2)
    assert sorted([*train, *test]) == list(range(10_000))
    assert 1800 < len(test) < 2200
    _, grown = RangeDataset(20_000).train_test_split(0.2)
    assert list(grown)[: len(test)] == list(test)
    assert list(RangeDataset(10_000).train_test_split(0.2, seed=1)[1]) != list(test)


def test_items_with_equal_keys_stay_together():
    items = InMemoryDataset([f"user{index % 50}/{index}" for index in range(2000)])
    train, test = items.train_test_split(0.3, key=lambda item: item.partition("/")[0])
    users = [{item.partition("/")[0] for item in part} for part in (train, test)]
    assert users[0].isdisjoint(users[1]) and len(users[0] | users[1]) == 50 and len(test) > 0
    shuffled, again = items.shuffle(1).train_test_split(0.3, key=lambda item: item.partition("/")[0])
    assert sorted(again) == sorted(test) and sorted(shuffled) == sorted(train)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20])
def test_a_fraction_is_between_0_and_1(fraction):
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\)"):
        LETTERS.train_test_split(fraction)


def test_a_key_must_have_a_stable_hash():
    with pytest.raises(TypeError, match=r"key\(item\) must be a str, int or bytes, got tuple"):
        LETTERS.train_test_split(key=lambda item: (item,))


# altogether


def test_a_chain_can_be_sent_to_another_process():
    chain = RangeDataset(100).filter(is_even).shuffle(1).sample(20, replacement=True).cache().repeat(2)
    expected = list(chain)
    assert list(pickle.loads(pickle.dumps(chain))) == expected


def is_even(number):
    return number % 2 == 0
