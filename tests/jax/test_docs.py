"""The page about pipelines inside jit runs, block by block."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("orbax.checkpoint")

import pyloader

pytestmark = pytest.mark.frameworks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "jax.md"


def test_every_block_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pyloader.ChunkWriter("chunks/train", chunk_samples=500) as writer:
        for number in range(1100):
            writer.write({"image": np.full((4, 4), number % 256, np.uint8), "label": number % 10})
    names = {"directory": tmp_path}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    names["loader"].close()
    assert int(names["total"]) == sum(number % 10 for number in range(1100))
    assert int(names["state"]["step"]) == 5
