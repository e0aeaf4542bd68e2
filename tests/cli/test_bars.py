"""Bars: they leave room for the ^C of somebody who has seen enough."""

import io

import pytest

from pyloader import ChunkWriter
from pyloader.cli.main import main
from pyloader.cli.screens import progress_over_chunks


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_bar_leaves_room_for_two_characters_and_the_cursor(monkeypatch, width):
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(progress_over_chunks("verify", quiet=False)(range(5))) == [0, 1, 2, 3, 4]
    shown = [line for line in terminal.getvalue().split("\r") if "verify" in line]
    assert shown
    assert max(len(line.rstrip("\n")) for line in shown) == width - 3


def test_an_error_begins_a_line_of_its_own_below_the_bar(tmp_path, monkeypatch):
    with ChunkWriter(tmp_path, chunk_samples=1, format="jsonl") as writer:
        writer.write_columns({"a": [1, 2, 3]})
    (tmp_path / "chunk-00001.jsonl").write_text("{'a':2}\n")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert main(["peek", str(tmp_path), "--all"]) == 2
    assert "\npyloader peek: error: " in terminal.getvalue()
