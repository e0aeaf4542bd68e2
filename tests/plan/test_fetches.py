"""Fetches: how many bytes a bounded cache takes from a store."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyloader.plan import bytes_fetched


def fewest(reads, sizes, here, bound):
    """Return the fewest bytes that any choice of what makes room fetches."""
    held = {frozenset(here): 0}
    for chunk in reads:
        after: dict[frozenset[int], int] = {}
        for before, fetched in held.items():
            cost = fetched + (0 if chunk in before else sizes[chunk])
            have = before | {chunk}
            for number in range(len(have) + 1):
                for kept in itertools.combinations(have, number):
                    if chunk in kept and sum(sizes[one] for one in kept) <= max(bound, sizes[chunk]):
                        after[frozenset(kept)] = min(after.get(frozenset(kept), 10**9), cost)
        held = after
    return min(held.values())


@settings(max_examples=30)
@given(
    reads=st.lists(st.integers(0, 4), max_size=9), bound=st.integers(1, 5), here=st.sets(st.integers(0, 4), max_size=1)
)
def test_of_chunks_of_one_size_no_choice_fetches_less(reads, bound, here):
    mask = np.isin(np.arange(5), sorted(here))
    found = bytes_fetched(np.array(reads, np.int64), np.full(5, 10), here=mask, bound=10 * bound)
    assert found == fewest(reads, [10] * 5, here, 10 * bound)


def test_what_fits_is_fetched_once():
    reads, sizes = np.array([0, 1, 2, 2, 1, 0]), np.array([3, 4, 5])
    nothing, one = np.zeros(3, bool), np.array([False, True, False])
    assert bytes_fetched(reads, sizes, here=nothing, bound=12) == 12
    assert bytes_fetched(reads, sizes, here=one, bound=12) == 8


def test_a_chunk_larger_than_the_cache_is_fetched_each_time_that_another_was_read():
    reads, sizes = np.array([0, 1, 0, 1]), np.array([3, 50])
    assert bytes_fetched(reads, sizes, here=np.zeros(2, bool), bound=10) == 106
