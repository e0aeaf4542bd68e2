"""Bars: they leave room for the ^C of somebody who has seen enough."""

import io

import pytest

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
