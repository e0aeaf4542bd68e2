"""Sharding: parts that do not overlap, for processes that keep step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.indexed.sharding import ShardedDataset, compute_shard_boundaries, split_dataset_by_node

LETTERS = InMemoryDataset(list("abcdefghij"))


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
