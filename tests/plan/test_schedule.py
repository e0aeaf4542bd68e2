"""The schedule of a mixture: shares at every step, ends, and marks without going through all steps."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products import examples

from pyloader.plan import EXHAUSTED_RULES, Mark, Schedule, Shares, rounded_shares


def schedule_of(*weights: float, share: int = 1, rows: Any = None, **options: Any) -> Schedule:
    options = {"on_exhausted": "repeat", "last_batch": "drop", **options}
    shares = rounded_shares([(0, [Fraction(str(weight)) for weight in weights])])
    return Schedule(shares=shares, share=share, rows=rows or (10**9,) * len(weights), **options)


def taken(schedule: Schedule, num_steps: int) -> list[list[int]]:
    """Return how many rows of each source the first steps take."""
    found, mark = [], Mark.first(len(schedule.rows))
    for after in schedule.marks(mark):
        found.append([has - had for has, had in zip(after.rows, mark.rows, strict=True)])
        mark = after
        if len(found) == num_steps:
            break
    return found


@st.composite
def schedules(draw: Any) -> Schedule:
    num_sources = draw(st.integers(1, 8))
    weights = st.lists(st.integers(0, 9) | st.integers(0, 10**9), min_size=num_sources, max_size=num_sources).filter(
        any
    )
    steps = draw(st.just([0]) | st.lists(st.integers(0, 60), min_size=2, max_size=3, unique=True).map(sorted))
    return Schedule(
        shares=rounded_shares([(step, [Fraction(weight) for weight in draw(weights)]) for step in steps]),
        share=draw(st.sampled_from([1, 2, 3, 5, 16, 64])),
        rows=tuple(draw(st.integers(1, 300)) for _ in range(num_sources)),
        on_exhausted=draw(st.sampled_from(EXHAUSTED_RULES)),
        last_batch=draw(st.sampled_from(["drop", "pad"])),
        num_steps=draw(st.integers(1, 100)),
    )


@pytest.mark.slow
@settings(max_examples=examples(400))
@given(schedules(), st.integers(0, 100), st.integers(0, 100))
def test_each_source_is_within_one_row_of_its_share_after_every_step(schedule, first, second):
    marks = [Mark.first(len(schedule.rows))]
    marks += schedule.marks(marks[0])
    assert schedule.last_step(marks[0]) == len(marks) - 1
    for before, after in pairwise(marks):
        assert schedule.keeps_shares(after)
        assert all(has >= had for has, had in zip(after.rows, before.rows, strict=True))
        is_last_of_drop = after is marks[-1] and schedule.on_exhausted == "drop" and schedule.last_batch == "pad"
        assert sum(after.rows) - sum(before.rows) == schedule.share or is_last_of_drop
        if schedule.on_exhausted != "repeat":
            assert all(has <= of for has, of in zip(after.rows, schedule.rows, strict=True))
    known, step = sorted(min(each, len(marks) - 1) for each in (first, second))
    assert schedule.mark_at(step, marks[known]) == marks[step]


def test_weights_as_they_are_written_hold_exactly_and_repeat_soon():
    schedule = schedule_of(0.7, 0.2, 0.1, share=5)
    assert schedule.shares.whole == 10
    assert [sum(column) for column in zip(*taken(schedule, 2), strict=True)] == [7, 2, 1]
    far = schedule.mark_at(10**12, Mark.first(3))
    assert far.rows == (35 * 10**11, 10**12, 5 * 10**11)


@pytest.mark.slow
def test_twenty_sources_stay_within_one_row_where_the_furthest_behind_would_not():
    weights = [2**-place for place in range(20)]
    schedule = schedule_of(*weights)
    mark = Mark.first(20)
    for _ in range(3000):
        mark = schedule.after(mark)
        assert schedule.keeps_shares(mark)


def test_a_weight_changes_linearly_between_the_knots():
    shares = rounded_shares([(10, [Fraction(1), Fraction(0)]), (20, [Fraction(0), Fraction(1)])])
    schedule = Schedule(shares=shares, share=100, rows=(10**9,) * 2, on_exhausted="repeat", last_batch="drop")
    first = [step[0] for step in taken(schedule, 25)]
    assert first[:11] == [100] * 11 and first[20:] == [0] * 5
    assert all(abs(share - wanted) <= 1 for share, wanted in zip(first[10:20], range(100, 0, -10), strict=True))


def test_where_a_source_ends_stop_takes_no_step_more_and_drop_goes_on_with_the_others():
    assert taken(schedule_of(1, 1, share=4, rows=(5, 100), on_exhausted="stop"), 9) == [[2, 2], [2, 2]]
    dropping = schedule_of(1, 1, share=4, rows=(5, 9), on_exhausted="drop", last_batch="pad")
    assert taken(dropping, 9) == [[2, 2], [2, 2], [1, 3], [0, 2]]
    assert taken(schedule_of(1, 1, share=4, rows=(5, 9), on_exhausted="drop"), 9) == [[2, 2], [2, 2], [1, 3]]


def test_drop_divides_what_a_source_leaves_by_the_sum_of_the_other_weights():
    schedule = schedule_of(2, 1, 1, share=12, rows=(12, 300, 300), on_exhausted="drop")
    assert taken(schedule, 4) == [[6, 3, 3], [6, 3, 3], [0, 6, 6], [0, 6, 6]]


def test_shares_of_nothing_are_none_and_a_knot_without_them_is_left_out():
    shares = Shares((0, 10), ((1, 1, 0), (0, 2, 0)), 2)
    assert shares.of_only([2]) is None
    assert shares.of_only([0]) == Shares((0,), ((1, 0, 0),), 1)


@pytest.mark.parametrize("weight", [1 / 3, 0.123456789])
def test_weights_without_a_simple_fraction_are_multiples_of_a_millionth(weight):
    shares = schedule_of(weight, 1 - weight).shares
    assert shares.whole == 2**20 and sum(shares.weights[0]) == 2**20
    assert abs(shares.weights[0][0] / 2**20 - weight) < 2**-20
