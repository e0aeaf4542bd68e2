"""The screen of `pyloader watch`: what is shown of one rank, of a few, and of many."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from run_logs import ABOUT, line_of, write_log

from pyloader.cli.watch_screen import screen
from pyloader.inspecting.run_logs import read_logs

VERDICT = "read: num_readers=2 reads two chunks at a time"


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    """One of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "30")


def write_rank(directory, rank, waiting, *, seconds=30, about=None, **busy):
    """Write the log of a rank that waits a share of its time, and whose stages work so many seconds a second."""
    told = {**ABOUT, "host": f"node-{rank}", "steps_per_epoch": 240, **(about or {})}
    verdict = VERDICT if waiting > 0.05 else ""
    lines = (
        line_of(
            1000.0 + k,
            5 * k,
            waiting * k,
            verdict=verdict,
            resident_chunks=4.5,
            resident_chunks_bound=10,
            **{f"busy_{stage}_seconds": share * k for stage, share in busy.items()},
        )
        for k in range(1, seconds + 1)
    )
    write_log(directory, rank, {"time": 1000.0, "about": told}, *lines)


def shown(directory, now=1031.0):
    return screen(Path("run1"), read_logs(directory), now).splitlines()


def test_the_ranks_are_shown_the_slowest_first_with_what_they_wait_for_and_bars(tmp_path):
    write_rank(tmp_path, 0, 0.0, read=0.3, shuffle=0.001, encode=0.2)
    write_rank(tmp_path, 1, 0.5, about={"threads": {"read": 2, "encode": 1}}, read=1.9, shuffle=0.001, encode=0.2)
    assert shown(tmp_path) == [
        "run         run1   2 ranks   epoch 0   step 150   100 samples/s",
        "            the loop waits 50.0% of its time",
        "waits for   read: num_readers=2 reads two chunks at a time   (rank 1)",
        "straggler   rank 1 waits 50% of its time, the others 0%:",
        "            read takes 6.3 times as long a sample",
        "",
        "rank   host     step   samples/s   waiting   wait p95   resident",
        "   1   node-1    150          50     50.0%    12.5 ms   4.5 of 10 chunks",
        "   0   node-0    150          50      0.0%    12.5 ms   4.5 of 10 chunks",
        "",
        "bars: progress; waiting, of the loop's time; stages, of their threads' time",
        "rank  progress           waiting            read               encode",
        "   1  ▇▇▇▇▇▇▇▇▁▁▁▁  62%  ▇▇▇▇▇▇▁▁▁▁▁▁  50%  ▇▇▇▇▇▇▇▇▇▇▇▁  95%  ▇▇▁▁▁▁▁▁▁▁▁▁  20%",
        "   0  ▇▇▇▇▇▇▇▇▁▁▁▁  62%  ▁▁▁▁▁▁▁▁▁▁▁▁   0%  ▇▇▇▇▁▁▁▁▁▁▁▁  30%  ▇▇▁▁▁▁▁▁▁▁▁▁  20%",
    ]


def test_the_bars_of_one_rank_stand_below_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    write_rank(tmp_path, 0, 0.25, about={"num_epochs": 2}, read=0.5, encode=1.0)
    assert shown(tmp_path)[-4:] == [
        "progress   ▇▇▇▇▇▇▇▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  31%   of 480 steps",
        "waiting    ▇▇▇▇▇▇▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  25%   of the loop's time",
        "read       ▇▇▇▇▇▇▇▇▇▇▇▇▁▁▁▁▁▁▁▁▁▁▁  50%   of 1 thread",
        "encode     ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇ 100%   of 1 thread",
    ]


def test_of_many_ranks_the_slowest_are_shown_and_one_line_for_the_others(tmp_path):
    for rank in range(64):
        write_rank(tmp_path, rank, rank / 100, seconds=2, read=0.5)
    lines = shown(tmp_path)
    assert [line.split()[0] for line in lines if "node-" in line] == [str(rank) for rank in range(63, 56, -1)]
    others = [line.split() for line in lines if line.startswith("57 others")]
    assert others[0][2:] == ["10", "50", "28.0%", "12.5", "ms", "on", "the", "average"]
    assert others[1][2::2] == ["▇▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁", "▇▇▇▇▁▁▁▁▁▁▁▁▁▁▁▁", "▇▇▇▇▇▇▇▇▁▁▁▁▁▁▁▁"]
    assert max(map(len, lines)) <= 80 and len(lines) <= 30


def test_no_line_of_a_table_is_wider_than_the_terminal_however_long_the_names_of_hosts(tmp_path):
    stages = dict.fromkeys(("fetch", "read", "shuffle", "encode", "collate"), 0.5)
    for rank in range(3):
        write_rank(tmp_path, rank, 0.0, about={"host": "ip-10-0-12-34.eu-west-1.compute.internal"}, **stages)
    lines = shown(tmp_path)
    assert max(map(len, lines)) <= 80
    assert all(line.endswith("4.5 of 10 chunks") for line in lines if "ip-10" in line)
    assert lines[-1].endswith(" 50%") and lines[-1].count("50%") == 5


def test_a_terminal_without_such_characters_has_bars_of_others(tmp_path, monkeypatch):
    write_rank(tmp_path, 0, 0.25, read=0.5)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    text = "\n".join(shown(tmp_path))
    assert text.isascii() and "waiting    #########...." in text


def test_progress_is_that_of_a_for_which_is_whole_at_its_end_and_begins_again(tmp_path):
    def progress(steps, **about):
        told = {**ABOUT, "steps_per_epoch": 50, **about}
        write_log(tmp_path, 0, {"time": 1000.0, "about": told}, line_of(1001.0, steps, 0.0))
        return [line.split()[2:] for line in shown(tmp_path) if line.startswith("progress")]

    assert progress(50, num_epochs=1) == [["100%", "of", "50", "steps", "of", "an", "epoch"]]
    assert progress(55, num_epochs=1)[0][0] == progress(55)[0][0] == "10%"
    assert progress(55, num_epochs=2) == [["55%", "of", "100", "steps"]]
    assert progress(55, steps_per_epoch=None) == []


def test_a_rank_without_batches_for_long_says_so(tmp_path):
    for rank, steps in ((0, 5), (1, 100)):
        write_log(tmp_path, rank, {"time": 1000.0, "about": ABOUT}, line_of(1001.0, steps, 0.0))
    write_log(tmp_path, 2, {"time": 1000.0, "about": ABOUT})
    text = "\n".join(shown(tmp_path, 1041.0))
    assert "no batch for 40 s" in text and "has begun" in text and "at its end for 40 s" in text
    text = "\n".join(shown(tmp_path, 1001.0 + 3 * 86_400))
    assert "no batch for 3 days" in text


def test_the_threads_of_a_stage_are_those_that_it_has_now(tmp_path):
    lines = [line_of(1000.0 + k, k, 0.0, busy_read_seconds=2.0 * k, threads={"read": 4}) for k in range(1, 1000)]
    write_log(tmp_path, 0, {"time": 1000.0, "about": ABOUT}, *lines)
    assert [line.split()[-4:] for line in shown(tmp_path) if line.startswith("read")] == [["50%", "of", "4", "threads"]]
