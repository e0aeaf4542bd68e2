"""Chunks for the checks of a loader."""

from __future__ import annotations

import json

import pytest

from pyloader.cli.main import main


@pytest.fixture
def chunks(tmp_path):
    directory = tmp_path / "chunks"
    directory.mkdir()
    for number in range(5):
        lines = [json.dumps({"text": "x" * row + f" {number}"}) + "\n" for row in range(9)]
        (directory / f"chunk-{number}.jsonl").write_text("".join(lines))
    assert main(["index", str(directory), "--checksums", "-q"]) == 0
    return directory
