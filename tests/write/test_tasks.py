"""The tasks of a split, and how they go side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyloader.deliver.lock_turns import LockTurn
from pyloader.write import split
from pyloader.write.chunking import ChunkCutter
from pyloader.write.records import LineChecker


def test_the_last_chunks_of_a_unit_are_written_while_another_unit_is_read(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads has the turn; a unit that has been read leaves it, and does not wait for it."""
    cut, were_free = ChunkCutter.end, []

    def end(cutter: ChunkCutter) -> Any:
        were_free.append(not LockTurn._lock.locked())
        return cut(cutter)

    monkeypatch.setattr(ChunkCutter, "end", end)
    split(dump, tmp_path / "chunks", engine="thread", workers=2)
    assert were_free == [True]  # of the dump's one unit


def test_lines_that_are_alike_are_not_looked_at_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dump.jsonl").write_text('{"id": 1, "text": "a"}\n' * 500)
    monkeypatch.setattr(LineChecker, "_check_slowly", None)
    assert split(tmp_path / "dump.jsonl", tmp_path / "chunks").outputs[0].num_samples == 500
