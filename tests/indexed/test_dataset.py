"""What every dataset can do: an index, a slice, several indices, iteration; and one `take` for a whole chain."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from pyloader.indexed import BaseDataset
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.indexed.mapping import MappedDataset
from pyloader.indexed.views import ShuffledDataset
from pyloader.plan.permutation import Permutation
from pyloader.plan.seeds import SHUFFLE


class Counted(Dataset[int]):
    """0, 10, 20, ...; keeps what it was asked for."""

    def __init__(self, length):
        self.length, self.taken, self.closed = length, [], False

    def __len__(self):
        return self.length

    def take(self, indices):
        self.taken.append(indices)
        return indices * 10

    def close(self):
        self.closed = True


class ByGetitem(Dataset[str]):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return "abc"[index]


class ByGetitems(Dataset[str]):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise AssertionError("slow")

    def __getitems__(self, indices):
        return ["abc"[index] for index in indices]


class ByGet(Dataset[str]):
    def __len__(self):
        return 3

    def get(self, index):
        return "abc"[index]


def test_an_item_is_reached_by_its_index_from_either_end():
    assert [Counted(4)[index] for index in (0, 3, -1, -4, np.int64(2))] == [0, 30, 30, 0, 20]


@pytest.mark.parametrize("index", [4, -5, [0, 4]])
def test_an_index_outside_is_an_error_that_says_how_many_there_are(index):
    with pytest.raises(IndexError, match="is outside of Counted, which has 4 items"):
        Counted(4)[index]


@pytest.mark.parametrize("index", ["1", 1.0, True, [1.5], None, [[1]]])
def test_what_is_no_index_is_a_type_error(index):
    with pytest.raises(TypeError, match="is indexed by integers, slices, and lists of integers"):
        Counted(4)[index]


def test_slices_lists_arrays_and_masks_give_rows():
    dataset = Counted(5)
    for index in (slice(1, 4), [1, 2, 3], np.array([-4, 2, 3]), np.array([False, True, True, True, False])):
        np.testing.assert_array_equal(dataset[index], [10, 20, 30])
    np.testing.assert_array_equal(dataset[::-2], [40, 20, 0])
    assert len(dataset[[]]) == 0


def test_iteration_ends_after_the_last_item_and_may_begin_again():
    dataset = Counted(600)
    assert list(dataset) == list(dataset) == [10 * index for index in range(600)]
    assert len(dataset.taken) == 6  # 256 at a time


def test_an_item_may_be_none_and_get_outside_is_none():
    dataset = InMemoryDataset([1, None, 3])
    assert list(dataset) == [1, None, 3]
    assert (dataset.get(-1), dataset.get(3), dataset.get(-4)) == (3, None, None)


@pytest.mark.parametrize("written", [ByGetitem, ByGetitems, ByGet])
def test_a_dataset_may_be_written_one_item_at_a_time(written):
    dataset = written()
    assert list(dataset) == ["a", "b", "c"]
    assert dataset.take(np.array([2, 0])) == ["c", "a"]
    assert list(dataset.map(str.upper).slice(1, 3)) == ["B", "C"]


def test_a_dataset_without_either_way_says_what_to_write():
    class Empty(Dataset[int]):
        def __len__(self):
            return 1

    with pytest.raises(NotImplementedError, match=r"Empty has neither take\(indices\) nor __getitem__\(index\)"):
        Empty()[0]


def test_torch_gets_a_list_of_items_or_an_array_of_them():
    assert Counted(5).__getitems__([4, -5]).tolist() == [40, 0]
    assert InMemoryDataset({"x": np.arange(3), "y": ["a", "b", "c"]}).__getitems__([2, 0]) == [
        {"x": 2, "y": "c"},
        {"x": 0, "y": "a"},
    ]


def test_a_batch_through_a_chain_is_one_take_on_the_source():
    source = Counted(10_000)
    chain = (
        source.shuffle(3).map(lambda x: x + 1).shard(rank=2, world_size=4).repeat(2).slice(5, 3000).sample(2000, seed=1)
    )
    rows = chain.take(np.arange(256))
    assert [len(indices) for indices in source.taken] == [256]
    assert rows == [index * 10 + 1 for index in source.taken[0].tolist()]


def test_closing_a_chain_closes_the_source():
    source = Counted(10)
    others = [Counted(10), Counted(10)]
    with source.map(str).shuffle().cache().concatenate(others[0]).mix(others[1], weights=[1, 1]).repeat(2):
        pass
    assert source.closed and others[0].closed and others[1].closed


def test_the_old_name_is_the_same_class():
    assert BaseDataset is Dataset


def test_a_range_has_ints():
    dataset = RangeDataset(3, 20, step=5)
    assert list(dataset) == [3, 8, 13, 18]
    assert type(dataset[-1]) is int and dataset[-1] == 18
    assert {type(item) for item in (*dataset, *dataset[0:2], *dataset.shuffle())} == {int}
    assert len(RangeDataset(7)) == 7


@pytest.mark.parametrize("arguments", [(5, 5), (5, 0), (0, 5, 0), (0, 5, -1)])
def test_a_range_without_items_is_refused(arguments):
    with pytest.raises(ValueError, match="needs start < end and a step of at least 1"):
        RangeDataset(*arguments)


def test_what_is_in_memory_keeps_its_form():
    indices = np.array([2, 0])
    array = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(InMemoryDataset(array).take(indices), array[[2, 0]])
    assert InMemoryDataset(("a", "b", "c")).take(indices) == ["c", "a"]
    rows = InMemoryDataset({"x": array, "y": [1, 2, 3]}).take(indices)
    np.testing.assert_equal(rows, {"x": array[[2, 0]], "y": [3, 1]})
    assert not np.shares_memory(InMemoryDataset(array)[0:3], array)


def test_what_has_items_by_index_can_be_used_as_it_is():
    class Foreign:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return "abc"[index]

    class Faster(Foreign):
        def __getitems__(self, indices):
            return np.array(indices) * 10

    assert list(MappedDataset(Foreign(), str.upper)) == ["A", "B", "C"]
    np.testing.assert_array_equal(ShuffledDataset(Faster(), 1)[0:3], Permutation(3, 1, SHUFFLE)(np.arange(3)) * 10)


def test_what_cannot_be_indexed_is_refused():
    with pytest.raises(TypeError, match=r"got generator; write InMemoryDataset\(list\(items\)\)"):
        InMemoryDataset(x for x in range(3))
    with pytest.raises(ValueError, match=r"columns must be of one length, got \{'x': 2, 'y': 1\}"):
        InMemoryDataset({"x": [1, 2], "y": [1]})


def test_a_chain_can_be_sent_to_another_process():
    chain = RangeDataset(100).filter(is_even).shuffle(1).sample(20, replacement=True).cache().repeat(2)
    expected = list(chain)
    assert list(pickle.loads(pickle.dumps(chain))) == expected


def is_even(number):
    return number % 2 == 0
