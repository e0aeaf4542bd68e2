"""docs/indexed.md is run."""

import re
from pathlib import Path

import numpy as np

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "indexed.md").read_text(encoding="utf-8")


def test_every_python_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("image.npy", np.zeros((600, 4, 4), np.float32))
    np.save("label.npy", np.arange(600))
    names = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS, re.S):
        exec(compile(block.replace("10_000", "20"), "indexed.md", "exec"), names)
        if "state" in names and "resumed" not in names:
            names["resumed"] = names["loader"].steps_done
            names["loader"].close()
    assert names["resumed"] == 21
    with names["augmented"] as loader:
        assert next(loader).shape == (256, 4, 4)
