"""fill puts a value where one is missing, from every input and into every format."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader.cli.main import main
from pyloader.errors import OutputDirError, SplitError
from pyloader.write import split

ROWS: list[dict[str, Any]] = [
    {"id": 1, "age": 3, "name": "x"},
    {"id": 2, "age": None, "name": None},
    {"id": 3, "age": 5, "name": "z"},
]
FILL = {"age": 0, "name": "unknown", "extra": 7}


def write_jsonl(path: Path) -> None:
    lines = [json.dumps({name: value for name, value in row.items() if value is not None}) for row in ROWS]
    path.write_text("\n".join(lines) + "\n")


def write_csv(path: Path) -> None:
    delimiter = {".csv": ",", ".tsv": "\t"}[path.suffix]
    fields = [[("" if value is None else str(value)) for value in row.values()] for row in ROWS]
    path.write_text("\n".join(delimiter.join(row) for row in [list(ROWS[0]), *fields]) + "\n")


def write_arrow(path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.Table.from_pylist(ROWS)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as stream:
            stream.write_table(table)


WRITERS = {".jsonl": write_jsonl, ".csv": write_csv, ".tsv": write_csv, ".parquet": write_arrow, ".arrow": write_arrow}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("name", [None, "jsonl", "jsonl.zst", "parquet", "columns", "arrayrecord"])
def test_fill_works_from_every_input_into_every_format(
    suffix: str, name: str | None, tmp_path: Path, values: Any
) -> None:
    WRITERS[suffix](tmp_path / f"a{suffix}")
    columns = ["id", "age", "extra"] if name == "columns" else ["id", "age", "name", "extra"]
    report = split(
        tmp_path / f"a{suffix}", tmp_path / "chunks", output_format=name, fill=FILL, columns=columns, num_chunks=1
    )
    counts = {"age": 1, "name": 1, "extra": 3}
    assert {key: report.filled.get(key) for key in columns[1:]} == {key: counts[key] for key in columns[1:]}
    if name == "arrayrecord":
        rows = [json.loads(record) for record in values(tmp_path / "chunks", "record")]
    else:
        rows = [
            dict(zip(columns, row, strict=True))
            for row in zip(*(values(tmp_path / "chunks", key) for key in columns), strict=True)
        ]
    filled = [{**FILL, **{key: value for key, value in row.items() if value is not None}} for row in ROWS]
    assert rows == [{key: row[key] for key in columns} for row in filled]


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("name", [None, "jsonl", "parquet", "columns"])
def test_a_nan_makes_numbers_with_gaps_an_array_of_floats(
    suffix: str, name: str | None, tmp_path: Path, read_all: Any
) -> None:
    WRITERS[suffix](tmp_path / f"a{suffix}")
    fill = {"age": math.nan}
    split(tmp_path / f"a{suffix}", tmp_path / "chunks", output_format=name, fill=fill, columns=["age"], num_chunks=1)
    (back,) = read_all(tmp_path / "chunks")
    assert back["age"].dtype == np.float64
    np.testing.assert_array_equal(back["age"], [3, math.nan, 5])


def test_arrays_get_the_columns_that_a_file_lacks(tmp_path: Path, values: Any) -> None:
    np.savez(tmp_path / "1.npz", x=np.arange(2), y=np.ones(2))
    np.savez(tmp_path / "2.npz", x=np.arange(2, 4))
    split([tmp_path / "1.npz", tmp_path / "2.npz"], tmp_path / "chunks", fill={"y": math.nan})
    np.testing.assert_array_equal(values(tmp_path / "chunks", "y"), [1, 1, math.nan, math.nan])
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    split(tmp_path / "a.txt", tmp_path / "text", fill={"label": 0})
    assert values(tmp_path / "text", "label") == [0, 0]


def test_a_csv_column_of_numbers_with_a_gap_is_numbers(tmp_path: Path, read_all: Any, small_steps: Any) -> None:
    small_steps()
    fields = [
        f"{i},{i if i != 250 else ''},{i}.5,{'' if i < 299 else 1.5},{i if i % 2 else 'null'},," for i in range(300)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["full,gap,f,late,word,empty,quoted", *fields]) + "\n")
    report = split(tmp_path / "a.csv", tmp_path / "chunks", chunk_samples=50)
    shown = ["full: int64", "gap: int", "f: float64", "late: float", "word: str", "empty: str", "quoted: str"]
    assert list(map(str, report.columns)) == shown
    parts = read_all(tmp_path / "chunks")
    assert [value for part in parts for value in part["gap"]] == [i if i != 250 else None for i in range(300)]
    assert [value for part in parts for value in part["late"]] == [None] * 299 + [1.5]
    assert all(type(value) is int for part in parts for value in part["gap"] if value is not None)
    assert parts[0]["word"][:2] == ["null", "1"]


def test_a_csv_column_of_whole_numbers_fractions_and_gaps_is_fractions(tmp_path: Path, values: Any) -> None:
    (tmp_path / "a.csv").write_text("x,t\n1,a\n2.5,b\n,c\n")
    for name in ("jsonl", "parquet"):
        split(tmp_path / "a.csv", tmp_path / name, output_format=name, num_chunks=3)
        found = values(tmp_path / name, "x")
        assert (found, type(found[0])) == ([1.0, 2.5, None], float)


def test_a_csv_column_that_was_text_in_a_set_stays_text_in_it(tmp_path: Path, values: Any) -> None:
    (tmp_path / "1.csv").write_text("x\n1\nword\n")
    (tmp_path / "2.csv").write_text('x\n2\n""\n')
    split(tmp_path / "1.csv", tmp_path / "chunks")
    split(tmp_path / "2.csv", tmp_path / "chunks", append=True)
    assert values(tmp_path / "chunks", "x") == ["1", "word", "2", ""]


def test_damaged_chunks_that_an_earlier_version_made_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,a\n,b\n3,c\n4,d\n")
    split(tmp_path / "a.csv", tmp_path / "chunks", num_chunks=2, output_format="jsonl")
    path = tmp_path / "chunks" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["made_by"]["content"] = "0011aabb"
    path.write_text(json.dumps(manifest))
    assert split(tmp_path / "a.csv", tmp_path / "chunks", num_chunks=2, output_format="jsonl").num_written == 0
    (tmp_path / "chunks" / "chunk-00001.jsonl").unlink()
    with pytest.raises(SplitError, match=r"an earlier version of pyloader made .*Put them back from a copy, or start"):
        split(tmp_path / "a.csv", tmp_path / "chunks", num_chunks=2, output_format="jsonl")


def test_a_gap_that_no_array_holds_is_refused_with_a_remedy_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(Path("a.csv"))
    write_jsonl(Path("a.jsonl"))
    assert main(["split", "a.csv", "chunks", "--to", "columns", "--columns", "id,age"]) == 2
    assert "a.csv:3: has null in column 'age', which no array holds. Fill it: --fill age=0" in capsys.readouterr().err
    assert main(["split", "a.csv", "chunks", "--to", "columns", "--columns", "id,age", "--fill", "age=0", "-q"]) == 0
    assert main(["split", "a.csv", "other", "--columns", "id,age", "--to", "parquet", "-q"]) == 0


def test_the_screen_counts_what_was_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(Path("a.csv"))
    assert main(["split", "a.csv", "chunks", "--fill", "age=-1", "--fill", "name=none"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "age: int64 (missing in 1 sample: --fill age=-1 was given)" in shown
    assert "name: str (missing in 1 sample: --fill name=none was given)" in shown


def test_a_line_that_lacks_a_key_late_in_the_dump_makes_the_column_what_fills_it(
    tmp_path: Path, read_all: Any, small_steps: Any
) -> None:
    small_steps(block=100)
    lines = ['{"t": "x", "n": 1}\n'] * 200 + ['{"t": "x"}\n']
    (tmp_path / "dump.jsonl").write_text("".join(lines))
    split(tmp_path / "dump.jsonl", tmp_path / "chunks", fill={"n": math.nan}, num_chunks=2)
    assert [part["n"].dtype for part in read_all(tmp_path / "chunks")] == [np.float64, np.float64]
    split(tmp_path / "dump.jsonl", tmp_path / "text", fill={"n": "none"}, num_chunks=2)
    assert read_all(tmp_path / "text")[1]["n"][-1] == "none"


def test_what_cannot_fill_a_column_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="fill: age cannot be inf, which JSON cannot hold"):
        split(tmp_path / "a.jsonl", tmp_path / "chunks", fill={"age": math.inf, "name": ""})
    with pytest.raises(SplitError, match=r"has 'name' as str, beside the NaN that fills it\. .* --fill name=''"):
        split(tmp_path / "a.jsonl", tmp_path / "chunks", fill={"age": 0, "name": math.nan})
    write_arrow(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="fill: age cannot be 'x'; the column is int64"):
        split(tmp_path / "a.parquet", tmp_path / "chunks", fill={"age": "x"})


def test_appended_chunks_of_another_kind_are_still_refused(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("x\n1\n2\n")
    (tmp_path / "2.csv").write_text("x\nword\n")
    split(tmp_path / "1.csv", tmp_path / "chunks", output_format="jsonl")
    with pytest.raises(OutputDirError, match="has 'x' as a list of str, not 'x' as int64"):
        split(tmp_path / "2.csv", tmp_path / "chunks", append=True, output_format="jsonl")
