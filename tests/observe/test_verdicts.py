"""Verdicts of real runs, each with a bottleneck that was put there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "verdicts.py"


@pytest.mark.frameworks  # it takes half a minute, and a busy machine blurs what the bottleneck is
def test_a_verdict_names_the_stage_and_never_the_contrary_of_the_truth_about_the_lock():
    done = subprocess.run([sys.executable, str(SCRIPT), "--runs", "18"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    named, runs = map(int, re.findall(r"stage named in (\d+) of (\d+) runs", done.stdout)[0])
    assert named >= 0.9 * runs, done.stdout + done.stderr
    assert "wrongly in 0" in done.stdout, done.stdout + done.stderr
