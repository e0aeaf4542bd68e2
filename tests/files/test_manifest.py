"""The manifest: written whole, read strictly, pinned byte for byte."""

import re
from pathlib import Path

import msgspec
import pytest

from pyloader.columns import ColumnSpec
from pyloader.errors import ManifestError, WriteError
from pyloader.files.manifest import (
    ChunkEntry,
    Manifest,
    checksum_of,
    is_manifest_name,
    read_manifest,
    write_manifest,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "manifest.json"

PINNED = Manifest(
    columns=(
        ColumnSpec("label", "array", "<i8"),
        ColumnSpec("patch", "array", "<f4", (3, 4)),
        ColumnSpec("text", "str"),
    ),
    reader="jsonl",
    chunks=(
        ChunkEntry(
            file="chunk-00000.jsonl.zst",
            num_samples=229,
            num_bytes=45980,
            raw_bytes=131072,
            checksum="xxh3:0123456789abcdef",
        ),
        ChunkEntry(file="more/chunk-00001.jsonl.zst", num_samples=0, num_bytes=13),
    ),
    made_by={"command": "pyloader split dump.jsonl chunks/ --shuffle", "seed": 0},
)


def one_chunk(**changes) -> dict:
    chunk = {"file": "a.jsonl", "num_samples": 1, "num_bytes": 2, **changes}
    return {"columns": [], "reader": "jsonl", "chunks": [chunk]}


def refusal_of(path: Path, content: object) -> str:
    path.write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    return str(caught.value)


def test_the_written_form_is_pinned_byte_for_byte(tmp_path):
    write_manifest(tmp_path / "manifest.json", PINNED)
    assert (tmp_path / "manifest.json").read_bytes() == GOLDEN.read_bytes()


def test_what_was_written_is_read_back():
    assert read_manifest(GOLDEN) == PINNED
    assert read_manifest(GOLDEN).num_samples == 229


def test_chunks_and_columns_come_sorted_in_whatever_order_they_were_given(tmp_path):
    shuffled = msgspec.structs.replace(PINNED, chunks=PINNED.chunks[::-1], columns=PINNED.columns[::-1])
    write_manifest(tmp_path / "written.json", shuffled)
    (tmp_path / "by-hand.json").write_bytes(msgspec.json.encode(shuffled))
    assert read_manifest(tmp_path / "written.json") == read_manifest(tmp_path / "by-hand.json") == PINNED


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"num_samples": -1}, "$.chunks[0].num_samples"),
        ({"num_samples": 2.5}, "$.chunks[0].num_samples"),
        ({"num_samples": 2**63}, "$.chunks[0].num_samples"),
        ({"num_bytes": "12"}, "$.chunks[0].num_bytes"),
        ({"file": None}, "$.chunks[0].file"),
        ({"checksum": 7}, "$.chunks[0].checksum"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_field(tmp_path, changes, place):
    message = refusal_of(tmp_path / "manifest.json", one_chunk(**changes))
    assert place in message
    assert f"Make it again: pyloader index {tmp_path} --overwrite" in message


def test_a_missing_field_is_named(tmp_path):
    assert "missing required field `reader`" in refusal_of(tmp_path / "manifest.json", {"columns": [], "chunks": []})


@pytest.mark.parametrize("file", ["/etc/passwd", "../other/a.jsonl", "x/../../a", "./a", "x//a", "", "a\0b", ".."])
def test_a_chunk_outside_of_the_directory_is_refused(tmp_path, file):
    message = refusal_of(tmp_path / "manifest.json", one_chunk(file=file))
    assert f"the chunk {file!r} is not a plain path below the chunks' directory" in message


def test_a_manifest_that_would_be_refused_is_not_written(tmp_path):
    bad = msgspec.structs.replace(PINNED, chunks=(ChunkEntry(file="../a", num_samples=1, num_bytes=1),))
    with pytest.raises(ManifestError, match=re.escape("'../a' is not a plain path")):
        write_manifest(tmp_path / "manifest.json", bad)
    assert not list(tmp_path.iterdir())


def test_a_chunk_listed_twice_is_refused(tmp_path):
    twice = one_chunk()
    twice["chunks"] *= 2
    assert "lists the chunk 'a.jsonl' twice" in refusal_of(tmp_path / "manifest.json", twice)


@pytest.mark.parametrize(
    "column",
    [
        {"name": "x", "kind": "array"},
        {"name": "x", "kind": "array", "dtype": "nonsense"},
        {"name": "x", "kind": "array", "dtype": "|O"},
        {"name": "x", "kind": "array", "dtype": "<f4", "item_shape": [-1]},
        {"name": "x", "kind": "array", "dtype": "<f4", "item_shape": [2**62]},
        {"name": "x", "kind": "array", "dtype": "<f4", "item_shape": [10**30]},
        {"name": "x", "kind": "array", "dtype": "<f4", "item_shape": [1] * 100},
        {"name": "x", "kind": "array", "dtype": "U"},
        {"name": "x", "kind": "array", "dtype": "V0"},
        {"name": "x", "kind": "ragged"},
        {"name": "x", "kind": "ragged", "dtype": "|O"},
        {"name": "x", "kind": "ragged", "dtype": "|S1"},
        {"name": "x", "kind": "ragged", "dtype": "<U2"},
        {"name": "x", "kind": "ragged", "dtype": "<f4", "item_shape": [2]},
        {"name": "x", "kind": "str", "dtype": "<f4"},
    ],
)
def test_a_column_that_cannot_be_is_refused(tmp_path, column):
    content = {**one_chunk(), "columns": [column]}
    assert "the column 'x' has kind" in refusal_of(tmp_path / "manifest.json", content)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"columns":'])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    assert f"{tmp_path}/manifest.json is not a manifest (" in refusal_of(tmp_path / "manifest.json", content)


def test_what_is_nested_too_deep_is_refused(tmp_path):
    content = b'{"made_by": ' + b'{"a":' * 100_000
    assert "inside of one another, too deep" in refusal_of(tmp_path / "manifest.json", content)


@pytest.mark.parametrize("field", ["num_samples", "num_bytes"])
def test_counts_that_no_number_holds_together_are_refused(tmp_path, field):
    content = one_chunk(**{field: 2**62})
    content["chunks"] += [{**content["chunks"][0], "file": "b.jsonl"}]
    message = refusal_of(tmp_path / "manifest.json", content)
    assert f"all chunks together have {2**63:,} samples or bytes" in message


def test_a_root_that_is_no_path_is_refused(tmp_path):
    assert r"the root 'a\x00b' is no directory" in refusal_of(
        tmp_path / "manifest.json", {**one_chunk(), "root": "a\0b"}
    )


def test_another_version_is_refused_by_number(tmp_path):
    message = refusal_of(tmp_path / "manifest.json", {**one_chunk(), "version": 2})
    assert "is of format 'pyloader-chunks', version 2; this pyloader reads 'pyloader-chunks', version 1." in message


def test_a_field_of_a_later_pyloader_is_passed_over(tmp_path):
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode({**one_chunk(), "colour": "blue"}))
    assert read_manifest(tmp_path / "manifest.json").num_samples == 1


