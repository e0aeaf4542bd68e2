"""Run histories: a log of any length, by whomever it was written, becomes a few hundred points."""

from __future__ import annotations

import pytest
from run_logs import ABOUT, line_of, write_log

from pyloader.inspecting import run_history
from pyloader.inspecting.run_history import read_histories
from pyloader.inspecting.run_report import rates_of


def test_a_long_log_keeps_its_first_and_latest_times_its_totals_and_its_slowest_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(run_history, "MOST_POINTS", 20)
    slow = {"step": 77, "wait_seconds": 9.0, "files": ["a", "b"]}
    lines = [line_of(1000.0 + k, k, 0.1 * k, **({"slowest": slow} if k == 333 else {})) for k in range(1, 1000)]
    write_log(tmp_path, 0, {"time": 1000.0, "about": ABOUT}, *lines)
    (history,) = read_histories(tmp_path)
    assert len(history.points) <= 20 and history.points[0].seconds < 100
    assert history.metrics["steps"] == 999 and history.points[-1].seconds == 999.0
    assert [(one.step, one.wait_seconds, one.files) for one in history.slowest] == [(77, 9.0, ("a", "b"))]
    rates = rates_of(history)
    assert {round(rate.samples, 6) for rate in rates} == {10.0} and {round(rate.waiting, 6) for rate in rates} == {0.1}


def test_what_grows_goes_on_over_runs_and_the_time_between_them_is_left_out(tmp_path):
    first = [line_of(1000.0 + k, k, 0.0, resident_chunks=3) for k in range(1, 11)]
    again = {"time": 9000.0, "about": {**ABOUT, "host": "node-9"}}
    second = [line_of(9000.0 + k, k, 0.0, loop_seconds=float(k), resident_chunks=2) for k in range(1, 6)]
    write_log(tmp_path, 0, {"time": 1000.0, "about": ABOUT}, *first, again, *second)
    (history,) = read_histories(tmp_path)
    assert (history.num_runs, history.about["host"]) == (2, "node-9")
    assert (history.metrics["steps"], history.metrics["loop_seconds"], history.metrics["resident_chunks"]) == (
        15,
        15,
        2,
    )
    assert history.points[-1].seconds == 15.0


@pytest.mark.parametrize(
    "strange",
    [
        "[1, 2]",
        "[" * 5000,
        '{"time": "soon", "steps": 5}',
        '{"time": 1002, "chunks": [-1, 1e400, "x", 99999999999999999999], "slowest": {"step": "x"}, "left_out": [1]}',
        '{"time": 1002, "slowest": {"step": 1, "wait_seconds": 1, "files": [1, {}]}, "verdict": 7, "steps": true}',
        '{"time": 1002, "about": 5, "left_out": {"' + "x" * 3000 + '": 5}}',
        '{"time": 1002, "steps": NaN}',
        "x" * 200_000,
        '{"time": 1002, "st',
    ],
    ids=range(9),
)
def test_what_strangers_wrote_is_read_as_far_as_it_can_be(tmp_path, strange):
    write_log(tmp_path, 0, {"time": 1000.0, "about": ABOUT}, line_of(1001.0, 5, 0.0), strange, line_of(1003.0, 9, 0.0))
    (history,) = read_histories(tmp_path)
    assert history.metrics["steps"] == 9 and history.about["host"] == "node-1"
    assert all(isinstance(name, str) and len(name) <= 400 for slow in history.slowest for name in slow.files)


def test_a_rank_that_has_only_begun_has_no_points(tmp_path):
    write_log(tmp_path, 0, {"time": 1000.0, "about": ABOUT})
    (history,) = read_histories(tmp_path)
    assert (history.points, history.metrics, history.begun, history.time) == ([], {}, 1000.0, 1000.0)
