"""A program that ends while a loader is open ends with code 0: it neither aborts nor hangs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import exits
import pytest

PLAIN = ("threads", "inline", "processes", "items")


def endings(kind, directory, number):
    """Let so many programs end, and return how."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(exits.__file__)), kind, str(directory / "chunks"), str(number), "60"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLAIN)
def test_a_program_may_end_with_a_loader_at_any_stage(tmp_path, kind):
    number = len(exits.stages_of(kind))
    found, errors = endings(kind, tmp_path, number)
    assert found == str({0: number}), errors


@pytest.mark.frameworks
@pytest.mark.parametrize("kind", [kind for kind in exits.KINDS if kind not in PLAIN])
def test_so_may_one_with_a_framework(tmp_path, kind):
    pytest.importorskip(kind.split()[0])
    number = len(exits.stages_of(kind))
    found, errors = endings(kind, tmp_path, number)
    assert found == str({0: number * (2 if "ranks" in kind else 1)}), errors
