"""Slicing: contiguous parts, and the parts of processes that keep step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_items import LETTERS

from pyloader.indexed.in_memory import RangeDataset
from pyloader.indexed.slicing import (
    PartialDataset,
    ShardedDataset,
    compute_shard_boundaries,
    split_dataset,
    split_dataset_by_node,
)


def test_a_slice_is_a_stretch_and_nothing_else_is_one():
    part = PartialDataset(LETTERS, 2, 5)
    assert list(part) == ["c", "d", "e"] and part[-1] == "e" and len(part) == 3
    with pytest.raises(IndexError, match="which has 3 items"):
        part[3]
    for start, end in [(-1, 3), (3, 3), (4, 3), (0, 11)]:
        with pytest.raises(ValueError, match="are no stretch of a dataset of 10; give 0 <= start < end <= 10"):
            PartialDataset(LETTERS, start, end)


@pytest.mark.slow
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


def test_a_shard_tells_what_it_was_made_with():
    shard = ShardedDataset(LETTERS, 3, 1, drop_remainder=False)
    assert (shard.dataset, shard.num_shards, shard.shard_id, shard.drop_remainder) == (LETTERS, 3, 1, False)
