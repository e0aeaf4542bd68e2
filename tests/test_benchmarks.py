"""Every benchmark runs, on tiny data: none of them may rot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("command", "shows"),
    [
        (["arrays.py", "dense", "--samples", "9000", "--repeat", "1"], "pyloader, window 8, read, 2 workers"),
        (["arrays.py", "small", "--samples", "9000", "--repeat", "1"], "pyloader, window 1, mmap, 0 workers"),
        (["indexed.py", "dense", "--samples", "9000", "--repeat", "1"], "pyloader.indexed, as it comes"),
        (["indexed.py", "records", "--samples", "9000", "--repeat", "1"], "bare __getitems__"),
        (["indexed.py", "parquet", "--samples", "9000"], "Parquet, 32 row groups, 4 kept, in order"),
        (["indexed.py", "start"], "first batch of a shuffled shard of 10^9 items"),
        pytest.param(["jit.py", "arrays", "--repeat", "1"], "scan_epoch, pyloader.jax", marks=pytest.mark.frameworks),
        pytest.param(
            ["jit.py", "chunks", "--repeat", "1", "--samples", "9000"],
            "ChunkSource, next",
            marks=pytest.mark.frameworks,
        ),
        (["text.py", "--lines", "3000", "--repeat", "1"], "pyloader, strings to the loop"),
        (["memory.py", "--gigabytes", "0.26", "--form", "columns"], "4 chunks of 64 MB"),
        (["bytes.py", "--megabytes", "1", "--max-bytes", "40MB"], "images   max_bytes=40MB"),
        (["processes.py", "--lines", "3000", "--repeat", "1", "--rounds", "40"], "2 processes"),
        (["overlap.py", "--steps", "5", "--repeat", "1"], "numpy, 1 x 5 steps"),
        pytest.param(
            ["overlap.py", "--framework", "torch", "--steps", "5", "--repeat", "1"],
            "torch, 1 x 5 steps",
            marks=pytest.mark.frameworks,
        ),
        (["starting.py", "--samples", "9000"], "window 8: reading"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_it_runs_and_shows_its_figures(tmp_path, command, shows):
    if command[0] == "jit.py":
        pytest.importorskip("jax")
    check_runs(tmp_path, command, shows)


@pytest.mark.frameworks
def test_the_overlap_with_jax_runs_and_shows_its_figures(tmp_path):
    pytest.importorskip("jax")
    check_runs(tmp_path, ["overlap_jax.py", "--steps", "5", "--repeat", "1"], "prefetch_to_device, each loss read")


def check_runs(tmp_path, command, shows):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=BENCHMARKS,
        env={**os.environ, "PYLOADER_BENCH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert shows in done.stdout
    assert done.stderr == ""


def test_every_benchmark_is_run_here():
    tests = Path(__file__).read_text()
    assert not [
        path.name for path in BENCHMARKS.glob("*.py") if path.name != "making.py" and f'"{path.name}"' not in tests
    ]
