"""Faults drawn at random: no hang, nothing left behind, no batch lost or delivered twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from scripts import ROOT

RUNS = int(os.environ.get("PYLOADER_FAULT_RUNS", "30"))  # 1000 takes a few minutes


@pytest.mark.slow
@pytest.mark.timeout(60 + 5 * RUNS)
def test_whatever_goes_wrong_the_run_ends_clean_and_can_be_gone_on_with():
    seed = random.randrange(10**6)
    script = ROOT / "tests" / "support" / "random_faults.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), "--runs", str(RUNS), "--seed", str(seed), "--seconds", "60"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "all well" in done.stdout
