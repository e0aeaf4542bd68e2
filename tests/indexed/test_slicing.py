"""Slicing: stretches, and datasets cut into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.indexed.slicing import PartialDataset, split_dataset

LETTERS = InMemoryDataset(list("abcdefghij"))


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


def test_a_dataset_is_split_by_either_name():
    for split in (split_dataset, PartialDataset.split, PartialDataset.split_dataset):
        assert [len(part) for part in split(LETTERS, 3)] == [4, 3, 3]
