"""What the tests of writing share."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyloader.columns import Columns
from pyloader.datareader import read_chunk
from pyloader.files import list_chunks
from pyloader.read.registry import reader_for
from pyloader.write import aside, line_files, ranges, units

Lines = Callable[..., Path]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make blocks, units and segments so small that a few kilobytes have many of each."""

    def shrink(*, block: int = 1000, pending: int = 4000, segment: int = 3000, rounds: bool = False) -> None:
        monkeypatch.setitem(line_files.blocks_of_lines.__kwdefaults__, "block_bytes", block)
        monkeypatch.setattr(units, "MIN_UNIT_BYTES", 1)
        monkeypatch.setattr(aside, "PENDING_BYTES", pending)
        monkeypatch.setattr(ranges, "RANGE_BYTES", segment)
        if rounds:  # the dump takes four
            monkeypatch.setattr(ranges, "MAX_RANGES", 2)
            monkeypatch.setattr(ranges, "MAX_RANGE_BYTES", 1500)
            monkeypatch.setattr(ranges, "FAN_OUT", 3)

    return shrink


@pytest.fixture
def samples() -> list[dict[str, Any]]:
    """400 samples of uneven length, with a column that turns out late to be of fractions."""
    uneven = random.Random(0)
    return [
        {"id": index, "text": "é" * uneven.randrange(60), "late": index if index < 380 else index + 0.5}
        for index in range(400)
    ]


@pytest.fixture
def dump(tmp_path: Path, samples: list[dict[str, Any]]) -> Path:
    """The samples as JSON lines, not all of them spelled the same way."""
    path = tmp_path / "dump.jsonl"
    lines = (json.dumps(sample, ensure_ascii=sample["id"] % 2 == 0) for sample in samples)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


@pytest.fixture
def read_all() -> Callable[[Path], list[Columns]]:
    """Read the chunks of a directory with the reader that its manifest names."""

    def read(directory: Path) -> list[Columns]:
        chunks = list_chunks(directory)
        reader = reader_for(chunks.path(0), manifest=chunks.manifest)
        return [read_chunk(reader, chunks.path(index)) for index in range(len(chunks))]

    return read


@pytest.fixture
def values(read_all: Callable[[Path], list[Columns]]) -> Callable[[Path, str], list[Any]]:
    """Return a column's values over all chunks."""

    def read(directory: Path, name: str) -> list[Any]:
        return [value for columns in read_all(directory) for value in columns[name]]

    return read


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Return every file below a directory, hidden ones too."""

    def read(directory: Path) -> dict[str, bytes]:
        return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}

    return read
