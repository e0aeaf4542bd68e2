"""Law 2, what random access has beside tests/system: endless batches, and ranks that share out each batch."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_numbers import Numbers, flat, ids_of

from pyloader.errors import CollateError, CoverageError
from pyloader.indexed import (
    DataLoader,
)


@pytest.mark.slow
@settings(max_examples=60)
@given(length=st.integers(1, 40), batch_size=st.integers(1, 50), num_workers=st.sampled_from([0, 3]))
def test_endless_batches_are_whole_and_epochs_follow_without_gap(length, batch_size, num_workers):
    with DataLoader(np.arange(length), num_workers=num_workers, batch_size=batch_size) as loader:
        ids = ids_of(islice(loader, 5 * length // batch_size + 2))
    assert {len(batch) for batch in ids} == {batch_size}
    line = flat(ids)
    for start in range(0, len(line) - length + 1, length):
        assert sorted(line[start : start + length]) == list(range(length))


@pytest.mark.slow
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
