"""`pyloader watch`: a run as it goes on, from the logs of its ranks."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from run_logs import ABOUT, line_of, write_log

from pyloader.cli.main import main
from pyloader.inspecting.run_logs import read_logs


def two_ranks(directory):
    resident = {"resident_chunks": 4.5, "resident_chunks_bound": 10}
    write_log(
        directory,
        0,
        {"time": 1000.0, "about": ABOUT},
        *(line_of(1000.0 + k, 5 * k, 0.1, **resident) for k in range(1, 31)),
    )
    verdict = "read: num_readers=2 reads two chunks at a time"
    lines = (line_of(1000.0 + k, 5 * k, 0.5 * k, verdict=verdict, **resident) for k in range(1, 31))
    write_log(directory, 1, {"time": 1000.0, "about": {**ABOUT, "host": "node-2"}}, *lines)


def test_rates_are_those_of_the_last_ten_seconds(tmp_path):
    slow = [line_of(1000.0 + k, k, 0.0) for k in range(1, 21)]
    write_log(tmp_path, 0, *slow, *(line_of(1020.0 + k, 20 + 9 * k, 0.0) for k in range(1, 12)))
    (log,) = read_logs(tmp_path)
    assert (log.seconds, log.lately("steps_done")) == (10.0, 9.0)


def test_a_log_that_is_being_written_or_that_strangers_wrote_is_read_as_far_as_it_can_be(tmp_path):
    write_log(tmp_path, 0, line_of(1001.0, 5, 0.0), "[1, 2]", '{"time": "soon"}', "[" * 5000, '{"time": 1002.0, "st')
    (log,) = read_logs(tmp_path)
    assert (log.time, log.metrics["steps_done"]) == (1001.0, 5)


def test_a_long_log_is_read_at_its_end(tmp_path):
    lines = [line_of(1000.0 + k, k, 0.0) for k in range(3000)]
    write_log(tmp_path, 0, {"time": 1000.0, "about": ABOUT}, *lines)
    (log,) = read_logs(tmp_path)
    assert (log.about["host"], log.metrics["steps_done"]) == ("node-1", 2999)


def test_the_numbers_are_there_as_json(tmp_path, capsys):
    two_ranks(tmp_path)
    assert main(["watch", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [rank["about"]["host"] for rank in found] == ["node-1", "node-2"] and found[1]["steps_done"] == 150


@pytest.mark.parametrize("made", [True, False])
def test_a_directory_without_logs_says_how_they_are_written(tmp_path, capsys, made):
    where = tmp_path / "run1"
    if made:
        where.mkdir()
    assert main(["watch", str(where)]) == 2
    assert "holds no logs of a run. Have them written: DataLoader(..., log_dir='run1')" in capsys.readouterr().err


@pytest.mark.slow
def test_on_a_terminal_it_follows_the_run_until_ctrl_c_and_the_last_screen_stays(tmp_path):
    pytest.importorskip("rich")
    two_ranks(tmp_path)
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "pyloader", "watch", str(tmp_path)]
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    written = b""
    with open(ours, "rb", buffering=0) as terminal:
        while b"samples/s" not in written.partition(b"rank 1")[2]:
            written += terminal.read(4096)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while block := terminal.read(4096):
                written += block
    assert process.wait(30) == 0
    assert b"\x1b[?1049h" in written  # a screen of its own
    assert b"node-2" in written.rpartition(b"\x1b[?1049l")[2]  # and what is printed after it
