"""The log of a loader of items: what `pyloader watch` and `report` read."""

from __future__ import annotations

import json

import numpy as np
from parsed_page import ParsedPage

from pyloader import indexed
from pyloader.cli.main import main


class Failing:
    """Numbers, of which one cannot be had."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> dict[str, int]:
        if index == 7:
            raise OSError("gone")
        return {"x": index}


def test_a_loader_of_items_logs_each_rank_and_goes_on_in_the_same_file(tmp_path):
    state = None
    for _ in range(2):
        for rank in (0, 1):
            options = {"world": (rank, 2), "batch_size": 5, "num_epochs": 2, "last_batch": "drop"}
            with indexed.DataLoader(np.arange(40), **options, log_dir=tmp_path / "run") as loader:
                if state is not None:
                    loader.load_state_dict(state)
                for _ in range(3):
                    next(loader)
        state = loader.state_dict()
        for path in (tmp_path / "run").iterdir():
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            assert lines[0]["about"]["options"]["batch_size"] == 5
            assert lines[0]["about"]["loader"].startswith("DataLoader(")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["rank-00000.jsonl", "rank-00001.jsonl"]
    assert [line["steps_done"] for line in lines if "steps_done" in line][::2] == [1, 4]


def test_a_report_of_items_names_those_that_were_left_out(tmp_path, capsys):
    options = {"max_skipped": 1, "num_epochs": 1, "num_workers": 0}
    with indexed.DataLoader(Failing(), batch_size=4, **options, log_dir=tmp_path / "run") as loader:
        assert len(list(loader)) == 10
    assert main(["watch", str(tmp_path / "run"), "--once"]) == 0
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "step 10" in " ".join(capsys.readouterr().out.split())
    page = ParsedPage((tmp_path / "run" / "report.html").read_text())
    assert page.stands_alone()
    assert {"item 7", "OSError: gone", "Slowest steps"} <= set(page.texts)
    assert "mixed with" not in page.texts  # items are in no chunks


def test_a_loader_of_items_without_a_log_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with indexed.DataLoader(np.arange(8), batch_size=4, num_epochs=1) as loader:
        assert len(list(loader)) == 2 and "log_dir" not in repr(loader)
    assert not list(tmp_path.iterdir())
