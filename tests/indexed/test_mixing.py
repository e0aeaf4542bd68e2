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
    assert list(mixed) == [0, 1, 10, 0, 1, 11, 0, 1, 12]
    assert mixed[[8, 1]] == [12, 1]


def test_a_mix_that_ends_with_its_first_dataset_says_how_much_is_left_out(caplog):
    assert len(MixedDataset([RangeDataset(2), RangeDataset(10, 15)], [2, 1])) == 3
    assert "a mix has 3 items, until a dataset ends; 4 of the others are left out" in caplog.text
    caplog.clear()
    assert len(MixedDataset([RangeDataset(2), RangeDataset(10, 15)], [2, 1], on_exhausted="stop")) == 3
    assert not caplog.text


@pytest.mark.slow
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), seed=st.integers(0, 2**32), order=st.randoms())
def test_a_mix_that_drops_what_has_ended_has_every_item_once(sizes, seed, order):
    weights = np.random.default_rng(seed).integers(1, 9, len(sizes)).tolist()
    sources = [RangeDataset(1000 * place, 1000 * place + size) for place, size in enumerate(sizes)]
    mixed = MixedDataset(sources, weights, on_exhausted="drop")
    items = list(mixed)
    assert sorted(items) == [item for source in sources for item in source]
    indices = order.sample(range(len(items)), len(items))
    assert mixed[indices] == [items[index] for index in indices]


def test_twenty_datasets_are_within_one_item_of_their_shares_at_every_index():
    weights = [1, 2, 3, 5, 7, 11, 13, 17, 19, 23] * 2
    sources = [RangeDataset(1000 * place, 1000 * place + 100) for place in range(20)]
    items = np.array(list(MixedDataset(sources, weights, length=202)))
    came = np.cumsum(items[:, None] // 1000 == np.arange(20), axis=0)
    assert np.abs(came - np.arange(1, 203)[:, None] * np.array(weights) / 202).max() < 1


@pytest.mark.slow
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
