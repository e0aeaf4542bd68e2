"""An append takes in what the set does not know yet: by name, size and time, and else by what a file holds."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import in_a_child

from pyloader import ChunkWriter, DataLoader
from pyloader.cli.main import main
from pyloader.errors import SplitError
from pyloader.write import SplitReport, discard_stopped, file_digests, known_inputs, line_files, split
from pyloader.write.file_digests import digest_of_file
from pyloader.write.input_files import input_file


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    Path("dumps").mkdir()
    for day in (1, 2, 3):
        write_day(day)


def write_day(day: int, num_rows: int = 40) -> Path:
    path = Path(f"dumps/day{day}.jsonl")
    path.write_text("".join(f'{{"id": {1000 * day + row}}}\n' for row in range(num_rows)))
    return path


def ids(place: str = "set") -> list[int]:
    return sorted(int(number) for batch in DataLoader(data_dir=place, batch_size=64) for number in batch["id"])


def days(*wanted: int) -> list[int]:
    return [1000 * day + row for day in wanted for row in range(40)]


def known(place: str = "set") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(place, ".inputs.jsonl").read_text().splitlines()]


def append(name: str, *options: str) -> int:
    return main(["split", name, "set/", "--append", *options])


def test_a_nightly_glob_takes_what_is_new_and_else_says_that_nothing_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["split", "dumps/day1.jsonl", "set/"]) == 0
    capsys.readouterr()
    assert append("dumps/*.jsonl") == 0
    assert "known     1 input was taken in before: passed over\n" in capsys.readouterr().out
    assert ids() == days(1, 2, 3)

    def nobody_reads(*given: Any, **named: Any) -> None:
        raise AssertionError(given)

    with monkeypatch.context() as patched:
        for module, function in ((line_files, "opened"), (known_inputs, "digest_of_file"), (file_digests, "opened")):
            patched.setattr(module, function, nobody_reads)
        assert append("dumps/*.jsonl") == 0
    assert "nothing new   3 inputs were taken in before: passed over\n" in capsys.readouterr().out
    assert json.loads(Path("set/manifest.json").read_text())["data_version"] == 2


@pytest.mark.slow
def test_thirty_nights_of_a_glob_take_each_file_once() -> None:
    shutil.rmtree("dumps")
    Path("dumps").mkdir()
    for night in range(1, 31):
        write_day(night)
        assert split("dumps/*.jsonl", "set", append=True).num_known == night - 1
    assert ids() == days(*range(1, 31))
    assert [line["path"] for line in known()] == [f"../dumps/day{day}.jsonl" for day in range(1, 31)]
    assert split("dumps/*.jsonl", "set", append=True).num_written == 0
    lists = sum(Path("set", name).stat().st_size for name in (".inputs.jsonl", ".versions.jsonl"))
    assert lists < 2 * Path("set/manifest.json").stat().st_size


def test_the_list_says_path_size_time_and_digest_and_which_version_took_it_in() -> None:
    split("dumps/day1.jsonl", "set")
    split(["dumps/day2.jsonl", "dumps/day3.jsonl"], "set", append=True)
    assert [(line["version"], line["path"]) for line in known()] == [
        (1, "../dumps/day1.jsonl"),
        (2, "../dumps/day2.jsonl"),
        (2, "../dumps/day3.jsonl"),
    ]
    about = os.stat("dumps/day1.jsonl")
    assert (known()[0]["num_bytes"], known()[0]["modified_ns"]) == (about.st_size, about.st_mtime_ns)
    assert known()[0]["digest"] == digest_of_file(input_file("dumps/day1.jsonl"))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("form", ["jsonl", "csv", "text"])
def test_the_digest_that_is_taken_in_parts_is_that_of_one_reading(
    form: str, suffix: str, small_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_steps(block=100)
    lines = ["id\n" if form == "csv" else '{"id": 0}\n', *(f'{{"id": {row}}}\n' for row in range(400))]
    path = f"dump.{form}{suffix}"
    data = "".join(lines).encode().removesuffix(b"\n")
    Path(path).write_bytes(gzip.compress(data) if suffix else data)
    split(path, "set", input_format=form, chunk_bytes=300)
    (line,) = known()
    num_parts = line.get("num_parts", 1)
    assert (num_parts > 10) == (not suffix and form != "csv")
    assert line["digest"] == digest_of_file(input_file(str(path)), num_parts)


def test_the_same_content_under_another_name_or_time_is_read_once_and_known(monkeypatch: pytest.MonkeyPatch) -> None:
    split("dumps/day1.jsonl", "set")
    shutil.copy("dumps/day1.jsonl", "dumps/day1-copy.jsonl")
    os.utime("dumps/day1.jsonl", ns=(5, 5))
    report = split(["dumps/day1.jsonl", "dumps/day1-copy.jsonl", "dumps/day2.jsonl"], "set", append=True)
    assert (report.num_known, ids()) == (2, days(1, 2))
    monkeypatch.setattr(known_inputs, "digest_of_file", None)
    assert split("dumps/day1*.jsonl", "set", append=True).num_known == 2


def test_a_set_and_its_dump_may_move_together_and_apart(tmp_path: Path) -> None:
    split("dumps/day1.jsonl", "set")
    Path("moved").mkdir()
    shutil.move("dumps", "moved/dumps")
    shutil.move("set", "moved/set")
    assert split("moved/dumps/day1.jsonl", "moved/set", append=True).num_known == 1
    shutil.move("moved/dumps/day1.jsonl", "day1.jsonl")
    assert split("day1.jsonl", "moved/set", append=True).num_known == 1


@pytest.mark.slow
def test_the_same_name_with_other_content_is_an_error_that_names_both_and_again_takes_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["split", "dumps/day1.jsonl", "set/", "-q"]) == 0
    assert append("dumps/*.jsonl", "-q") == 0
    write_day(2, 41)
    assert append("dumps/*.jsonl") == 2
    said = capsys.readouterr().err
    assert "dumps/day2.jsonl: is not what version 2 of set/ took in under this name: that had 520 bytes, of 2" in said
    assert "; this has 533, of 2" in said
    assert "name this one alone, and take it whole: --again" in said
    assert ids() == days(1, 2, 3)
    assert append("dumps/day2.jsonl", "--again", "-q") == 0
    assert ids() == sorted([*days(1, 2, 2, 3), 2040])
    assert append("dumps/*.jsonl", "-q") == 0
    assert append("dumps/day2.jsonl", "--again", "-q") == 0  # the very same command: its chunks are there
    assert len(ids()) == 161
    Path("dumps/day2.jsonl").write_text(Path("dumps/day2.jsonl").read_text().replace("2000", "2999"))
    assert append("dumps/*.jsonl", "-q") == 2
    assert "this has 533" in capsys.readouterr().err


def test_the_command_that_took_files_in_mends_their_chunks_and_the_glob_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for night in (1, 2):
        write_day(night)
        assert (
            append("dumps/day[12].jsonl", "-q") == 0 if night == 2 else main(["split", "dumps/day1.jsonl", "set/"]) == 0
        )
    chunk = Path("set/chunk-v00002-00000.jsonl.zst")
    whole = chunk.read_bytes()
    chunk.unlink()
    assert main(["verify", "set"]) == 1
    assert "pyloader split dumps/day2.jsonl set/ --append\n" in capsys.readouterr().out
    assert append("dumps/day2.jsonl") == 0
    assert chunk.read_bytes() == whole


def test_columns_of_arrays_are_known_together() -> None:
    for day in (1, 2):
        np.save(f"x{day}.npy", np.full((5, 2), day))
        np.save(f"y{day}.npy", np.zeros(5))
    split({"x": "x1.npy", "id": "y1.npy"}, "set")
    report = split({"x": "x?.npy", "id": "y?.npy"}, "set", append=True)
    assert (report.num_known, report.outputs[0].num_samples) == (1, 10)
    assert split({"x": "x?.npy", "id": "y?.npy"}, "set", append=True).num_known == 2
    np.save("x3.npy", np.full((5, 2), 3))
    with pytest.raises(SplitError, match=r"x3\.npy: belongs to y1\.npy, which was taken in before.*--again"):
        split({"x": "x3.npy", "id": "y1.npy"}, "set", append=True)


def test_parquet_is_known_by_its_content_unless_most_of_it_is_left_out() -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"id": [1, 2], "other": ["a", "b"]}), "a.parquet")
    shutil.copy("a.parquet", "b.parquet")
    split("a.parquet", "set")
    assert split("b.parquet", "set", append=True).num_known == 1
    split("a.parquet", "less", columns=["id"])
    assert "digest" not in known("less")[0]
    assert split("a.parquet", "less", columns=["id"], append=True).num_written == 0
    assert split("b.parquet", "less", columns=["id"], append=True).num_known == 0


def test_standard_input_and_programs_have_no_names_to_be_known_by(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"id": 7}\n')))
        split("-", "set", input_format="jsonl", append=True)
    with ChunkWriter("set", append=True) as writer:
        writer.write({"id": 7})
    assert not Path("set/.inputs.jsonl").exists()
    split("dumps/day1.jsonl", "set", append=True)  # the list begins
    assert split("dumps/*.jsonl", "set", append=True).num_known == 1
    assert ids() == [7, 7, 7, *days(1, 2, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("left", [".inputs.jsonl", ".versions.jsonl"])
def test_a_list_without_its_set_is_forgotten(left: str) -> None:
    split("dumps/day1.jsonl", "set")
    split("dumps/day2.jsonl", "set", append=True)
    kept = Path("set", left).read_bytes()
    split("dumps/day3.jsonl", "set", overwrite=True)
    Path("set", left).write_bytes(kept)
    for path in Path("set").glob("[!.]*"):
        path.unlink()
    with ChunkWriter("set") as writer:
        writer.write({"id": 7})
    assert {path.name for path in Path("set").iterdir()} == {"chunk-00000.jsonl.zst", "manifest.json"}
    assert split("dumps/*.jsonl", "set", append=True).num_known == 0
    assert ids() == [7, *days(1, 2, 3)]


@pytest.mark.slow
def test_one_list_is_kept_for_a_set_and_what_is_held_out_of_it() -> None:
    split("dumps/day1.jsonl", "set", holdout={"val": 0.3})
    report = split("dumps/*.jsonl", "set", holdout={"val": 0.3}, append=True)
    assert report.num_known == 1
    assert sorted([*ids("set/train"), *ids("set/val")]) == days(1, 2, 3)
    with pytest.raises(SplitError, match=r"Add to it with the same: --append --holdout val=0\.3"):
        split("dumps/*.jsonl", "set", append=True)


def test_a_damaged_list_says_what_its_removal_means() -> None:
    split("dumps/day1.jsonl", "set")
    Path("set/.inputs.jsonl").write_text("{")
    with pytest.raises(SplitError, match=r"set/\.inputs\.jsonl is damaged .* every input that is named counts as new"):
        split("dumps/day2.jsonl", "set", append=True)


def test_a_manifest_that_an_earlier_version_of_pyloader_wrote_anew_loses_no_chunk_and_no_input() -> None:
    split("dumps/day1.jsonl", "set", chunk_samples=40)
    split("dumps/day2.jsonl", "set", append=True)
    path = Path("set/manifest.json")
    content = json.loads(path.read_text())
    del content["data_version"]
    path.write_text(json.dumps(content))
    assert split("dumps/*.jsonl", "set", append=True).num_known == 2
    assert ids() == days(1, 2, 3)
    assert json.loads(path.read_text())["data_version"] == 3


def test_again_without_append_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="give append as well"):
        split("dumps/day1.jsonl", "set", again=True)


@pytest.mark.slow
def test_a_glob_killed_at_any_moment_takes_each_file_once_although_more_files_come() -> None:
    split("dumps/day1.jsonl", "begun", chunk_samples=80)

    def night(place: str) -> SplitReport:
        return split("dumps/*.jsonl", place, append=True, workers=1)

    shutil.copytree("begun", "counted")
    total = in_a_child(lambda: night("counted"), kill_at=10**9)
    for moment in [*range(0, total - 26, 25), *range(total - 26, total)]:
        shutil.rmtree("set", ignore_errors=True)
        Path("dumps/day4.jsonl").unlink(missing_ok=True)
        shutil.copytree("begun", "set")
        in_a_child(lambda: night("set"), kill_at=moment)
        extra = []
        if moment % 4:
            discard_stopped("set")
            with ChunkWriter("set", append=True) as writer:
                writer.write({"id": 7})
            extra = [7]
        write_day(4)
        night("set")
        assert ids() == [*extra, *days(1, 2, 3, 4)], f"kill at change {moment} of {total}"
        assert night("set").num_written == 0
