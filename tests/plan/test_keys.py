"""A row's key is 64 bits that depend on the seed, the epoch and the sample alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyloader.plan import row_keys, sample_numbers, uniform_numbers

GOLDEN = Path(__file__).parents[1] / "golden" / "keys.json"
# Samples as the loader numbers them: a few rows of each of many chunks.
NUMBERS = np.concatenate([sample_numbers(chunk, np.arange(500)) for chunk in range(200)])


def spread(words):
    """Return the largest distance, in standard deviations, of how often each of the 64 bits is set from one half."""
    counts = np.unpackbits(words.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=0)
    return np.abs(counts - len(words) / 2).max() / np.sqrt(len(words) / 4)


def test_the_keys_are_the_ones_that_were_pinned():
    """Changing this file changes the augmentation of every run that goes on."""
    found = {
        "row_keys([0, 1, 2**32, 2**63], seed=0, epoch=0)": row_keys(
            np.array([0, 1, 2**32, 2**63], np.uint64), seed=0, epoch=0
        ).tolist(),
        "row_keys([0, 1, 2, 3], seed=7, epoch=3)": row_keys(np.arange(4), seed=7, epoch=3).tolist(),
        "row_keys([0, 1, 2, 3], seed=2**70, epoch=[3, 4, 3, 5])": row_keys(
            np.arange(4), seed=2**70, epoch=np.array([3, 4, 3, 5])
        ).tolist(),
    }
    assert found == json.loads(GOLDEN.read_text())


def test_no_two_samples_of_an_epoch_have_the_same_key():
    assert len(np.unique(row_keys(NUMBERS, seed=7, epoch=3))) == len(NUMBERS)


def test_the_bits_of_keys_are_balanced():
    assert spread(row_keys(NUMBERS, seed=7, epoch=3)) < 5


@pytest.mark.parametrize("bit", [0, 1, 31, 32, 62])
def test_each_bit_of_a_samples_number_turns_half_of_the_bits_of_its_key(bit):
    clear = np.unique(NUMBERS & ~np.uint64(1 << bit))
    changed = row_keys(clear, seed=7, epoch=1) ^ row_keys(clear | np.uint64(1 << bit), seed=7, epoch=1)
    assert spread(changed) < 5


@pytest.mark.parametrize("other", [{"seed": 8, "epoch": 1}, {"seed": 7, "epoch": 2}, {"seed": 8, "epoch": 0}])
def test_the_keys_of_seed_7_epoch_1_tell_nothing_of_those_of_another_seed_or_epoch(other):
    here, there = row_keys(NUMBERS, seed=7, epoch=1), row_keys(NUMBERS, **other)
    assert spread(here ^ there) < 5
    assert not np.intersect1d(here, there).size


def test_uniform_numbers_of_neighbouring_samples_are_unrelated():
    uniform = (row_keys(NUMBERS, seed=7, epoch=3) >> np.uint64(11)) * 2.0**-53
    assert 0 <= uniform.min() < uniform.max() < 1
    assert abs(np.corrcoef(uniform[:-1], uniform[1:])[0, 1]) < 5 / np.sqrt(len(uniform))
    counts = np.histogram(uniform, 100, (0, 1))[0]
    assert ((counts - len(uniform) / 100) ** 2).sum() / (len(uniform) / 100) < 99 + 5 * np.sqrt(2 * 99)


def test_each_row_may_be_of_an_epoch_of_its_own():
    epochs = np.array([5, 4, 5, 6])
    found = row_keys(np.arange(4), seed=7, epoch=epochs)
    alone = [row_keys(np.array([number]), seed=7, epoch=int(epoch))[0] for number, epoch in enumerate(epochs)]
    assert found.tolist() == [int(key) for key in alone]
    assert row_keys(np.arange(0), seed=7, epoch=np.arange(0)).tolist() == []


def test_the_numbers_that_are_given_stay_as_they_are():
    numbers = np.arange(4, dtype=np.uint64)
    row_keys(numbers, seed=7, epoch=3)
    assert numbers.tolist() == [0, 1, 2, 3]


class TestUniformNumbers:
    def test_they_are_the_ones_that_were_pinned(self):
        """Changing them changes the crops of every run that goes on."""
        found = uniform_numbers(np.array([0, 2**63 + 5], np.uint64), 3)
        assert (found.dtype, found.shape) == (np.float64, (2, 3))
        assert found.tolist() == [
            [0.8833108082136426, 0.43152799704850997, 0.026433771592597743],
            [0.33066255455862603, 0.07103747871147381, 0.27596884610588346],
        ]

    def test_the_first_numbers_stay_when_more_are_drawn(self):
        keys = row_keys(NUMBERS[:100], seed=1, epoch=0)
        assert np.array_equal(uniform_numbers(keys, 9)[:, :4], uniform_numbers(keys, 4))

    def test_they_are_spread_evenly_and_know_nothing_of_each_other(self):
        numbers = uniform_numbers(row_keys(NUMBERS, seed=1, epoch=0), 4)
        assert 0 <= numbers.min() <= numbers.max() < 1
        assert np.abs(numbers.mean(axis=0) - 0.5).max() < 0.005
        assert np.abs(np.corrcoef(numbers.T) - np.eye(4)).max() < 0.02
