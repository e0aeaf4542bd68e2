"""Law 1 over parts: one file of 200 MB is indexed and read by a process that may take 100 MB beside its own."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from products import ALL, drawn

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FORMS = runpy.run_path(str(BENCHMARKS / "huge_files.py"))["FORMS"]


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read in /proc"),
]


def bounded(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark, whose files are written into this directory, and removed again."""
    environment = {**os.environ, "PYLOADER_BENCH": str(directory)}
    command = [sys.executable, "bounded.py", *words]
    return subprocess.run(command, cwd=BENCHMARKS, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", drawn(FORMS, 1))  # each takes about two seconds
def test_one_large_file_is_read_in_parts_within_half_of_its_size(tmp_path, name):
    if needs := FORMS[name][1]:
        pytest.importorskip(needs)
    sizes = ["--megabytes", "200", "--limit-mb", "100", "--chunk-bytes", "4MB"]
    done = bounded(tmp_path, *sizes, "--checksums", "--only", name)
    assert not done.returncode, done.stdout + done.stderr
    assert f"| {name} | " in done.stdout


@pytest.mark.skipif(not ALL, reason="it takes two seconds: PYLOADER_ALL=1")
def test_a_file_that_is_one_part_does_not_stay_within_its_limit(tmp_path):
    done = bounded(tmp_path, "--megabytes", "40", "--limit-mb", "20", "--chunk-bytes", "1GB", "--only", "npy")
    assert done.returncode == 1
    assert "Unable to allocate 38.1 MiB" in done.stdout
