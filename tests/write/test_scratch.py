"""Rows are put aside where the user says, and nothing of them is left there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from killing import in_a_child

from pyloader.cli.main import main
from pyloader.errors import OutputDirError
from pyloader.write import aside, discard_stopped, split


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_steps: Any) -> Path:
    small_steps()
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"shuffle": True}, {"num_chunks": 5, "holdout": {"val": 0.2}}], ids=str)
def test_rows_are_put_aside_in_the_directory_that_was_named(
    options: dict[str, Any], dump: Path, tmp_path: Path, scratch: Path, tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    split(dump, tmp_path / "chunks", **options)
    places = set()
    whole = aside.SegmentWriter

    def noted(path: Path) -> Any:
        places.add(path.parent.parent)
        return whole(path)

    monkeypatch.setattr(aside, "SegmentWriter", noted)
    split(dump, tmp_path / "other", scratch_dir=scratch, **options)
    assert places == {scratch}
    assert not list(scratch.iterdir())
    chunks = [{name: data for name, data in tree(tmp_path / place).items() if "chunk-" in name} for place in
              ("chunks", "other")]  # fmt: skip
    assert chunks[0] == chunks[1]


@pytest.mark.slow
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_killed_split_leaves_its_rows_there_and_they_go_with_it(
    goes_on: bool, dump: Path, tmp_path: Path, scratch: Path, tree: Any
) -> None:
    output = tmp_path / "chunks"
    for kill_at in (11, 14, 60, 200, 320):  # the first of these while the directory is made
        in_a_child(lambda: split(dump, output, shuffle=True, scratch_dir=scratch, workers=1), kill_at=kill_at)
    assert len(list(scratch.iterdir())) == 1
    (scratch / "other").touch()
    if goes_on:
        split(dump, output, shuffle=True)  # which finds them where they are
        split(dump, tmp_path / "whole", shuffle=True)
        assert (output / "chunk-00003.jsonl.zst").read_bytes() == (
            tmp_path / "whole/chunk-00003.jsonl.zst"
        ).read_bytes()
    else:
        discard_stopped(output)
        assert not (output / ".split").exists()
    assert [path.name for path in scratch.iterdir()] == ["other"]


@pytest.mark.slow
def test_a_scratch_directory_that_is_gone_is_made_anew_where_the_command_says(
    dump: Path, tmp_path: Path, scratch: Path
) -> None:
    in_a_child(lambda: split(dump, tmp_path / "chunks", shuffle=True, scratch_dir=scratch, workers=1), kill_at=200)
    scratch.rename(tmp_path / "moved")
    (tmp_path / "disk2").mkdir()
    report = split(dump, tmp_path / "chunks", shuffle=True, scratch_dir=tmp_path / "disk2")
    assert report.outputs[0].num_samples == 400
    assert not list((tmp_path / "disk2").iterdir())


def test_a_scratch_directory_is_looked_at_beforehand(
    dump: Path, tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["split", str(dump), str(tmp_path / "chunks"), "--shuffle", "--scratch-dir", str(tmp_path / "none")]
    assert main(words) == 2
    assert "none is no directory, so no rows can be put aside there. Make it first" in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputDirError, match=r"cannot be written to\. Name another directory: --scratch-dir"):
        split(dump, tmp_path / "chunks", shuffle=True, scratch_dir=scratch)
    monkeypatch.undo()
    free = {scratch: 1000}
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free.get(path, 10**12)})())
    with pytest.raises(OutputDirError, match=r"scratch/ has 1\.0 kB free, and putting the rows aside takes about"):
        split(dump, tmp_path / "chunks", shuffle=True, scratch_dir=scratch)
    assert not (tmp_path / "chunks").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["other", "pyloader-rows-" + "0" * 31])
def test_a_note_from_a_stranger_names_no_other_directory(name: str, dump: Path, tmp_path: Path, scratch: Path) -> None:
    in_a_child(lambda: split(dump, tmp_path / "chunks", shuffle=True, workers=1), kill_at=150)
    other = tmp_path / name
    other.mkdir()
    (other / "unit-000.rows").touch()
    for written in (str(other), name):  # a name that is relative is none either
        (tmp_path / "chunks" / ".split" / "scratch").write_text(written)
        with pytest.raises(OutputDirError, match="names a directory that no split has made"):
            split(dump, tmp_path / "chunks", shuffle=True)
        with pytest.raises(OutputDirError, match="names a directory that no split has made"):
            discard_stopped(tmp_path / "chunks")
    assert (other / "unit-000.rows").exists()
