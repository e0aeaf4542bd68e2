"""Columns that the readers know, split knows too: Arrow's types stay, and drift from file to file is promoted."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import math
import random
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader.cli.main import main
from pyloader.dataset import Dataset
from pyloader.errors import SplitError
from pyloader.files import list_chunks
from pyloader.read.parquet import ParquetReader
from pyloader.write import formats, split

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
pq = pytest.importorskip("pyarrow.parquet")

NOON = datetime.datetime(2024, 1, 1, 12)
TWO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# pyarrow 15 cannot read a vector that is missing from the Parquet that it wrote, and gives float16 as NumPy's scalars.
IS_OLD = int(pa.__version__.partition(".")[0]) <= 15
NO_VECTOR = [None, 2.5] if IS_OLD else None
COLUMNS = {
    "image": pa.array([{"bytes": b"\x89PNG", "path": "a.png"}, None], TWO),
    "images": pa.array([[{"bytes": b"\x89", "path": None}], []], pa.list_(TWO)),
    "zoned": pa.array([NOON, None], pa.timestamp("ns", "Europe/Prague")),
    "naive": pa.array([NOON, NOON], pa.timestamp("us")),
    "day": pa.array([NOON.date(), None]),
    "time": pa.array([NOON.time(), None]),
    "span": pa.array([datetime.timedelta(1), None]),
    "price": pa.array([Decimal("1.50"), None]),
    "wide_price": pa.array([Decimal("-1.50"), None], pa.decimal256(60, 2)),
    "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())),
    "u64": pa.array([2**64 - 1, 0], pa.uint64()),
    "vector": pa.array([[1.5, 2], [3, 4]], pa.list_(pa.float32(), 2)),
    "holes": pa.array([[1.5, None], NO_VECTOR], pa.list_(pa.float32(), 2)),
    "large_text": pa.array(["é", None], pa.large_string()),
    "large_bytes": pa.array([b"\xff", None], pa.large_binary()),
    "large_list": pa.array([[1], None], pa.large_list(pa.int16())),
    "half": pa.array([np.float16(1.5), None], pa.float16()),
    "single": pa.array([math.nan, None], pa.float32()),
    "infinite": pa.array([-math.inf, -0.0], pa.float64()),
    "nothing": pa.array([None, None]),
    "word": pa.array(["a", None]).dictionary_encode(),
    "fixed": pa.array([b"0" * 16, None], pa.binary(16)),
    "count": pa.array([1, None], pa.int32()),
    "good": pa.array([True, None]),
}
if IS_OLD:
    del COLUMNS["half"]
TABLE = pa.table(COLUMNS)


def write(table: Any, path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=7)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    else:  # the streaming form, as Hugging Face writes it
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=7)
    return path


def written(directory: Path) -> Any:
    # From memory: threads of pyarrow may close a file a moment later, and tests are asked what they have left open.
    files = [io.BytesIO(path.read_bytes()) for path in sorted(directory.glob("chunk-*.parquet"))]
    return pa.concat_tables([pq.read_table(file) for file in files])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize(
    "options", [{}, {"shuffle": True}, {"output_format": "parquet"}, {"chunk_samples": 5}], ids=str
)
def test_every_type_of_arrow_comes_back_as_it_was(suffix: str, options: dict[str, Any], tmp_path: Path) -> None:
    table = pa.concat_tables([TABLE] * 12).append_column("id", pa.array(range(24)))
    report = split(write(table, tmp_path / f"a{suffix}"), tmp_path / "chunks", **options)
    back = written(tmp_path / "chunks").sort_by("id")
    for name in table.column_names:
        kind = table.schema.field(name).type
        assert back.schema.field(name).type == (pa.string() if name == "word" else kind)
        if name == "single":  # a NaN is no other NaN's equal
            assert back[name].is_valid().equals(table[name].is_valid())
        else:
            assert back[name].cast(table[name].type).equals(table[name]), name
    assert bool(report.why) == ("output_format" not in options)


def test_the_manifest_says_what_the_reader_gives(tmp_path: Path, read_all: Any) -> None:
    from pyloader.columns import column_specs

    split(write(TABLE, tmp_path / "a.parquet"), tmp_path / "chunks", num_chunks=1)
    manifest = list_chunks(tmp_path / "chunks").manifest
    assert manifest is not None
    assert column_specs(read_all(tmp_path / "chunks")[0]) == manifest.columns


def test_null_and_infinity_and_nan_stay_apart_from_parquet_to_parquet(tmp_path: Path, values: Any) -> None:
    table = pa.table({"x": [1.0, None, math.inf, math.nan], "n": [1, None, 3, 4], "t": list("abcd")})
    split(write(table, tmp_path / "a.parquet"), tmp_path / "chunks", output_format="parquet")
    x = values(tmp_path / "chunks", "x")
    assert (x[:3], math.isnan(x[3])) == ([1.0, None, math.inf], True)
    assert values(tmp_path / "chunks", "n") == [1, None, 3, 4]


def test_parquet_is_chosen_where_json_would_change_a_value_and_the_screen_says_so(
    tmp_path: Path, values: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(pa.table({"logprob": [-0.5, -math.inf, math.inf], "text": list("abc")}), Path("a.parquet"))
    for _ in range(2):  # the second time there is nothing to do, and it is still true
        assert main(["split", "a.parquet", "chunks", "--num-chunks", "1"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "parquet a.parquet:2 has -inf in column 'logprob', which JSON cannot hold" in shown
    assert values(tmp_path / "chunks", "logprob") == [-0.5, -math.inf, math.inf]
    assert main(["split", "a.parquet", "json", "--to", "jsonl"]) == 2
    assert "a.parquet:2: has -inf in column 'logprob', which JSON cannot hold. Write Parquet" in capsys.readouterr().err
    assert main(["split", "a.parquet", "json", "--to", "parquet", "-q"]) == 0


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (pa.array([1.5, 2], pa.float32()), "JSON cannot hold x: float"),
        (pa.array([[0.1], []], pa.list_(pa.float32())), "JSON cannot hold x: list<"),
        (pa.array([[math.nan], []]), r"a\.parquet:1 has \[nan\] in column 'x'"),
        (pa.array([math.nan, None]), r"a\.parquet:1 has nan in column 'x', where NaN and null meet"),
        (pa.array([1, 2], pa.int32()), "JSON cannot hold x: int32"),
        (pa.array([NOON, None]), r"JSON cannot hold x: timestamp\[us\]"),
    ],
    ids=str,
)
def test_what_json_would_change_beside_text_keeps_its_type(column: Any, why: str, tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "x": column})
    report = split(write(table, tmp_path / "a.parquet"), tmp_path / "chunks", num_chunks=1)
    assert report.format == "parquet"
    assert re.search(why, report.why)
    assert written(tmp_path / "chunks").schema.field("x").type == column.type


def test_what_json_gives_back_stays_json_lines_and_numbers_stay_arrays(tmp_path: Path, values: Any) -> None:
    table = pa.table({"t": ["a", None], "n": [1, 2], "x": [0.1, None], "l": [[1.5, None], []], "d": [{"k": "v"}, None]})
    assert split(write(table, tmp_path / "a.parquet"), tmp_path / "json").format == "jsonl"
    assert values(tmp_path / "json", "x") == [0.1, None]
    numbers = pa.table({name: COLUMNS[name] for name in ("u64", "vector", "naive", "infinite")})
    assert split(write(numbers, tmp_path / "n.parquet"), tmp_path / "columns").format == "columns"
    assert values(tmp_path / "columns", "u64") == [2**64 - 1, 0]
    assert values(tmp_path / "columns", "infinite") == [-math.inf, 0.0]


@pytest.mark.slow
def test_numbers_with_a_null_go_to_parquet_wherever_it_stands(tmp_path: Path, values: Any) -> None:
    for place in (0, 150_000):
        numbers: list[Any] = list(range(150_001))
        numbers[place] = None
        path = tmp_path / f"{place}.parquet"
        pq.write_table(pa.table({"n": pa.array(numbers, pa.int32())}), path)
        report = split(path, tmp_path / f"chunks-{place}")
        assert report.format == "parquet"
        assert f":{place + 1} has null in column 'n', which no array holds" in report.why
        assert values(tmp_path / f"chunks-{place}", "n") == numbers


@pytest.mark.parametrize("beside", [{}, {"text": ["t"]}], ids=str)
@pytest.mark.parametrize("options", [{}, {"output_format": "parquet"}], ids=str)
def test_numbers_that_drift_between_files_are_promoted_whatever_stands_beside(
    beside: dict[str, Any], options: dict[str, Any], tmp_path: Path, values: Any
) -> None:
    drift = [pa.array([1], pa.int32()), pa.array([2], pa.int64()), pa.array([2.5]), pa.array([4.5], pa.float32())]
    for index, column in enumerate([*drift, pa.array([None])]):
        write(pa.table({"a": column, **beside}), tmp_path / f"{index}.parquet")
    split(str(tmp_path / "[0-3].parquet"), tmp_path / "chunks", **options)
    assert values(tmp_path / "chunks", "a") == [1.0, 2.0, 2.5, 4.5]
    manifest = list_chunks(tmp_path / "chunks").manifest
    assert manifest is not None
    assert str(manifest.columns[0]) == "a: float64"
    split(str(tmp_path / "*.parquet"), tmp_path / "null", **options)
    assert values(tmp_path / "null", "a") == [1.0, 2.0, 2.5, 4.5, None]


def test_what_cannot_be_promoted_names_both_files(tmp_path: Path) -> None:
    write(pa.table({"a": [1, 2], "b": [1, 2]}), tmp_path / "1.parquet")
    write(pa.table({"a": ["x"], "b": [3]}), tmp_path / "2.parquet")
    inputs = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    complaint = r"2\.parquet: has 'a' as string, but .*1\.parquet has it as int64\. Cast one of them, .* --columns b"
    with pytest.raises(SplitError, match=complaint):
        split(inputs, tmp_path / "chunks")
    assert split(inputs, tmp_path / "chunks", columns=["b"]).outputs[0].num_samples == 3
    write(pa.table({"a": [0.5], "b": [3]}), tmp_path / "2.parquet")
    write(pa.table({"a": [1, 2**53 + 1], "b": [1, 2]}), tmp_path / "1.parquet")
    with pytest.raises(
        SplitError, match=r"1\.parquet:2: has 9007199254740993 in 'a', which double cannot hold exactly"
    ):
        split(inputs, tmp_path / "other")
    write(pa.table({"a": [0.5], "c": [3]}), tmp_path / "2.parquet")
    with pytest.raises(SplitError, match=r"2\.parquet: lacks 'b', which .*1\.parquet has\. .* --fill b=.* --columns a"):
        split(inputs, tmp_path / "other")


class Logs(Dataset):
    def batch_encode(self, columns: Any) -> Any:
        with np.errstate(divide="ignore"):
            return {"text": columns["text"], "log": np.log(np.array(columns["n"], np.float64))}


def test_what_is_encoded_goes_to_parquet_where_json_cannot_hold_it(tmp_path: Path, values: Any) -> None:
    (tmp_path / "dump.jsonl").write_text("".join(f'{{"text": "t", "n": {n}}}\n' for n in (1, 1, 0)))
    report = split(tmp_path / "dump.jsonl", tmp_path / "chunks", encode=Logs())
    assert report.format == "parquet"
    assert "dump.jsonl:3 has -inf in column 'log', which JSON cannot hold" in report.why
    assert values(tmp_path / "chunks", "log") == [0.0, 0.0, -math.inf]


def test_lines_that_are_left_out_do_not_change_the_number_of_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text("\n".join(f'{{"text": "t", "n": {n}}}\n' for n in (1, 1, 0)))
    complaint = r"dump\.jsonl:5: has -inf in column 'log', which JSON cannot hold\. Write Parquet"
    with pytest.raises(SplitError, match=complaint):
        split(
            tmp_path / "dump.jsonl",
            tmp_path / "chunks",
            encode=Logs(),
            where=lambda sample: sample["n"] == 0,
            output_format="jsonl",
        )


def test_json_of_lines_is_an_input_packed_or_not(tmp_path: Path, values: Any) -> None:
    (tmp_path / "a.json").write_bytes(b'{"a":1}\n{"a":2}\n')
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b'{"a":3}\n'))
    split([tmp_path / "a.json", tmp_path / "b.json.gz"], tmp_path / "chunks")
    assert values(tmp_path / "chunks", "a") == [1, 2, 3]


def test_where_sees_the_values_that_a_reader_gives(tmp_path: Path, values: Any) -> None:
    split(
        write(TABLE, tmp_path / "a.parquet"),
        tmp_path / "chunks",
        where=lambda sample: sample["image"] is None and sample["u64"] == 0,
    )
    assert values(tmp_path / "chunks", "infinite") == [0.0]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_damaged_file_is_named(suffix: str, tmp_path: Path) -> None:
    path = write(pa.table({"a": list(range(10_000)), "t": ["x"] * 10_000}), tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SplitError, match=rf"a\{suffix}: cannot be read.*Fetch it again"):
        split(path, tmp_path / "chunks")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_two_columns_of_one_name_are_named_by_the_reader_too(suffix: str, tmp_path: Path) -> None:
    from pyloader.errors import ChunkReadError

    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "b"])
    path = str(write(table, tmp_path / f"d{suffix}"))
    for columns in (None, ["a"]):
        with pytest.raises(ChunkReadError, match=rf"d\{suffix}: has two columns called 'a'\. Rename one"):
            ParquetReader(columns=columns).read_file(path)
    assert ParquetReader(columns=["b"]).read_file(path)[0]["b"].tolist() == [3]
    assert main(["index", str(tmp_path)]) == 2


@pytest.mark.slow
def test_a_stopped_split_of_arrow_goes_on_with_the_same_types(tmp_path: Path, tree: Any, small_steps: Any) -> None:
    table = pa.concat_tables([TABLE] * 200).append_column("id", pa.array(range(400)))
    path = write(table, tmp_path / "a.parquet")
    small_steps()
    split(path, tmp_path / "whole", chunk_samples=50)
    stops = iter(range(3))

    def until_stopped(sample: dict[str, Any]) -> bool:
        if sample["id"] in (120, 250, 399) and next(stops, None) is not None:
            raise KeyboardInterrupt
        return True

    for _ in range(4):
        try:
            split(path, tmp_path / "chunks", chunk_samples=50, where=until_stopped)
        except KeyboardInterrupt:
            continue
    ours = {name: data for name, data in tree(tmp_path / "chunks").items() if "manifest" not in name}
    assert ours == {name: data for name, data in tree(tmp_path / "whole").items() if "manifest" not in name}


@pytest.mark.slow
@pytest.mark.parametrize("batch_bytes", [2**22, 2**14])
def test_how_many_rows_are_made_arrow_arrays_at_a_time_changes_no_byte(
    batch_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_BATCH_BYTES", batch_bytes)
    chance = random.Random(0)  # several pages of text that is not compressed to nothing
    rows = [json.dumps({"id": number, "text": chance.randbytes(500).hex()}) for number in range(3000)]
    (tmp_path / "dump.jsonl").write_text("\n".join(rows) + "\n")
    found = []
    for size in (2**22, 50_000):
        monkeypatch.setattr(formats, "BLOCK_BYTES", size)
        split(tmp_path / "dump.jsonl", tmp_path / f"{size}", output_format="parquet", num_chunks=1)
        again = tmp_path / f"again-{size}"
        split(tmp_path / f"{size}" / "chunk-*.parquet", again, output_format="parquet", num_chunks=1, shuffle=True)
        found.append([(tmp_path / name / "chunk-00000.parquet").read_bytes() for name in (f"{size}", f"again-{size}")])
    assert found[0] == found[1]
