"""docs/coming-from-webdataset.md, -mosaicml.md and -litdata.md: the loop there and the loop here, block by block."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shards import SHARDS

from pyloader.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"
LIBRARIES = {"webdataset": "webdataset", "mosaicml": "streaming", "litdata": "litdata"}


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """The shards that the pages read, in the working directory."""
    (tmp_path / "shards").mkdir()
    for number in range(2):
        shutil.copy(SHARDS / "a.tar", tmp_path / "shards" / f"{number:06d}.tar")
    shutil.copytree(SHARDS / "mds", tmp_path / "mds")
    shutil.copytree(SHARDS / "litdata", tmp_path / "optimized")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: str) -> tuple[list[str], list[str]]:
    """Return the Python blocks of a page that are written with the other library, and those without."""
    text = (DOCS / f"coming-from-{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"```(?:python|console)\n(.*?)```", text, re.DOTALL)
    theirs = [block for block in found if re.search(rf"^(import|from) {LIBRARIES[page]}\b", block, re.M)]
    return theirs, [block for block in found if block not in theirs]


@pytest.mark.parametrize("page", LIBRARIES)
def test_the_loop_here_runs(page, shards):
    names: dict[str, object] = {}
    _, ours = blocks(page)
    assert ours
    for block in ours:
        if block.startswith("$ pyloader "):
            assert main([*block.removeprefix("$ pyloader ").split(), "--quiet"]) == 0
        else:
            exec(compile(block, page, "exec"), names)


@pytest.mark.frameworks
@pytest.mark.parametrize("page", LIBRARIES)
def test_the_loop_there_runs(page, shards):
    if importlib.util.find_spec(LIBRARIES[page]) is None:
        pytest.skip(f"could not find {LIBRARIES[page]!r}")
    (theirs,), _ = blocks(page)
    script = shards / "there.py"
    guarded = "".join(f"    {line}\n" for line in theirs.splitlines())
    script.write_text(f"if __name__ == '__main__':\n{guarded}")
    subprocess.run([sys.executable, str(script)], check=True, capture_output=True, timeout=100)