def test_a_failed_write_leaves_the_old_manifest_and_nothing_beside_it(tmp_path, monkeypatch):
    write_manifest(tmp_path / "manifest.json", PINNED)

    def disk_full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    with pytest.raises(WriteError, match=r"manifest.json: could not be written: no space left on device\. Make room"):
        write_manifest(tmp_path / "manifest.json", msgspec.structs.replace(PINNED, reader="text"))
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert read_manifest(tmp_path / "manifest.json") == PINNED


def test_a_checksum_is_of_the_content_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"pyloader")
    (tmp_path / "b").write_bytes(b"pyloader")
    (tmp_path / "c").write_bytes(b"pyloadeR")
    assert checksum_of(tmp_path / "a") == checksum_of(tmp_path / "b") == "xxh3:bd97c14386305887"
    assert checksum_of(tmp_path / "a") != checksum_of(tmp_path / "c")


def test_a_directory_of_columns_has_one_checksum_which_knows_its_files_names(tmp_path):
    for name, file in (("one.columns", "x.npy"), ("two.columns", "x.npy"), ("three.columns", "y.npy")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(b"123")
    one, two, three = (checksum_of(tmp_path / f"{name}.columns") for name in ("one", "two", "three"))
    assert one == two != three


def test_manifests_are_told_by_their_names():
    assert is_manifest_name("manifest.json")
    assert is_manifest_name("imagenet.manifest.json")
    assert not is_manifest_name("my-manifest.json")
