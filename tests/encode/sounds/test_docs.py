"""What docs/audio.md says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import pyloader

PAGE = Path(pyloader.__file__).parents[1] / "docs" / "audio.md"


@pytest.mark.slow
def test_every_block_of_the_audio_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("soundfile", "soxr", "pyarrow"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
