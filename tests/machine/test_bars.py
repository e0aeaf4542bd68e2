"""How far something is, is shown on a terminal and in a notebook as a bar, and in a log as a line a minute."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings

import numpy as np
import pytest
from numbered import loader_of, write_chunks

from pyloader import indexed
from pyloader.cli.main import main
from pyloader.machine import bars
from pyloader.machine.bars import progress_bar


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a second each time it is looked at."""

    class Time:
        now = 0.0

        def monotonic(self):
            self.now += 1
            return self.now

    monkeypatch.setattr(bars, "time", Time())


def test_a_log_gets_a_line_when_a_minute_has_passed(capsys, clock):
    with progress_bar("count", total=200, unit=" chunks") as bar:
        for _ in range(200):
            bar.set_postfix_str("waiting 3%")
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert [re.search(r"\d+/200", line)[0] for line in lines] == ["60/200", "120/200", "180/200"]
    assert lines[0] == "count:  30%|###       | 60/200 [01:00<02:20,  1.00 chunks/s, waiting 3%]"


def test_a_loop_over_many_short_epochs_gets_its_lines_too(capsys, clock, tmp_path):
    directory = write_chunks(tmp_path, [40])
    with loader_of(directory, batch_size=1, progress=True, num_epochs=5) as loader:
        list(loader)
    assert re.findall(r"epoch \d", capsys.readouterr().err) == ["epoch 1", "epoch 2", "epoch 4"]


@pytest.mark.parametrize("is_there", [False, True])
def test_lines_that_nobody_reads_lose_no_batch(monkeypatch, tmp_path, is_there):
    reading, writing = os.pipe()
    os.close(reading)
    pipe = os.fdopen(writing, "w", buffering=1)
    monkeypatch.setattr(bars, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", pipe if is_there else None)
    with loader_of(write_chunks(tmp_path, [40]), batch_size=10, progress=True) as loader:
        assert len(list(loader)) == 4
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


def test_random_access_and_the_splitter_have_such_lines(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(bars, "LINE_SECONDS", 0.0)
    with indexed.DataLoader(np.arange(21), batch_size=8, num_epochs=1, progress=True) as loader:
        list(loader)
    assert "3/3" in capsys.readouterr().err
    (tmp_path / "dump.jsonl").write_text('{"a": 1}\n' * 100)
    assert main(["split", str(tmp_path / "dump.jsonl"), str(tmp_path / "chunks")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any("900/900" in line and "100 samples" in line for line in lines)
    assert main(["split", str(tmp_path / "dump.jsonl"), str(tmp_path / "more"), "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_a_bar_leaves_room_for_a_control_c_on_the_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    with progress_bar("read", total=10, unit=" batches") as bar:
        bar.update(5)
        bar.set_postfix_str("waiting 3%")
        bar.refresh()
    drawn = re.split(r"[\r\n]", capsys.readouterr().err)
    assert max(map(len, drawn)) == 57


def test_nothing_is_shown_of_what_is_hidden(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar("read", total=10, unit="B", hidden=True) as bar:
        bar.update(5)
    assert capsys.readouterr().err == ""


NOTEBOOK = """
import warnings
warnings.simplefilter("error")
from pyloader import DataLoader
loader = DataLoader(data_dir={directory!r}, batch_size=4, progress=True)
for batch in loader:
    pass
loader.stats()
"""


def test_a_notebook_shows_a_bar_without_a_warning_and_stats_as_text(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' * 20)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK.format(directory=str(tmp_path)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the client's own
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    (text,) = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    assert text.startswith("5 steps, 20 samples in")
    bars_shown = [output for output in outputs if output.output_type in ("display_data", "stream")]
    assert "epoch 0" in str(bars_shown) and "Warning" not in str(bars_shown)
