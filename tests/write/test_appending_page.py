"""docs/appending.md shows what the commands say."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from pyloader.cli.main import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "appending.md").read_text(encoding="utf-8")


def write_day(day: int, num_rows: int) -> None:
    rows = ({"text": f"row {row} of day {day}", "score": row % 7} for row in range(num_rows))
    Path(f"dumps/day{day}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_shown(text: str) -> list[str]:
    """Return lines without what differs from run to run: times, memory, and sizes that depend on the compressor."""
    return [re.sub(r"[\d.,]+ (s|[kMG]?B)\b|\d+-\d+-\d+ \d+:\d+", "N", line) for line in text.splitlines()]


@pytest.mark.slow
def test_the_commands_of_the_page_say_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    Path("dumps").mkdir()
    for day in (1, 2):
        write_day(day, 1000)
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    for number, block in enumerate(blocks):
        if number == 1:
            write_day(3, 1000)
        if number == 2:
            for day in (4, 5, 6):
                write_day(day, 300)
                assert main(["split", "dumps/*.jsonl", "chunks/", "--append", "-q"]) == 0
        shown: list[str] = []
        for line in block.splitlines():
            if line.startswith("$ pyloader "):
                assert main(shlex.split(line)[2:]) == 0
                shown += [line, *capsys.readouterr().out.splitlines()]
        assert as_shown(block) == as_shown("\n".join(shown))
