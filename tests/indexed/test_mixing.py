"""Mixing: ratios that hold exactly, at every step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_items import LETTERS

from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.indexed.mixing import MixedDataset, largest_remainder


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
