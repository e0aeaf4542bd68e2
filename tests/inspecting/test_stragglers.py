"""Stragglers: the rank that waits longer than the others, and the stage in which it works longer."""

from __future__ import annotations

from pyloader.inspecting.stragglers import Work, stage_seconds, stragglers

USUAL = {"read": 0.001, "encode": 0.002}


def test_a_rank_that_waits_longer_is_named_with_the_stage_that_costs_it_most():
    ranks = [Work(str(rank), 0.02, USUAL) for rank in range(3)]
    (found,) = stragglers([*ranks, Work("3", 0.5, {"read": 0.004, "encode": 0.0021})])
    assert (found.rank, found.stage) == ("3", "read")
    assert found.why == "waits 50% of its time, the others 2%: read takes 4.0 times as long a sample"


def test_ranks_that_all_wait_are_no_stragglers():
    assert stragglers([Work(str(rank), 0.5 + 0.01 * rank, USUAL) for rank in range(4)]) == []
    assert stragglers([Work("0", 0.9, USUAL)]) == []


def test_a_rank_that_waits_without_longer_work_has_no_stage():
    (found,) = stragglers([Work("0", 0.0, USUAL), Work("1", 0.3, USUAL)])
    assert (found.rank, found.stage) == ("1", "") and "no stage takes longer" in found.why


def test_ranks_whose_stages_are_unknown_are_named_by_their_waiting():
    (found,) = stragglers([Work("0", 0.0, {}), Work("1", 0.3, {})])
    assert found.why == "waits 30% of its time, the others 0%"


def test_seconds_are_those_of_a_sample():
    metrics = {"busy_read_seconds": 3.0, "busy_encode_seconds": 1.0, "samples": 10}
    assert stage_seconds(metrics, 10) == {"read": 0.3, "encode": 0.1}
    assert stage_seconds(metrics, 0) == {}
