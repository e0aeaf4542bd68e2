"""Ranges of bytes, compared with sets of their bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products import examples

from pyloader.files.byte_ranges import Ranges, common_ranges, cut_ranges, ranges_without
from pyloader.part import joined_ranges

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5).map(joined_ranges)


def bytes_of(ranges: Ranges) -> set[int]:
    return {byte for start, stop in ranges for byte in range(start, stop)}


@pytest.mark.slow
@settings(max_examples=examples(200))
@given(st.lists(RANGES, min_size=1, max_size=4))
def test_common_ranges_are_the_bytes_that_all_have(given_ranges: list[Ranges]) -> None:
    found = common_ranges(given_ranges)
    assert bytes_of(found) == set.intersection(*map(bytes_of, given_ranges))
    assert list(found) == sorted(found)


@pytest.mark.slow
@settings(max_examples=examples(200))
@given(RANGES, RANGES)
def test_what_others_have_is_left_out(ranges: Ranges, others: Ranges) -> None:
    assert bytes_of(ranges_without(ranges, others)) == bytes_of(ranges) - bytes_of(others)


@settings(max_examples=examples(200))
@given(RANGES, st.integers(1, 50))
def test_pieces_are_the_ranges_each_once_and_in_order(ranges: Ranges, piece_bytes: int) -> None:
    pieces = cut_ranges(ranges, piece_bytes)
    assert [byte for start, stop in pieces for byte in range(start, stop)] == sorted(bytes_of(ranges))
    assert all(0 < stop - start <= 1.5 * piece_bytes + 1 for start, stop in pieces)
