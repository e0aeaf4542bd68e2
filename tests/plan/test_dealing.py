"""Dealing: hands, segments and sizes, by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.plan import Dealing

counts = st.lists(st.integers(0, 40), min_size=1, max_size=12)
windows = st.integers(1, 15)


@pytest.mark.slow
@given(num_rows=st.integers(0, 1000), window=windows, data=st.data())
def test_hands_are_equal_to_within_one_row_and_make_up_the_chunk(num_rows, window, data):
    dealing = Dealing(20, window)
    sizes = np.diff(dealing.cuts(num_rows, data.draw(st.integers(0, window - 1))))
    assert sizes.sum() == num_rows
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.slow
@given(counts=counts, window=windows)
def test_segments_hold_each_row_once(counts, window):
    dealing = Dealing(len(counts), window)
    sizes = dealing.segment_sizes(counts, np.zeros(len(counts), int))
    assert sizes.sum() == sum(counts)
    assert (sizes[: dealing.first_segment] == 0).all()


@given(num_chunks=st.integers(1, 30), window=windows)
def test_a_segment_is_complete_when_the_arrival_of_its_number_is_there(num_chunks, window):
    dealing = Dealing(num_chunks, window)
    for arrival in range(num_chunks):
        for hand in range(dealing.width):
            segment = dealing.segment_of(arrival, hand)
            assert dealing.first_arrival(segment) <= arrival <= segment < num_chunks


def test_in_the_middle_a_segment_mixes_as_many_chunks_as_the_window():
    dealing = Dealing(20, 4)
    dealt = {arrival for arrival in range(20) for hand in range(4) if dealing.segment_of(arrival, hand) == 10}
    assert dealt == {7, 8, 9, 10}


def test_equal_chunks_make_equal_segments_but_for_the_edges():
    sizes = Dealing(10, 4).segment_sizes([100] * 10, [0] * 10)
    assert sizes.tolist() == [0, 0, 0, 250, 100, 100, 100, 100, 100, 250]


def test_tiny_chunks_mix_too_because_the_phase_moves_the_cuts():
    dealing = Dealing(20, 4)
    first_hands = {int(dealing.cuts(1, phase)[1]) for phase in range(4)}
    assert first_hands == {0, 1}


def test_a_window_longer_than_the_list_is_a_full_shuffle():
    dealing = Dealing(3, 50)
    assert dealing.width == 3
    assert {dealing.segment_of(arrival, hand) for arrival in range(3) for hand in range(3)} == {2}
