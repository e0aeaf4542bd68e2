"""Views: items repeated, shuffled and sampled; an index is the same item however it is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_items import LETTERS

from pyloader.indexed import SampledDataset
from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.indexed.views import (
    SampledDatasetWithoutReplacement,
    SampledDatasetWithReplacement,
    ShuffledDataset,
)


def test_a_repetition_begins_again():
    assert list(RangeDataset(3).repeat(3)) == [0, 1, 2] * 3
    with pytest.raises(ValueError, match="times must be at least 1, got 0"):
        LETTERS.repeat(0)


@pytest.mark.slow
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


def test_what_loadax_called_key_is_the_seed():
    key = np.array([0, 7], np.uint32)  # as jax.random.PRNGKey(7) is
    numbers = RangeDataset(0, 20)
    for kind in (SampledDatasetWithReplacement, SampledDatasetWithoutReplacement):
        assert list(kind(numbers, 9, key=key)) == list(kind(numbers, 9, 7)) != list(kind(numbers, 9))
    assert list(ShuffledDataset(numbers, key=key)) == list(numbers.shuffle(key=key)) == list(numbers.shuffle(7))
