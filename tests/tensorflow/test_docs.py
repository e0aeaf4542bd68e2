"""docs/tensorflow.md is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import ChunkWriter

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.frameworks

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "tensorflow.md").read_text(encoding="utf-8")


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ChunkWriter(tmp_path / "chunks" / "train", chunk_samples=100) as writer:
        for number in range(650):
            writer.write({"image": np.full((8, 8), number, np.float32), "label": number % 10})
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for match in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL):
        line = TEXT[: match.start()].count("\n") + 2
        exec(compile("\n" * (line - 1) + match[1], "docs/tensorflow.md", "exec"), names)
    assert (names["state"]["epoch"], names["state"]["steps_done"]) == (2, 30)
    assert names["dataset"].steps_done == 35
    names["dataset"].close()
