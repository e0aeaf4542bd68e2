"""Small chunks become chunks of the set's size, and what was there can be loaded until it is dropped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import in_a_child

from pyloader import ChunkWriter, DataLoader
from pyloader.cli.main import main
from pyloader.columns import ColumnSpec
from pyloader.errors import OutputDirError, SplitError
from pyloader.files import list_chunks, read_manifest
from pyloader.write import compact, split


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def add(day: int, *, num_rows: int = 30, place: str = "set", **options: Any) -> None:
    rows = ({"id": 1000 * day + row, "x": row / 8} for row in range(num_rows))
    Path(f"day{day}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    split(f"day{day}.jsonl", place, append=Path(place).exists(), workers=1, **options)


def counts(place: str = "set") -> list[int]:
    found = list_chunks(place).counts
    assert found is not None
    return found.tolist()


def rows(place: str = "set", **options: Any) -> dict[int, float]:
    with DataLoader(data_dir=place, batch_size=50, num_workers=0, **options) as loader:
        pairs = [pair for batch in loader for pair in zip(batch["id"].tolist(), batch["x"].tolist(), strict=True)]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def days(*wanted: int, num_rows: int = 30) -> dict[int, float]:
    return {1000 * day + row: row / 8 for day in wanted for row in range(num_rows)}


# The sizes of an append


@pytest.mark.parametrize(
    ("said", "sizes"),
    [
        ({"chunk_samples": 25}, [25, 25, 25, 25]),
        ({"chunk_bytes": 600}, None),
        ({"num_chunks": 4}, [25, 25, 25, 25]),
    ],
)
def test_an_append_has_chunks_of_the_size_that_the_set_was_begun_with(
    said: dict[str, Any], sizes: list[int] | None
) -> None:
    add(1, num_rows=100, **said)
    before = counts()
    assert sizes is None or before == sizes
    add(2, num_rows=100)
    added = counts()[len(before) :]
    assert abs(len(added) - len(before)) <= 1
    assert max(added) <= max(before)
    add(3, num_rows=3)
    assert counts()[len(before) + len(added) :] == [3]
    compact("set")
    add(4, num_rows=100)
    assert abs(len([name for name in list_chunks("set").names if "v00004" in name]) - len(before)) <= 1


@pytest.mark.slow
def test_without_a_size_chunks_grow_with_the_set() -> None:
    for day in range(1, 13):
        add(day)
    assert len(counts()) < 16 + 16 * 3 + 12  # 16 of the first, and 16 / n of the n-th
    assert max(counts()) >= 15


def test_an_append_that_says_a_size_gets_it() -> None:
    add(1, chunk_samples=30)
    add(2, chunk_samples=7)
    assert counts() == [30, 7, 7, 7, 7, 2]
    add(3)
    assert counts()[-1] == 30


# Joining


FORMATS: dict[str, dict[str, Any]] = {
    "jsonl": {"output_format": "jsonl"},
    "jsonl.zst": {},
    "columns": {"output_format": "columns"},
    "parquet": {"output_format": "parquet"},
    "shuffled, with a holdout": {"shuffle": True, "holdout": {"val": 0.3}},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
def test_small_chunks_are_joined_and_every_row_stays(options: dict[str, Any]) -> None:
    add(1, num_rows=100, chunk_samples=100, **options)
    for day in range(2, 10):
        add(day, num_rows=11, **options)
    places = ["set/train", "set/val"] if "holdout" in options else ["set"]
    before = {place: (rows(place), len(counts(place)), list_chunks(place).manifest) for place in places}
    for report in compact("set"):
        found, num_chunks, manifest = before[report.directory]
        assert rows(report.directory) == found
        assert report.num_joined > report.num_written > 0
        assert len(counts(report.directory)) == report.num_chunks == num_chunks - report.num_joined + report.num_written
        assert rows(report.directory, data_version=9) == found
        now = list_chunks(report.directory).manifest
        assert manifest is not None
        assert now is not None
        assert now.columns == manifest.columns
        assert {**now.made_by, "origins": 0} == {**manifest.made_by, "origins": 0}
    assert main(["verify", "set", "-q"]) == 0
    assert [report.num_joined for report in compact("set")] == [0] * len(places)
    add(10, num_rows=100, **options)
    assert sum(len(rows(place)) for place in places) == 288


def test_nan_among_numbers_stays_what_it_was() -> None:
    for night in range(3):
        Path("day.jsonl").write_text('{"id": %d}\n{"id": %d, "x": 1.5}\n' % (2 * night, 2 * night + 1))  # noqa: UP031
        split("day.jsonl", "set", append=night > 0, again=night > 0, fill={"x": float("nan")}, chunk_samples=6)
    compact("set")
    with DataLoader(data_dir="set", batch_size=6) as loader:
        np.testing.assert_equal(next(loader)["x"], [np.nan, 1.5] * 3)


@pytest.mark.parametrize("column", ["array", "json", "bytes"])
def test_records_are_joined_byte_for_byte(column: str) -> None:
    module = pytest.importorskip("array_record.python.array_record_module")
    rng = np.random.default_rng(0)
    for night in range(9):
        rows = 9 if night else 60
        with ChunkWriter("records", format="arrayrecord", append=night > 0) as writer:
            if column == "array":
                writer.write_columns({"x": rng.random((rows, 3), np.float32)})
            for row in range(0 if column == "array" else rows):
                writer.write({"text": f"{night} {row}\n"} if column == "json" else {"record": rng.bytes(row % 9 + 1)})
    before, manifest = records_of(module), read_manifest("records/manifest.json")
    assert len(before) == 60 + 8 * 9
    (report,) = compact("records")
    assert report.num_joined >= 8 > report.num_written
    assert records_of(module) == before
    after = read_manifest("records/manifest.json")
    assert after.columns == manifest.columns


@pytest.mark.slow
def test_records_are_an_input_a_column_of_bytes(tmp_path: Path) -> None:
    pytest.importorskip("array_record.python.array_record_module")
    pytest.importorskip("pyarrow")
    with ChunkWriter("records", format="arrayrecord") as writer:
        for row in range(700):
            writer.write({"record": b"%d" % row})
    (file,) = Path("records").glob("*.arrayrecord")
    split(file, "table")
    assert list_chunks("table").manifest.columns == (ColumnSpec("record", "bytes"),)
    with DataLoader(data_dir="table", batch_size=700, shuffle=False) as loader:
        assert list(next(loader)["record"]) == [b"%d" % row for row in range(700)]
    file.write_bytes(file.read_bytes()[:-70_000])
    with pytest.raises(SplitError, match=r"\.arrayrecord: is damaged.*Fetch it again"):
        split(file, "other")


def records_of(module: Any) -> list[bytes]:
    found = []
    for entry in read_manifest("records/manifest.json").chunks:
        reader = module.ArrayRecordReader(f"records/{entry.file}")
        found += reader.read_all()
        reader.close()
    return found


@pytest.mark.slow
def test_chunks_of_others_are_left_alone_by_name() -> None:
    Path("others").mkdir()
    for row in range(100):
        Path("others", f"part-{row}.jsonl").write_text(f'{{"id": {row}}}\n')
    assert main(["index", "others", "-q"]) == 0
    with pytest.raises(OutputDirError, match=r"others/ holds part-0\.jsonl, which pyloader did not name"):
        compact("others")
    Path("empty").mkdir()
    for place in ("empty", "nowhere"):
        with pytest.raises(OutputDirError):
            compact(place)


def test_a_joined_chunk_that_is_damaged_is_not_said_to_come_again(capsys: pytest.CaptureFixture[str]) -> None:
    add(1, chunk_samples=30)
    for day in (2, 3, 4):
        add(day, num_rows=5)
    compact("set")
    (joined,) = Path("set").glob("chunk-v00005-*")
    joined.write_bytes(b"x")
    assert main(["verify", "set"]) == 1
    said = capsys.readouterr().out
    assert "put this one back from a copy, or go back to a version before pyloader compact set/" in said
    assert len(rows(data_version=4)) == 45


def test_what_is_left_of_a_command_is_not_said_to_come_again(capsys: pytest.CaptureFixture[str]) -> None:
    add(1, chunk_samples=25)  # 25 and 5
    add(2, num_rows=5)
    compact("set")
    Path("set/chunk-00000.jsonl.zst").write_bytes(b"x")
    assert main(["verify", "set"]) == 1
    assert "put this one back from a copy: others were joined since;" in capsys.readouterr().out


def test_an_index_of_a_set_with_versions_counts_what_the_newest_has_and_is_the_next() -> None:
    add(1, chunk_samples=30)
    for day in (2, 3, 4):
        add(day, num_rows=5)
    compact("set")
    found = rows()
    assert main(["index", "set", "--overwrite", "-q"]) == 0
    assert rows() == found == rows(data_version=5)
    assert read_manifest("set/manifest.json").version_number == 6
    Path("set/manifest.json").unlink()
    assert main(["index", "set", "-q"]) == 0
    assert split("day?.jsonl", "set", append=True).num_known == 4
    assert rows() == found


# Dropping


def test_dropping_ends_what_needs_old_chunks_and_deletes_these_alone(capsys: pytest.CaptureFixture[str]) -> None:
    add(1, num_rows=100, chunk_samples=50)
    for day in (2, 3):
        add(day, num_rows=5)
    whole = set(Path("set").glob("chunk-*"))
    assert main(["compact", "set"]) == 0
    said = capsys.readouterr().out
    assert "set    joined 2 small chunks into 1; version 4 has 3 chunks\n" in said
    assert "kept   versions 1 to 3 can be loaded; --drop-versions frees " in said
    assert main(["compact", "set", "--drop-versions"]) == 0
    said = capsys.readouterr().out
    assert "set       no small chunks to join; version 4 has 3 chunks\n" in said
    assert "ended     versions 2, 3: states saved there cannot be loaded any more\n" in said
    assert "deleted   2 chunks, " in said
    assert "kept      version 1 can be loaded\n" in said
    assert len(rows(data_version=1)) == 100
    assert {path.name for path in whole - set(Path("set").glob("chunk-*"))} == {
        "chunk-v00002-00000.jsonl.zst",
        "chunk-v00003-00000.jsonl.zst",
    }
    assert main(["compact", "set", "--drop-versions", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["ended"], report["num_deleted"], report["earlier"]) == ([], 0, [1])
    assert main(["compact", "set", "--drop-versions", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_file_of_versions_from_elsewhere_deletes_nothing_but_chunks() -> None:
    add(1, chunk_samples=30)
    add(2, num_rows=5)
    add(3, num_rows=5)
    Path("thesis.txt").write_text("keep")
    Path("set/notes.txt").write_text("keep")
    path = Path("set/.versions.jsonl")
    planted = {"number": 1, "fingerprint": "", "num_chunks": 1, "num_samples": 1, "is_ended": True}
    planted["leaving"] = ["../thesis.txt", "notes.txt", "manifest.json", "chunk-00000.jsonl.zst"]
    path.write_bytes(json.dumps(planted).encode() + b"\n")
    compact("set", drop_versions=True)
    assert Path("thesis.txt").exists()
    assert Path("set/notes.txt").exists()
    assert len(rows()) == 40


def test_nobody_compacts_while_somebody_writes() -> None:
    add(1)
    with ChunkWriter("set", append=True) as writer:
        writer.write({"id": 1, "x": 0.5})
        with pytest.raises(SplitError, match="is being written by this very process"):
            compact("set")


# Kills


def night(place: str) -> object:
    return compact(place, workers=1)


def night_that_drops(place: str) -> object:
    return compact(place, workers=1, drop_versions=True)


@pytest.mark.slow
@pytest.mark.parametrize(("work", "step"), [(night, 29), (night_that_drops, 31)])
def test_compacting_killed_at_any_moment_keeps_every_row_and_is_gone_on_with(
    work: Callable[[str], object], step: int
) -> None:
    add(1, place="begun", chunk_samples=30)
    for day in (2, 3, 4):
        add(day, place="begun", num_rows=5)
    expected = rows("begun")
    shutil.copytree("begun", "counted")
    total = in_a_child(lambda: work("counted"), kill_at=10**9)
    whole = sorted(path.name for path in Path("counted").iterdir())
    for number, moment in enumerate([*range(0, total, step), *range(total - 14, total, 2)]):
        shutil.rmtree("set", ignore_errors=True)
        shutil.copytree("begun", "set")
        # What is dropped is gone also for a loader that was made before.
        meanwhile = None if work is night_that_drops else lambda: rows("set")
        in_a_child(lambda: work("set"), kill_at=moment, meanwhile=meanwhile)
        assert rows() == expected, f"kill at change {moment} of {total}"
        assert main(["verify", "set", "-q"]) == 0
        if number % 3 == 2:
            add(9, num_rows=5) if not Path("set/.split/job.json").exists() else work("set")
        work("set")
        added = {row: x for row, x in rows().items() if row >= 9000}
        assert rows() == {**expected, **added}
        if not added:
            assert sorted(path.name for path in Path("set").iterdir()) == whole, f"kill at change {moment} of {total}"


@pytest.mark.slow
def test_after_a_compacting_of_one_of_several_sets_was_killed_an_append_comes_through() -> None:
    options: dict[str, Any] = {"holdout": {"val": 0.3}, "chunk_samples": 30}
    add(1, place="begun", **options)
    for day in (2, 3, 4):
        add(day, place="begun", num_rows=9, **options)
    shutil.copytree("begun", "counted")
    total = in_a_child(lambda: night("counted"), kill_at=10**9)
    for moment in range(0, total, 61):
        shutil.rmtree("set", ignore_errors=True)
        shutil.copytree("begun", "set")
        in_a_child(lambda: night("set"), kill_at=moment)
        add(5, num_rows=9, **options)
        compact("set")
        found = {**rows("set/train"), **rows("set/val")}
        assert len(found) == 30 + 4 * 9, f"kill at change {moment} of {total}"
        assert main(["verify", "set", "-q"]) == 0
