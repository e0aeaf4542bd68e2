"""Loaders pass over chunks that are being put in place until their manifest is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyloader.cli.main import main
from pyloader.columns import ColumnSpec
from pyloader.errors import DataDirError, ManifestError
from pyloader.files import (
    MANIFEST_NAME,
    NEXT_NAME,
    ChunkEntry,
    Manifest,
    list_chunks,
    listing,
    read_manifest,
    write_manifest,
)


def chunk(directory: Path, name: str) -> ChunkEntry:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text('{"a": 1}\n')
    return ChunkEntry(file=name, num_samples=1, num_bytes=9)


def lists(path: Path, *chunks: ChunkEntry) -> None:
    write_manifest(path, Manifest(columns=(ColumnSpec("a", "array", "<i8"),), reader="jsonl", chunks=chunks))


def test_what_only_the_manifest_to_come_lists_is_passed_over(tmp_path, capsys):
    one, two = chunk(tmp_path, "chunk-0.jsonl"), chunk(tmp_path, "chunk-1.jsonl")
    lists(tmp_path / MANIFEST_NAME, one)
    with pytest.raises(ManifestError, match=r"does not list chunk-1\.jsonl"):
        list_chunks(tmp_path)
    lists(tmp_path / NEXT_NAME, one, two)
    assert list_chunks(tmp_path).names == ("chunk-0.jsonl",)
    assert main(["verify", str(tmp_path)]) == 0
    assert "ignored   being added: the manifest that lists it comes last" in capsys.readouterr().out
    chunk(tmp_path, "chunk-2.jsonl")
    with pytest.raises(ManifestError, match=r"does not list chunk-2\.jsonl\."):
        list_chunks(tmp_path)
    os.replace(tmp_path / NEXT_NAME, tmp_path / MANIFEST_NAME)
    (tmp_path / "chunk-2.jsonl").unlink()
    assert list_chunks(tmp_path).names == ("chunk-0.jsonl", "chunk-1.jsonl")


def test_without_a_manifest_too(tmp_path):
    one, two = chunk(tmp_path / "train", "chunk-0.jsonl"), chunk(tmp_path / "train", "chunk-1.jsonl")
    lists(tmp_path / "train" / NEXT_NAME, one, two)
    for place in (tmp_path, tmp_path / "train"):
        with pytest.raises(DataDirError, match=r"holds no chunk files\. Those that are being put in place count when"):
            list_chunks(place)


def test_a_manifest_to_come_that_is_damaged_excuses_nothing(tmp_path):
    lists(tmp_path / MANIFEST_NAME, chunk(tmp_path, "chunk-0.jsonl"))
    chunk(tmp_path, "chunk-1.jsonl")
    (tmp_path / NEXT_NAME).write_text("{")
    with pytest.raises(ManifestError, match=r"does not list chunk-1\.jsonl"):
        list_chunks(tmp_path)


@pytest.mark.parametrize("has_manifest", [True, False])
@pytest.mark.parametrize("below", ["", "train"])
def test_a_manifest_that_comes_during_the_walk_is_the_one_that_counts(tmp_path, monkeypatch, has_manifest, below):
    root = tmp_path / "chunks"
    root.mkdir()
    directory = root / below
    one = chunk(directory, "chunk-0.jsonl")
    lists(directory / NEXT_NAME, one, chunk(directory, "chunk-1.jsonl"))
    if has_manifest:
        lists(directory / MANIFEST_NAME, one)
    whole = listing.scan_directory

    def then_it_comes(place):
        found = whole(place)
        if (directory / NEXT_NAME).exists():
            os.replace(directory / NEXT_NAME, directory / MANIFEST_NAME)
        return found

    monkeypatch.setattr(listing, "scan_directory", then_it_comes)
    chunks = list_chunks(root)
    assert chunks.names == ("chunk-0.jsonl", "chunk-1.jsonl")
    assert chunks.manifest == read_manifest(directory / MANIFEST_NAME)


def test_a_split_that_was_stopped_is_named_where_there_are_no_chunks_yet(tmp_path):
    (tmp_path / ".split").mkdir()
    with pytest.raises(
        DataDirError, match=r"holds no chunk files\. A split was begun here: its command goes on with it"
    ):
        list_chunks(tmp_path)
