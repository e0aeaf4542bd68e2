"""A split goes past bad rows when it is told so: they are counted, listed, and change nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyloader.cli.main import main
from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.errors import FileError, SplitError
from pyloader.write import split

BAD = {
    5: (b'{"id": 5,', "is not whole JSON"),
    90: (b"[1]", "is a list, not an object with keys"),
    91: (b'{"id": 1}', "lacks 'text' and 'late'"),
    200: (b'{"id": 1, "text": "\xff", "late": 1}', "is not UTF-8"),
    399: (b'{"id": 99999999999999999999, "text": "", "late": 1}', "which int64 cannot hold"),
}


class NoThirteen(Dataset):
    def batch_encode(self, columns: Columns) -> Columns:
        if 13 in list(columns["id"]):
            raise ValueError("thirteen")
        return {"id": columns["id"]}


def no_seven(sample: dict[str, Any]) -> bool:
    if sample["id"] == 7:
        raise KeyError("seven")
    return True


@pytest.fixture
def damaged(dump: Path, tmp_path: Path) -> Path:
    """The dump with some lines, counted from 1, made bad."""
    lines = dump.read_bytes().splitlines()
    for number, (line, _) in BAD.items():
        lines[number - 1] = line
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.fixture
def good(dump: Path, tmp_path: Path) -> Path:
    """The dump without these lines."""
    lines = dump.read_bytes().splitlines(keepends=True)
    path = tmp_path / "good.jsonl"
    path.write_bytes(b"".join(line for number, line in enumerate(lines, start=1) if number not in BAD))
    return path


def chunks_in(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Return the chunks by name, also those that wait for their place."""
    return {Path(name).name: data for name, data in tree.items() if Path(name).name.startswith("chunk-")}


