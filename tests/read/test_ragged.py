"""Readers that are told ragged=: lists of numbers and bytes come as ragged columns."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pyloader import ArrayRecordReader, DataLoader, JsonlReader, PaddingDataCollator, ParquetReader, Ragged, reader_for
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError
from pyloader.files import read_manifest
from pyloader.testing import check_reader

ROWS = [[7, 8, 9], [], [1], [300]]
IMAGES = [b"to", b"", b"be", b"\xff"]


def parquet(path, columns, **options) -> str:
    pyarrow.parquet.write_table(pa.table(columns), path, **options)
    return str(path)


def lines(path, rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("kind", [pa.list_(pa.int32()), pa.large_list(pa.int32())], ids=str)
@pytest.mark.parametrize("groups", [2, 100])
def test_parquet_lists_and_binaries_are_ragged_where_they_are_named(tmp_path, kind, groups):
    table = {"ids": pa.array(ROWS, kind), "image": IMAGES, "other": ROWS, "n": [1, 2, 3, 4]}
    path = parquet(tmp_path / "a.parquet", table, row_group_size=groups)
    columns = check_reader(ParquetReader(ragged=["ids", "image"]), path)
    assert columns["ids"] == Ragged.from_rows(ROWS, dtype="int32")
    assert columns["image"] == Ragged.from_rows(IMAGES)
    assert columns["other"] == ROWS
    everything = check_reader(ParquetReader(ragged=True, dtypes={"other": object}), path)
    assert everything["other"] == ROWS
    assert [type(everything[name]) for name in ("ids", "image", "n")] == [Ragged, Ragged, np.ndarray]
    assert not [name for name, values in ParquetReader().read_file(path)[0].items() if isinstance(values, Ragged)]


def test_strings_and_lists_of_strings_stay_lists(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"text": ["a", "b"], "words": [["a"], []], "deep": [[[1]], []]})
    columns = check_reader(ParquetReader(ragged=True), path)
    assert columns == {"text": ["a", "b"], "words": [["a"], []], "deep": [[[1]], []]}


def test_an_arrow_file_is_not_copied(tmp_path):
    table = pa.table({"ids": pa.array(ROWS, pa.list_(pa.int32())), "image": IMAGES})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    columns = check_reader(ParquetReader(ragged=True), tmp_path / "a.arrow")
    assert columns["ids"].to_list() == ROWS
    assert not columns["ids"].values.flags.owndata


def test_text_of_bytes_with_a_dictionary_is_ragged_too(tmp_path):
    array = pa.array(IMAGES).dictionary_encode()
    path = parquet(tmp_path / "a.parquet", {"image": array})
    assert check_reader(ParquetReader(ragged=True), path)["image"].to_list() == IMAGES


def test_values_get_the_dtype_that_is_named(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"ids": ROWS})
    assert check_reader(ParquetReader(ragged=["ids"], dtypes={"ids": "uint16"}), path)["ids"].dtype == np.uint16
    with pytest.raises(ChunkReadError, match=r"a\.parquet: row 4: 'ids' holds 300, which uint8 cannot hold"):
        ParquetReader(ragged=["ids"], dtypes={"ids": "uint8"}).read_file(path)


@pytest.mark.parametrize(
    ("column", "match"),
    [
        ([[1], None], "row 2: 'x' is null, and is to be ragged. Say what stands for it, fill="),
        ([b"a", None], "row 2: 'x' is null"),
        ([[1], [], [2, None]], "row 3: 'x' holds null among its values"),
        (["a", "b"], "row 1: 'x' is to be ragged: an Arrow column of string is not one of lists of numbers"),
        ([["a"]], r"row 1: 'x' is to be ragged: an Arrow column of list<.*> does not hold lists of numbers"),
    ],
)
def test_what_parquet_cannot_make_ragged_is_an_error_that_names_the_row(tmp_path, column, match):
    with pytest.raises(ChunkReadError, match=rf"a\.parquet: {match}"):
        ParquetReader(ragged=["x"]).read_file(parquet(tmp_path / "a.parquet", {"x": column}))


def test_a_null_of_bytes_can_be_filled(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"x": [b"a", None]})
    assert ParquetReader(ragged=["x"], fill={"x": b""}).read_file(path)[0]["x"].to_list() == [b"a", b""]


def test_lists_of_json_lines_are_ragged_where_they_are_named(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"ids": ids, "other": ids, "text": "a"} for ids in ROWS])
    columns = check_reader(JsonlReader(ragged=["ids"], dtypes={"ids": "uint16"}), path)
    assert columns["ids"] == Ragged.from_rows(ROWS, dtype="uint16")
    assert columns["other"] == ROWS
    everything = check_reader(JsonlReader(ragged=True), path)
    assert everything["other"] == Ragged.from_rows(ROWS)
    assert everything["text"] == ["a"] * 4


@pytest.mark.parametrize(
    ("rows", "kind"),
    [([[], []], Ragged), ([[0.5], []], Ragged), ([["a"], []], list), ([{}, {}], list), ([None, "a"], list)],
)
def test_which_lists_of_json_lines_are_ragged_where_all_may_be(tmp_path, rows, kind):
    path = lines(tmp_path / "a.jsonl", [{"x": row} for row in rows])
    assert type(JsonlReader(ragged=True).read_file(path)[0]["x"]) is kind


@pytest.mark.parametrize(
    ("rows", "options", "match"),
    [
        ([[1], None], {"ragged": ["x"]}, "2: 'x' is null, and is to be ragged"),
        ([[1], None], {"ragged": True}, "2: 'x' is null, and is to be ragged"),
        ([[1], "a"], {"ragged": True}, "2: 'x' is to be ragged: is a str"),
        ([[1], [None]], {"ragged": True}, "2: 'x' is to be ragged: rows must hold numbers"),
        (
            [[1], [300]],
            {"ragged": ["x"], "dtypes": {"x": "u1"}},
            "2: 'x' is to be ragged: rows hold numbers that uint8",
        ),
        ([[1], 2], {"ragged": ["x"], "dtypes": {"x": "f4"}}, "2: 'x' is to be ragged: is a int"),
        ([[1]], {"ragged": ["y"]}, r" has keys \['x'\], and ragged names \['y'\]"),
    ],
)
def test_what_json_lines_cannot_make_ragged_is_an_error_that_names_the_line(tmp_path, rows, options, match):
    with pytest.raises(ChunkReadError, match=rf"a\.jsonl:{match}"):
        JsonlReader(**options).read_file(lines(tmp_path / "a.jsonl", [{"x": row} for row in rows]))


def test_a_null_of_json_lines_can_be_filled(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"x": [1]}, {"x": None}])
    assert JsonlReader(ragged=["x"], fill={"x": []}).read_file(path)[0]["x"].to_list() == [[1], []]


def test_records_are_ragged_bytes_where_that_is_asked_for(tmp_path):
    module = pytest.importorskip("array_record.python.array_record_module")
    writer = module.ArrayRecordWriter(str(tmp_path / "a.arrayrecord"), "group_size:2")
    for image in IMAGES:
        writer.write(image)
    writer.close()
    columns = check_reader(ArrayRecordReader(ragged=True), tmp_path / "a.arrayrecord")
    assert columns == {"record": Ragged.from_rows(IMAGES)}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ParquetReader(ragged="ids"), r"ragged must be a list of names, or True: ragged=\['ids'\]"),
        (lambda: JsonlReader(ragged=[3]), "ragged must be a list of names, or True; got 3 in it"),
        (lambda: ArrayRecordReader(ragged=True, dtype="f4"), "ragged=True is for raw bytes"),
    ],
)
def test_ragged_is_names_or_a_bool(make, match):
    with pytest.raises((TypeError, ValueError), match=match):
        make()


def test_a_loader_pads_what_its_reader_made_ragged(tmp_path):
    parquet(tmp_path / "a.parquet", {"ids": ROWS})
    reader = ParquetReader(ragged=["ids"])
    with DataLoader(reader, None, PaddingDataCollator(), data_dir=tmp_path, batch_size=4, num_epochs=1) as loader:
        assert next(iter(loader))["ids"].tolist() == [[7, 8, 9], [0, 0, 0], [1, 0, 0], [300, 0, 0]]


def test_an_index_says_which_columns_are_ragged_for_all_readers_to_come(tmp_path):
    for name, rows in (("a", [[], [1]]), ("b", [[0.5], []])):
        lines(tmp_path / f"{name}.jsonl", [{"ids": row, "text": "a"} for row in rows])
    assert main(["index", str(tmp_path), "--reader", "jsonl", "--option", "ragged=True", "-q"]) == 0
    manifest = read_manifest(tmp_path / "manifest.json")
    assert [str(spec) for spec in manifest.columns] == ["ids: ragged float64", "text: str"]
    reader = reader_for(tmp_path / "a.jsonl", manifest=manifest)
    assert reader.read_file(str(tmp_path / "a.jsonl"))[0]["ids"] == Ragged.from_rows([[], [1]], dtype="float64")


def test_an_index_of_parquet_says_which_columns_are_ragged(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"ids": pa.array(ROWS, pa.list_(pa.int16())), "image": IMAGES, "n": [1] * 4})
    assert main(["index", str(tmp_path), "--reader", "parquet", "--option", "ragged=['ids', 'image']", "-q"]) == 0
    manifest = read_manifest(tmp_path / "manifest.json")
    assert [str(spec) for spec in manifest.columns] == ["ids: ragged int16", "image: ragged bytes", "n: int64"]
    assert reader_for(path, manifest=manifest).read_file(path)[0]["image"].to_list() == IMAGES
