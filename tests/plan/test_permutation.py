"""Permutation: every number once, whatever n and the seed are; and shuffles that cost no memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.plan import permutation
from pyloader.plan.permutation import Permutation

GOLDEN = Path(__file__).parents[1] / "golden" / "permutation.json"


@pytest.fixture(params=["listed", "ciphered"])
def any_way(request, monkeypatch):
    """Try small permutations in both ways."""
    if request.param == "ciphered":
        monkeypatch.setattr(permutation, "_LISTED", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("any_way")
@given(length=st.integers(1, 3000), seed=st.integers(0, 2**70), epoch=st.integers(0, 5))
def test_every_number_comes_once(length, seed, epoch):
    order = Permutation(length, seed, epoch)(np.arange(length))
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(length))


@pytest.mark.parametrize("length", [2**18, 2**18 + 1, 524287, 600_000, 640_000])
def test_every_number_comes_once_where_the_cipher_begins(length):
    order = Permutation(length, 7)(np.arange(length))
    np.testing.assert_array_equal(np.sort(order), np.arange(length))


@pytest.mark.usefixtures("any_way")
def test_seeds_and_purposes_do_not_coincide():
    orders = {
        tuple(Permutation(1000, seed, 1, epoch)(np.arange(1000)).tolist()) for seed in (7, 8, 9) for epoch in (0, 1, 2)
    }
    assert len(orders) == 9


def test_neighbours_are_spread_as_chance_would():
    length = 10**6
    order = Permutation(length, 5)(np.arange(length))
    for numbers in (
        order[:256_000].reshape(1000, 256),
        np.diff(order).reshape(-1)[:256_000].reshape(1000, 256) % length,
    ):
        # In batches of 256, how many fall into each 16th: chi-squared over 15 degrees of freedom is 1 +- 0.37.
        counts = np.stack([np.bincount(batch * 16 // length, minlength=16) for batch in numbers])
        assert 0.95 < np.mean(((counts - 16) ** 2 / 16).sum(axis=1) / 15) < 1.05


@pytest.mark.slow
@pytest.mark.usefixtures("any_way")
def test_each_number_comes_at_each_place_equally_often():
    length, trials = 12, 3000
    orders = np.stack([Permutation(length, seed)(np.arange(length)) for seed in range(trials)])
    for place in range(length):
        counts = np.bincount(orders[:, place], minlength=length)
        assert (
            (counts - trials / length) ** 2 / (trials / length)
        ).sum() < 40  # p = 0.00003 with 11 degrees of freedom


def test_a_billion_indices_are_shuffled_and_sharded_at_once():
    tracemalloc.start()
    start = time.perf_counter()
    shard = RangeDataset(10**9).shuffle(3).shard(rank=63, world_size=64)
    batch = shard.take(np.arange(256))
    seconds = time.perf_counter() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(shard) == 10**9 // 64
    assert len(set(batch)) == 256 and max(batch) < 10**9
    assert peak < 10 * 2**20
    assert seconds < 20  # 10 ms on a quiet machine; to make a billion numbers takes longer than this


def test_the_numbers_are_those_that_they_always_were():
    golden = json.loads(GOLDEN.read_text())
    for length, expected in golden.items():
        assert Permutation(int(length), 42, 101)(np.arange(8)).tolist() == expected


def test_a_shuffle_has_every_item_once_and_the_seed_decides():
    dataset = InMemoryDataset(list("abcdefghij"))
    once, again, other = dataset.shuffle(1), dataset.shuffle(1), dataset.shuffle(2)
    assert list(once) == list(again) != list(other)
    assert sorted(once) == list("abcdefghij") and list(once) != list(dataset)
    assert list(InMemoryDataset([]).shuffle()) == []


def test_a_seed_may_be_a_jax_key_and_nothing_else():
    dataset = RangeDataset(100)
    key = np.array([0, 7], np.uint32)  # what jax.random.PRNGKey(7) is
    assert list(dataset.shuffle(key)) == list(dataset.shuffle(7))
    with pytest.raises(TypeError, match=r"seed must be an integer, or a key of jax.random.PRNGKey, got 1.5"):
        dataset.shuffle(1.5)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        dataset.shuffle(-1)
