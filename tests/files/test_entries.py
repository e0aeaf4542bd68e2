"""Parts in a manifest: what cannot be is refused, wherever the manifest comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ranks import write_counted, write_parts
from small_stores import store_options
from store_server import StoreServer

from pyloader.cli.main import main
from pyloader.errors import ManifestError
from pyloader.files import checksum_of, coming_chunks, kept_chunks, list_chunks, read_manifest
from pyloader.files.stored_listing import list_stored
from pyloader.write.placing import forget_coming

MANIFEST = "chunk-0000.numbered.manifest.json"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_parts(tmp_path / "set", [10, 20, 30])


def change(place: Path, number: int, fields: dict[str, Any]) -> None:
    """Change what the index of a file says of a part, or of where it is."""
    index = place.with_name(MANIFEST)
    manifest = json.loads(index.read_bytes())
    chunk = manifest["chunks"][number]
    for name, value in fields.items():
        (chunk["part"] if name in chunk["part"] else chunk)[name] = value
    index.write_text(json.dumps(manifest))


def test_entries_give_back_the_parts_that_they_are_of(file):
    first, second, third = read_manifest(file.with_name(MANIFEST)).chunks
    assert second.file == "chunk-0000.numbered[10:30]"
    assert second.source == file.name
    assert second.source_bytes == file.stat().st_size
    assert [(entry.as_part.first, entry.as_part.stop) for entry in (first, second, third)] == [
        *((0, 10), (10, 30), (30, 60)),
    ]
    chunks = list_chunks(file)
    assert chunks.path(1) == f"{file}[10:30]"
    assert chunks.file(1) == str(file)
    assert chunks.counts is not None
    assert chunks.counts.tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"file": "chunk-0000.numbered"}, "'chunk-0000.numbered' is not called FILE[FIRST:STOP]"),
        ({"file": "chunk-0000.numbered[10:29]"}, "has 20 samples"),
        ({"file": "chunk-0000.numbered[11:31]"}, "comes where row 10 of that file should"),
        ({"file": "chunk-0000.numbered[9:29]"}, "comes where row 10 of that file should"),
        ({"file": "chunk-0000.numbered[-10:10]"}, "is not called FILE[FIRST:STOP]"),
        ({"file": "chunk-0000.numbered[0:10]", "num_samples": 10}, "it lists the chunk"),
        ({"file": "other.numbered[10:30]"}, "comes where row 10 of that file should"),
        ({"file": "../x[0:20]"}, "is not a plain path"),
        ({"file": "..[0:20]"}, "is not a plain path"),
        ({"file": "[0:20]"}, "is not a plain path"),
        ({"file": "/x[0:20]"}, "is not a plain path"),
        ({"num_samples": 2**62, "file": f"chunk-0000.numbered[10:{10 + 2**62}]"}, "comes where row "),
        ({"ranges": [[0, 10**12]]}, "has byte ranges that are not one after another inside of the file"),
        ({"ranges": [[0, 3], [2, 4]]}, "has byte ranges that are not one after another inside of the file"),
        ({"ranges": [[3, 2]]}, "has byte ranges that are not one after another inside of the file"),
        ({"ranges": [[-1, 2]]}, "Expected `int` >= 0"),
        ({"ranges": [[0, 1]]}, "and its ranges have others"),
        ({"file_bytes": 99}, "whole and in parts, or in parts of several files"),
        ({"file_samples": 99}, "whole and in parts, or in parts of several files"),
        ({"num_bytes": 2**63}, "Expected `int` <="),
    ],
)
def test_what_no_part_can_be_is_refused(file, fields, found):
    change(file, 1, fields)
    with pytest.raises(ManifestError) as raised:
        list_chunks(file)
    assert found in str(raised.value)
    assert raised.value.hint == f"Make it again: pyloader index {file} --overwrite"


def test_a_part_that_is_missing_is_refused(file):
    index = file.with_name(MANIFEST)
    manifest = json.loads(index.read_bytes())
    del manifest["chunks"][2]
    index.write_text(json.dumps(manifest))
    with pytest.raises(ManifestError, match="end at row 30 of 60"):
        list_chunks(file)


def test_a_file_is_not_listed_whole_and_in_parts(file):
    index = file.with_name(MANIFEST)
    manifest = json.loads(index.read_bytes())
    whole = {"file": file.name, "num_samples": 60, "num_bytes": file.stat().st_size}
    for chunks in ([whole, *manifest["chunks"]], [*manifest["chunks"], whole]):
        index.write_text(json.dumps({**manifest, "chunks": chunks}))
        with pytest.raises(ManifestError, match="whole and in parts"):
            list_chunks(file)


def test_an_index_of_something_else_does_not_speak_for_a_file(file):
    other = file.with_name("other.numbered")
    other.write_text("0 5")
    file.with_name(MANIFEST).rename(file.with_name("other.numbered.manifest.json"))
    assert len(list_chunks(other)) == 1
    assert list_chunks(other).manifest is None
    assert list_chunks(file).manifest is None


def test_a_checksum_is_of_the_ranges_alone(tmp_path):
    (tmp_path / "x").write_bytes(b"abcdefghij")
    (tmp_path / "y").write_bytes(b"bcij")
    assert checksum_of(tmp_path / "x", [(1, 3), (8, 10)]) == checksum_of(tmp_path / "y")
    assert checksum_of(tmp_path / "x", [(0, 10)]) == checksum_of(tmp_path / "x")


def test_parts_in_a_store_are_listed_as_on_a_disk(file, tmp_path):
    with StoreServer() as server:
        server.put_directory(file.parent, "bucket/set")
        found, there = (
            list_chunks(file),
            list_stored("s3://bucket/set/" + file.name, store_options(server, tmp_path / "cache")),
        )
        assert (there.names, there.fingerprint) == (found.names, found.fingerprint)
        server.put(f"bucket/set/{file.name}", file.read_bytes() + b" ")
        with pytest.raises(
            ManifestError, match=r"says that chunk-0000.numbered has \d+ bytes; it has \d+\. Copy it there"
        ):
            list_stored("s3://bucket/set/" + file.name, store_options(server, tmp_path / "cache"))


def test_files_in_parts_are_not_taken_for_chunks_that_are_left_over(tmp_path):
    directory = write_counted(tmp_path / "set", [60])
    (chunk,) = directory.glob("*.numbered")
    own = chunk.rename(directory / "chunk-00000.numbered")
    parts = write_parts(tmp_path / "parts", [10, 20, 30])
    manifest = parts.with_name(MANIFEST).read_text().replace("chunk-0000.numbered", own.name)
    (directory / "manifest.json").write_text(manifest)
    (directory / ".manifest.json.next").write_text(manifest)
    assert coming_chunks(directory) == {own.name}
    forget_coming(directory, [""])
    assert own.exists()
    assert kept_chunks(directory) == frozenset()


def test_a_set_that_has_parts_can_be_added_to_and_keeps_its_sizes(tmp_path, capsys):
    (tmp_path / "set").mkdir()
    for name in ("set/big.jsonl", "more.jsonl"):
        (tmp_path / name).write_text("".join(f'{{"n": {row}}}\n' for row in range(100)))
    assert main(["index", str(tmp_path / "set"), "--chunk-samples", "30", "-q"]) == 0
    before = read_manifest(tmp_path / "set" / "manifest.json")
    assert main(["split", str(tmp_path / "more.jsonl"), str(tmp_path / "set"), "--append", "-q"]) == 0
    after = read_manifest(tmp_path / "set" / "manifest.json")
    assert after.part_sizes == before.part_sizes
    assert after.chunks[:4] == before.chunks
    assert after.num_samples == 200
    assert (
        list_chunks(tmp_path / "set", version=1).fingerprint == list_chunks(tmp_path / "set" / "big.jsonl").fingerprint
    )
    assert main(["compact", str(tmp_path / "set")]) == 2
    assert "which pyloader did not name" in capsys.readouterr().err
