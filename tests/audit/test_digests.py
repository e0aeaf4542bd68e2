"""Digests: they tell sets of samples apart, whatever the order, and add up."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.audit.digests import culprits, dataset_digest, digest_batches, digest_groups, mixed_numbers
from pyloader.plan import STAND_IN, sample_numbers

counts = st.lists(st.integers(0, 50), min_size=1, max_size=9).filter(any)


def rows_of(counts):
    return np.concatenate(
        [np.stack([np.full(count, chunk), np.arange(count)], 1) for chunk, count in enumerate(counts)]
    )


def numbers_of(counts):
    return sample_numbers(*rows_of(counts).T)


def test_the_mixing_is_that_of_splitmix64():
    # The first two numbers that SplitMix64 gives for the seed 1234567, as published.
    seed = np.array([1234567], np.uint64)
    assert mixed_numbers(seed, 0).tolist() == [6457827717110365317]
    assert mixed_numbers(seed, 1).tolist() == [3203168211198807973]


@pytest.mark.slow
@given(counts=counts, batch_size=st.integers(1, 40), seed=st.integers(0, 9))
def test_the_digests_of_batches_in_any_order_add_up_to_that_of_the_dataset(counts, batch_size, seed):
    numbers = np.random.Generator(np.random.PCG64(seed)).permutation(numbers_of(counts))
    digests = digest_batches(numbers, batch_size)
    assert digests.shape == (-(-sum(counts) // batch_size), 4)
    assert (digests.sum(axis=0) == dataset_digest(np.array(counts))).all()


@pytest.mark.slow
@given(counts=counts.filter(lambda counts: sum(counts) > 2), data=st.data())
def test_a_sample_that_is_lacking_doubled_or_replaced_changes_the_digest_and_is_named(counts, data):
    rows = rows_of(counts)
    one, other = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=2, max_size=2, unique=True))
    planned = dataset_digest(np.array(counts))

    def excess(indices):
        return digest_groups(sample_numbers(*rows[indices].T), np.zeros(1, np.int64))[0] - planned

    everything = np.arange(len(rows))
    assert culprits(rows, rows, excess(np.delete(everything, one))) == ([one], [])
    assert culprits(rows, rows, excess([*everything, one])) == ([], [one])
    assert culprits(rows, rows, excess([*np.delete(everything, one), other])) == ([one], [other])
    assert culprits(rows, rows, excess(everything)) is None
    assert culprits(rows, rows, excess(np.delete(everything, [one, other]))) is None


def test_rows_that_stand_in_are_counted_and_belong_to_no_set():
    numbers = numbers_of([5])
    filled = np.concatenate([numbers, numbers[:2] | STAND_IN])
    digest, plain = digest_groups(filled, np.zeros(1, np.int64))[0], dataset_digest(np.array([5]))
    assert digest.tolist() == [5, 2, *plain[2:].tolist()]


@pytest.mark.parametrize("counts", [[300_000], [0, 70_000, 1] * 4, [3] * 100_000])
def test_the_digest_of_a_dataset_takes_memory_for_its_chunks_only(counts):
    counts = np.array(counts)
    tracemalloc.start()
    dataset_digest(counts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6 + 64 * len(counts)
