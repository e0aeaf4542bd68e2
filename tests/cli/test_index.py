"""`pyloader index`: exact counts, and columns that hold for every chunk."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from pyloader.cli.main import main
from pyloader.columns import ColumnSpec, row_count
from pyloader.datareader import read_chunk
from pyloader.files.compressors import open_packed
from pyloader.files.listing import list_chunks
from pyloader.files.manifest import checksum_of, read_manifest
from pyloader.inspecting import counting
from pyloader.inspecting.counting import common_specs
from pyloader.read.registry import reader_for


@pytest.fixture(autouse=True)
def a_wide_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def write_lines(directory: Path, **chunks: list) -> Path:
    directory.mkdir(exist_ok=True)
    for name, samples in chunks.items():
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return directory


def texts(count: int) -> list[dict]:
    return [{"text": f"row {row}"} for row in range(count)]


def index(capsys, *words) -> list[str]:
    assert main(["index", *map(str, words)]) == 0
    out, err = capsys.readouterr()
    assert not err
    return out.splitlines()


def refusal(capsys, *words) -> str:
    assert main(["index", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert not out
    return err


def counts_in(place) -> list[int]:
    return [chunk.num_samples for chunk in read_manifest(place).chunks]


def test_chunks_are_counted_and_the_screen_says_all_of_it(capsys, tmp_path):
    chunks = write_lines(tmp_path / "foreign", a=texts(3), b=texts(4))
    (chunks / "README.md").write_text("")
    assert index(capsys, chunks) == [
        f"{chunks}/manifest.json   2 chunks, 7 samples, 126 B   (all read; no checksums)",
        "columns    text: str   (in every chunk)",
        "ignored    README.md",
        f'next       several ranks, len() and exact steps now work: DataLoader(data_dir="{chunks}", ...)',
    ]
    manifest = read_manifest(chunks / "manifest.json")
    assert manifest.columns == (ColumnSpec("text", "str"),)
    assert manifest.reader == "jsonl"
    assert manifest.made_by == {"command": f"pyloader index {chunks}"}
    assert list_chunks(chunks).counts.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.jsonl", b'{"text":"a"}\n\n  \r\n{"text":"b"}'),
        ("b.jsonl", b'\n\t\n{"text":"a\\n\\n"}\r\n'),
        ("b.jsonl", b""),
        ("b.txt", b"a\n\n  \r\nb"),
        ("b.txt", b"\n"),
        ("b.txt", b""),
        ("b.txt", b"a\x0bb\x0c\xe2\x80\xa8c\n"),
        ("b.csv", b'text\n"two\nlines"\n\nb\n'),
        ("b.jsonl.gz", gzip.compress(b'{"text":"a"}\n') + gzip.compress(b'{"text":"b"}\n')),
    ],
)
def test_what_is_counted_is_what_the_reader_reads(capsys, tmp_path, name, content):
    chunks = tmp_path / "chunks"
    chunks.mkdir()
    whole = {".jsonl": b'{"text":"x"}\n', ".txt": b"x\n", ".csv": b"text\nx\n"}
    suffix = "." + name.split(".")[1]
    (chunks / f"a{suffix}").write_bytes(whole[suffix])
    (chunks / name).write_bytes(content)
    index(capsys, chunks)
    num_read = row_count(read_chunk(reader_for(name), str(chunks / name)))
    assert counts_in(chunks / "manifest.json") == [1, num_read]


def test_numbers_hold_for_every_chunk_though_some_are_whole(capsys, tmp_path):
    chunks = write_lines(tmp_path, a=[{"x": 1}, {"x": 2}], b=[{"x": 0.5}], c=[{"x": 3}])
    lines = index(capsys, chunks)
    assert "(all read; no checksums)" in lines[0]
    assert lines[1] == "columns    x: float64   (in every chunk)"
    listed = list_chunks(chunks)
    reader = reader_for(listed.path(0), manifest=listed.manifest)
    assert {read_chunk(reader, listed.path(number))["x"].dtype for number in range(3)} == {np.dtype("f8")}
    assert main(["verify", str(chunks)]) == 0


def test_a_csv_column_that_is_text_somewhere_is_text_everywhere(capsys, tmp_path):
    (tmp_path / "a.csv").write_text("zip,n\n12345,1\n")
    (tmp_path / "b.csv").write_text("zip,n\n00745,2\n")
    assert index(capsys, tmp_path)[1] == "columns    n: int64, zip: str   (in every chunk)"
    assert main(["verify", str(tmp_path)]) == 0


def test_arrays_are_counted_by_their_headers(capsys, tmp_path):
    for number, rows in enumerate((5, 7)):
        (tmp_path / f"{number}.columns").mkdir()
        np.save(tmp_path / f"{number}.columns" / "x.npy", np.zeros((rows, 2, 3), np.float32))
    lines = index(capsys, tmp_path)
    assert "(headers read; no checksums)" in lines[0]
    assert lines[1] == "columns    x: float32 [2, 3]   (in every chunk)"
    assert counts_in(tmp_path / "manifest.json") == [5, 7]


def test_parquet_and_arrayrecord_are_counted_by_their_own_index(capsys, tmp_path, monkeypatch):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    records = pytest.importorskip("array_record.python.array_record_module")
    for name in ("p", "r"):
        (tmp_path / name).mkdir()
    for number, rows in enumerate((3, 4)):
        parquet.write_table(arrow.table({"text": ["x"] * rows}), tmp_path / "p" / f"{number}.parquet")
        writer = records.ArrayRecordWriter(str(tmp_path / "r" / f"{number}.arrayrecord"), "group_size:1")
        for _ in range(rows):
            writer.write(b"x")
        writer.close()
    for name in ("p", "r"):
        monkeypatch.setattr(counting, "read_chunk", only_the_first(tmp_path / name))
        assert "(counted by their own index; no checksums)" in index(capsys, tmp_path / name)[0]
        assert counts_in(tmp_path / name / "manifest.json") == [3, 4]


def only_the_first(directory: Path):
    def read(reader, path):
        assert path == str(min(directory.glob("[!.]*")))
        return read_chunk(reader, path)

    return read


@pytest.mark.parametrize(
    ("reader", "answer"),
    [
        ("jsonlines", "--reader jsonlines: no reader is called so; or write package.module:Class"),
        ("no_such_module:X", "--reader no_such_module:X cannot be imported (No module named"),
        ("json:JSONDecoder", "--reader json:JSONDecoder is no DataReader class"),
    ],
)
def test_a_reader_that_is_none_is_refused(capsys, tmp_path, reader, answer):
    assert answer in refusal(capsys, write_lines(tmp_path, a=texts(1)), "--reader", reader)


def test_checksums_are_computed_when_asked_for(capsys, tmp_path):
    chunks = write_lines(tmp_path, a=texts(3))
    assert "(all read; with checksums)" in index(capsys, chunks, "--checksums")[0]
    assert read_manifest(chunks / "manifest.json").chunks[0].checksum == checksum_of(chunks / "a.jsonl")
    assert read_manifest(chunks / "manifest.json").made_by["command"] == f"pyloader index {chunks} --checksums"


def test_empty_and_unequal_chunks_are_warned_of(capsys, tmp_path):
    lines = index(capsys, write_lines(tmp_path, a=[], b=texts(10), c=texts(11), d=texts(900)))
    assert lines[2] == "warning    a.jsonl is empty"
    assert lines[3].startswith("warning    chunks hold 10 to 900 samples: the largest needs about ")


def test_a_dry_run_writes_nothing(capsys, tmp_path):
    chunks = write_lines(tmp_path, a=texts(3))
    lines = index(capsys, chunks, "--dry-run")
    assert lines[0].startswith(f"{chunks}/manifest.json (not written)   1 chunk, 3 samples")
    assert lines[-1] == f"next       pyloader index {chunks} writes it"
    assert not (chunks / "manifest.json").exists()


def test_a_manifest_is_replaced_only_when_asked(capsys, tmp_path):
    chunks = write_lines(tmp_path, a=texts(3))
    index(capsys, chunks)
    write_lines(chunks, b=texts(2))
    assert "is there already. To count again and replace it: --overwrite" in refusal(capsys, chunks)
    index(capsys, chunks, "--overwrite")
    assert counts_in(chunks / "manifest.json") == [3, 2]


def test_a_directory_that_takes_no_files_is_told_before_anything_is_counted(capsys, tmp_path, monkeypatch):
    chunks = write_lines(tmp_path / "chunks", a=texts(3))
    assert "nowhere/manifest.json: cannot be written: there is no directory " in refusal(
        capsys, chunks, "--output", f"{tmp_path}/nowhere/"
    )
    monkeypatch.setattr("os.access", lambda place, mode: False)
    monkeypatch.setattr("pyloader.cli.index.count_samples", None)
    answer = refusal(capsys, chunks)
    assert f"{chunks}/manifest.json: cannot be written: {chunks} takes no files from this user. Have it" in answer
    assert "--output DIR" in answer


@pytest.mark.parametrize("output", ["mine", "mine/foreign.manifest.json"])
def test_a_manifest_elsewhere_leads_to_the_chunks(capsys, tmp_path, output):
    chunks = write_lines(tmp_path / "foreign", a=texts(3))
    (tmp_path / "mine").mkdir()
    place = tmp_path / output if output.endswith(".json") else tmp_path / output / "manifest.json"
    lines = index(capsys, chunks, "--output", tmp_path / output)
    assert f'DataLoader(data_dir="{place}", ...)' in lines[-1]
    assert sorted(path.name for path in chunks.iterdir()) == ["a.jsonl"]
    assert list_chunks(place).path(0) == str(chunks / "a.jsonl")
    assert main(["verify", str(place)]) == 0


def test_a_manifest_has_a_manifests_name(capsys, tmp_path):
    answer = refusal(capsys, write_lines(tmp_path, a=texts(1)), "--output", tmp_path / "list.json")
    assert "a manifest is called manifest.json, or NAME.manifest.json" in answer


def test_the_manifest_comes_as_json(capsys, tmp_path):
    found = json.loads("\n".join(index(capsys, write_lines(tmp_path, a=texts(3)), "--json")))
    assert found == json.loads((tmp_path / "manifest.json").read_bytes())
    assert index(capsys, tmp_path, "--overwrite", "-q") == []


def test_two_chunk_sets_are_not_one(capsys, tmp_path):
    for name in ("train", "val"):
        index(capsys, write_lines(tmp_path / name, a=texts(1)))
    expected = f"holds two chunk sets, train/ and val/. Name one: pyloader index '{tmp_path}/train'"
    assert expected in refusal(capsys, tmp_path)
    (tmp_path / "val" / "manifest.json").unlink()
    assert "holds a chunk set, train/" in refusal(capsys, tmp_path)
    (tmp_path / "val" / "a.jsonl").unlink()
    assert "holds a chunk set, train/, with its manifest. Name it" in refusal(capsys, tmp_path)


def test_chunks_that_do_not_belong_together_are_named(capsys, tmp_path):
    write_lines(tmp_path, a=texts(1))
    (tmp_path / "c.txt").write_text("x\n")
    assert "holds chunks of several kinds: a.jsonl (jsonl) and c.txt (text)." in refusal(capsys, tmp_path)


def test_a_number_column_that_turns_into_text_names_both_chunks(capsys, tmp_path):
    write_lines(tmp_path, a=[{"x": 1}], b=[{"x": "one"}])
    answer = refusal(capsys, tmp_path)
    assert f"{tmp_path}/b.jsonl: has 'x' as a list of str, not 'x' as int64 as the chunks before it, from a" in answer


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_chunks_with_other_keys_are_named(capsys, tmp_path, suffix):
    for number in range(3):
        samples = [{"text": "a", "more": "b"}] if number == 2 else texts(1)
        write_table(tmp_path / f"{number}.{suffix}", samples)
    answer = refusal(capsys, tmp_path)
    assert f"{tmp_path}/2.{suffix}: has columns ['more', 'text'], not ['text']" in answer
    assert f"as the chunks before it, from 0.{suffix} on. Move one kind elsewhere, or read both with" in answer


def write_table(path: Path, samples: list[dict]) -> None:
    names = list(samples[0])
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    elif path.suffix == ".csv":
        path.write_text("".join(",".join(row) + "\n" for row in (names, *(sample.values() for sample in samples))))
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pytest.importorskip("pyarrow").Table.from_pylist(samples), path)


def test_a_missing_directory_and_one_without_samples_are_refused(capsys, tmp_path):
    write_lines(tmp_path / "train", a=[])
    assert "does not exist. Did you mean" in refusal(capsys, tmp_path / "trian")
    assert "holds chunks, but not one sample." in refusal(capsys, tmp_path / "train")
    assert "holds chunks, but not one sample." in refusal(capsys, tmp_path / "train" / "a.jsonl")


def test_a_damaged_chunk_stops_the_count(capsys, tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text":"a"}\n' * 99)[:-9])
    assert "a.jsonl.gz" in refusal(capsys, tmp_path)
    assert not (tmp_path / "manifest.json").exists()


INT, FLOAT, BOOL = (ColumnSpec("x", "array", dtype) for dtype in ("<i8", "<f8", "|b1"))
RAGGED_INT, RAGGED_FLOAT = (ColumnSpec("x", "ragged", dtype) for dtype in ("<i8", "<f8"))
DAY = ColumnSpec("x", "array", "<M8[D]")
INTS, FLOATS, NOTHING, MIXED, TEXT = (ColumnSpec("x", kind) for kind in ("int", "float", "", "object", "str"))


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (INT, INT, INT),
        (INT, FLOAT, FLOAT),
        (INT, INTS, INTS),
        (FLOAT, NOTHING, FLOATS),
        (FLOAT, INTS, FLOATS),
        (TEXT, NOTHING, TEXT),
        (TEXT, MIXED, MIXED),
        (DAY, ColumnSpec("x", "object"), MIXED),
        (INT, BOOL, None),
        (INT, TEXT, None),
        (INT, ColumnSpec("x", "array", "<i4"), None),
        (FLOAT, ColumnSpec("x", "array", "<f8", (3,)), None),
        (INT, ColumnSpec("y", "array", "<i8"), None),
        (RAGGED_INT, RAGGED_FLOAT, RAGGED_FLOAT),
        (RAGGED_INT, ColumnSpec("x", "ragged", "<i4"), None),
        (RAGGED_INT, INT, None),
        (RAGGED_INT, NOTHING, None),
    ],
)
def test_what_holds_for_two_chunks(one, other, both):
    expected = None if both is None else (both,)
    assert common_specs((one,), (other,)) == common_specs((other,), (one,)) == expected


def test_directories_of_packed_columns_are_read_to_be_counted(capsys, tmp_path):
    for name, rows in (("a", 3), ("b", 4)):
        (tmp_path / f"{name}.columns").mkdir()
        with open_packed(tmp_path / f"{name}.columns" / "x.npy.zst", "wb") as file:
            np.save(file, np.zeros(rows))
    assert index(capsys, tmp_path)[0].endswith("(all read; no checksums)")
    assert counts_in(tmp_path / "manifest.json") == [3, 4]
