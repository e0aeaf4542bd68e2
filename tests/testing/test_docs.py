"""docs/testing.md is done as it says, by a user with a module and a sample of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyloader.testing
from pyloader.cli.main import main
from pyloader.testing import LOADER_CHECKS

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
README_CLASSES = ("Problems", "Bytes", "Pad")


@pytest.mark.slow
def test_the_pytest_file_of_the_docs_runs_on_the_classes_of_the_readme(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "class Problems" in block)
    (tmp_path / "train.py").write_text(block[: block.index("loader = DataLoader(")])
    (tmp_path / "test_data.py").write_text(re.search(r"```python\n(.*?)```", DOCS, re.S)[1])
    sample = tmp_path / "sample"
    sample.mkdir()
    for number in range(4):
        lines = [json.dumps({"question": "why " * row, "answer": str(number)}) + "\n" for row in range(15)]
        (sample / f"chunk-{number}.jsonl").write_text("".join(lines))
    assert main(["index", str(sample), "--checksums", "-q"]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_data.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{len(LOADER_CHECKS)} passed" in done.stdout, done.stdout + done.stderr


def test_every_check_and_every_fault_is_in_the_docs():
    listed = set(re.findall(r"^\| `(check_\w+)` \|", DOCS, re.M))
    assert listed == {check.__name__ for check in LOADER_CHECKS}
    assert not [name for name in pyloader.testing.__all__ if name not in DOCS]
