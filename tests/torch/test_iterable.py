"""iterable_cases.py is run in a process of its own: torch forks its workers, which other frameworks' threads forbid."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]


def test_a_loader_is_an_iterable_dataset_with_and_without_workers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}"]
    done = subprocess.run(
        [*command, str(Path(__file__).with_name("iterable_cases.py"))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