def units_in(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Return the chunks that wait for their names."""
    return {name: data for name, data in tree.items() if name.endswith(".jsonl.zst")}


def listed(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"chunk_bytes": 2000}, {"shuffle": True, "holdout": {"val": 0.2}}])
def test_the_chunks_are_those_of_the_good_rows(
    options: dict[str, Any], damaged: Path, good: Path, tmp_path: Path, values: Any, small_steps: Any
) -> None:
    small_steps()
    split(good, tmp_path / "expected", **options)
    report = split(damaged, tmp_path / "chunks", max_skipped=5, quarantine=tmp_path / "bad.jsonl", **options)
    assert report.num_skipped == 5
    for output in ("train", "val") if "holdout" in options else ("",):
        made, expected = (list(values(tmp_path / name / output, "id")) for name in ("chunks", "expected"))
        # Their order, where they are shuffled, follows from the units of the dump, of which it has other ones.
        assert (made == expected) if "shuffle" not in options else (sorted(made) == sorted(expected))
    rows = listed(tmp_path / "bad.jsonl")
    assert [(row["file"], row["line"], row["stage"]) for row in rows] == [(str(damaged), n, "read") for n in BAD]
    assert all(words in row["error"] for row, (_, words) in zip(rows, BAD.values(), strict=True))


@pytest.mark.slow
def test_one_more_than_allowed_stops_the_split_and_a_larger_number_goes_on_from_there(
    damaged: Path, good: Path, tmp_path: Path, tree: Any, values: Any, small_steps: Any
) -> None:
    small_steps()
    options: dict[str, Any] = {"chunk_bytes": 2000, "quarantine": tmp_path / "bad.jsonl"}
    split(good, tmp_path / "expected", chunk_bytes=2000)
    message = r"damaged.jsonl:399: has 9+ in 'id', .*, or leave it out: --max-skipped 40 --quarantine bad.jsonl"
    with pytest.raises(SplitError, match=message):
        split(damaged, tmp_path / "chunks", max_skipped=4, **options)
    written = tree(tmp_path / "chunks")
    report = split(damaged, tmp_path / "chunks", max_skipped=40, **options)
    assert report.num_skipped == 5
    assert report.num_written < len(chunks_in(tree(tmp_path / "chunks")))
    assert {*units_in(written).values()} <= {*tree(tmp_path / "chunks").values()}
    assert list(values(tmp_path / "chunks", "id")) == list(values(tmp_path / "expected", "id"))
    assert [row["line"] for row in listed(tmp_path / "bad.jsonl")] == list(BAD)  # each once


def test_nothing_is_left_out_unless_told(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"damaged.jsonl:5: is not whole JSON.* or leave it out: --max-skipped 10"):
        split(damaged, tmp_path / "chunks")


def test_lines_of_text_that_are_no_utf8_are_left_out(tmp_path: Path, values: Any) -> None:
    (tmp_path / "t.txt").write_bytes(b"one\r\ntwo \xe9\r\nthree\r\n")
    report = split(tmp_path / "t.txt", tmp_path / "chunks", max_skipped=1, quarantine=tmp_path / "bad.jsonl")
    assert report.num_skipped == 1
    assert values(tmp_path / "chunks", "text") == ["one", "three"]
    assert listed(tmp_path / "bad.jsonl")[0]["line"] == 2


@pytest.mark.parametrize(
    ("option", "stage", "line"), [({"encode": NoThirteen()}, "encode", 14), ({"where": no_seven}, "where", 8)]
)
def test_rows_that_the_users_code_fails_on_are_left_out(
    option: dict[str, Any], stage: str, line: int, dump: Path, tmp_path: Path, values: Any
) -> None:
    split(dump, tmp_path / "chunks", max_skipped=1, quarantine=tmp_path / "bad.jsonl", **option)
    assert list(values(tmp_path / "chunks", "id")) == [number for number in range(400) if number != line - 1]
    (row,) = listed(tmp_path / "bad.jsonl")
    assert (row["line"], row["stage"]) == (line, stage)
    assert row["error"] in ("ValueError: thirteen", "KeyError: 'seven'")


def test_the_error_of_the_users_code_arrives_as_itself_with_its_line(dump: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="thirteen") as caught:
        split(dump, tmp_path / "chunks", encode=NoThirteen())
    assert caught.value.__notes__ == [
        f"pyloader: {dump}:14; to leave it out: --max-skipped 10 --quarantine bad.jsonl",
    ]


def test_a_list_that_cannot_be_written_is_an_error(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"no/bad.jsonl: what is left out cannot be written down here"):
        split(damaged, tmp_path / "chunks", max_skipped=5, quarantine=tmp_path / "no" / "bad.jsonl")


def test_the_screen_counts_what_was_left_out(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["split", damaged.name, "chunks", "--max-skipped", "10", "--quarantine", "bad.jsonl"]
    assert main(words) == 0
    assert "left out   5 bad rows of the dump, listed in bad.jsonl" in capsys.readouterr().out


def test_a_check_lists_all_bad_rows_in_one_pass_and_writes_nothing(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["split", damaged.name, "chunks", "--check"]) == 1
    *rows, numbers, advice = capsys.readouterr().out.splitlines()
    assert [row.split(": ")[0] for row in rows] == [f"damaged.jsonl:{number}" for number in BAD]
    assert numbers == "5 bad rows and 395 good ones."
    assert sorted(tmp_path.iterdir()) == before
    advised = advice.partition(": ")[2].split()
    assert main(["split", damaged.name, "chunks", *advised]) == 0


def test_a_check_of_a_good_dump_says_so(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", str(dump), "chunks", "--check"]) == 0
    assert capsys.readouterr().out == "all well: 400 samples\n"


def test_a_check_goes_on_with_the_next_file_after_a_damaged_one(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import gzip

    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"id": 1, "text": "", "late": 1}\n' * 1000)[:-20])
    assert main(["split", str(cut), str(damaged), "chunks", "--check"]) == 1
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith(f"{cut}: ends early")
    assert len(rows) == 1 + len(BAD) + 2


def test_rows_of_csv_with_other_numbers_of_fields_are_left_out(tmp_path: Path, values: Any) -> None:
    rows = ["a,b", *(f"{number},x" for number in range(1000))]
    rows[10], rows[500], rows[501] = "9", "499,x,y", '"1,2"'
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    report = split(tmp_path / "t.csv", tmp_path / "chunks", max_skipped=3, quarantine=tmp_path / "bad.jsonl")
    assert report.num_skipped == 3
    assert list(values(tmp_path / "chunks", "a")) == [n for n in range(1000) if n not in (9, 499, 500)]
    assert [row["line"] for row in listed(tmp_path / "bad.jsonl")] == [11, 501, 502]
    with pytest.raises(SplitError, match=r"t\.csv:11: has 1 values, but the header has 2 names.* --max-skipped 10"):
        split(tmp_path / "t.csv", tmp_path / "others")
