"""Same set: what is added to chunks is made as they were, or a note says that it is not."""

from __future__ import annotations

import pytest

from pyloader import split
from pyloader.cli.main import main
from pyloader.files import ChunkEntry, Manifest
from pyloader.write.same_set import other_command

FIRST = "pyloader split day1.jsonl chunks/ --chunk-samples 10 --shuffle --columns text"


@pytest.mark.parametrize(
    ("command", "is_other"),
    [
        ("pyloader split day2.jsonl chunks/ --columns text --append", False),
        ("pyloader split 'day*.jsonl' chunks/ --to parquet --columns text --append --again", False),
        ("pyloader split other/day2.jsonl chunks/ --columns text --append", True),
        ("pyloader split day2.jsonl chunks/ --append", True),
        ("pyloader split day2.jsonl chunks/ --columns text --where mine:keep --append", True),
        ("pyloader split day2.jsonl chunks/ --columns text --fill a=1 --fill b=2 --append", True),
    ],
)
def test_another_command_reads_other_directories_or_makes_rows_otherwise(command, is_other):
    entry = ChunkEntry(file="chunk-00000.jsonl", num_samples=3, num_bytes=9)
    manifest = Manifest(columns=(), reader="jsonl", chunks=(entry,), made_by={"command": FIRST})
    assert other_command({"": manifest}, command) == (FIRST if is_other else "")


def test_a_set_that_another_directory_is_added_to_says_so_on_the_screen_and_in_the_report(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    for name in ("one.jsonl", "two.jsonl", "other/one.jsonl"):
        (tmp_path / name).write_text(f'{{"text": "{name}"}}\n' * 3)
    note = "the set was made by pyloader split one.jsonl chunks/, and is added to by pyloader split other/one.jsonl"
    assert main(["split", "one.jsonl", "chunks", "-q"]) == 0
    assert main(["split", "two.jsonl", "chunks", "--append"]) == 0
    assert "note" not in capsys.readouterr().out
    assert main(["split", "other/one.jsonl", "chunks", "--append"]) == 0
    assert f"note      {note} chunks/ --append" in capsys.readouterr().out
    report = split("other/one.jsonl", "chunks", append=True, again=True, progress=False)
    assert note in report.note and note in str(report)
