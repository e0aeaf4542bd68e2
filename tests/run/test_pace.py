"""Pace: as many batches are made together as take about so long."""

from __future__ import annotations

from pyloader.run.handover import Pace


def test_it_begins_with_one_and_follows_what_batches_take_within_its_bound():
    pace = Pace(8, group_seconds=0.01)
    found = [pace.num_together()]
    for num_batches, seconds in [(1, 0.002), (5, 0.02), (2, 0.5), (1, 0.0)]:
        pace.made(num_batches, seconds)
        found.append(pace.num_together())
    assert found == [1, 5, 2, 1, 8]
