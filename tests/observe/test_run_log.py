"""The log of a run: a line a second, written by each rank, and never the end of the run."""

from __future__ import annotations

import json
import shutil

import pytest
from numbered import loader_of, write_chunks
from ranks import write_counted

from pyloader.errors import WriteError


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_rank_writes_a_file_that_begins_with_what_the_run_is(tmp_path):
    write_counted(tmp_path / "chunks", [10] * 4)
    for rank in (0, 1):
        options = {"world": (rank, 2), "last_batch": "drop", "log_dir": tmp_path / "run"}
        with loader_of(tmp_path / "chunks", batch_size=2, **options) as loader:
            assert len(list(loader)) == 10
        first, *lines = lines_of(tmp_path / "run" / f"rank-{rank:05d}.jsonl")
        assert first["about"]["loader"] == repr(loader) and first["about"]["steps_per_epoch"] == 10
        assert [line["steps"] for line in lines] == [1, 10]  # the first batch, and the end: it took no second
        assert {line["rank"] for line in lines} == {rank} and all("verdict" in line for line in lines)


def test_a_run_that_resumes_goes_on_in_the_same_file(tmp_path):
    write_chunks(tmp_path / "chunks", [10] * 2)
    state = None
    for _ in range(2):
        with loader_of(tmp_path / "chunks", batch_size=2, log_dir=tmp_path / "run") as loader:
            if state is not None:
                loader.load_state_dict(state)
            for _ in range(5):
                next(loader)
            state = loader.state_dict()
    lines = lines_of(tmp_path / "run" / "rank-00000.jsonl")
    assert ["about" in line for line in lines] == [True, False, False] * 2
    assert [line["steps_done"] for line in lines if "steps_done" in line] == [1, 5, 6, 10]


def test_a_directory_that_cannot_be_made_is_an_error_at_the_start(tmp_path):
    write_chunks(tmp_path / "chunks", [10])
    (tmp_path / "run").write_text("a file")
    with pytest.raises(WriteError, match=r"rank-00000.jsonl: cannot be written.*Give log_dir a directory"):
        loader_of(tmp_path / "chunks", log_dir=tmp_path / "run")


def test_a_log_that_can_no_longer_be_written_is_one_warning(tmp_path, caplog):
    write_chunks(tmp_path / "chunks", [10])
    with loader_of(tmp_path / "chunks", batch_size=2, log_dir=tmp_path / "run") as loader:
        shutil.rmtree(tmp_path / "run")
        assert len(list(loader)) == 5
    assert sum("an observer of the loader failed" in record.message for record in caplog.records) == 1
