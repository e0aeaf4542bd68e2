"""Which chunks a place names; two datasets, half a dataset and no dataset are errors that say what to write."""

import json
import os
import re
from pathlib import Path

import pytest

from pyloader.columns import ColumnSpec
from pyloader.errors import DataDirError, ManifestError
from pyloader.files import find_manifests, form_of, list_chunks
from pyloader.files.manifest import ChunkEntry, Manifest, write_manifest


def write_chunks(directory: Path, *names: str, content: bytes = b'{"x":1}\n') -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def with_manifest(directory: Path, *names: str, beside: Path | None = None) -> Path:
    write_chunks(directory, *names)
    chunks = tuple(ChunkEntry(file=name, num_samples=1, num_bytes=8) for name in names)
    manifest = Manifest(columns=(ColumnSpec("x", "array", "<i8"),), reader="jsonl", chunks=chunks)
    write_manifest(beside or directory / "manifest.json", manifest)
    return directory


def named(place) -> list[str]:
    return list(list_chunks(place).names)


def error_at(place) -> str:
    with pytest.raises((DataDirError, ManifestError)) as caught:
        list_chunks(place)
    return str(caught.value)


def test_a_directory_is_its_files_and_those_below_sorted_by_name(tmp_path):
    write_chunks(tmp_path, "b.jsonl", "a.jsonl", "more/c.jsonl", "more/and/d.jsonl")
    assert named(tmp_path) == ["a.jsonl", "b.jsonl", "more/and/d.jsonl", "more/c.jsonl"]
    assert named(str(tmp_path) + "/") == named(tmp_path)
    assert list_chunks(tmp_path).sizes.tolist() == [8, 8, 8, 8]
    assert list_chunks(tmp_path).path(1) == str(tmp_path / "b.jsonl")


@pytest.mark.parametrize(
    "name",
    [
        ".hidden", ".part-7.jsonl.crc", "_SUCCESS", "README.md", "README", "LICENSE", "licence.txt", "notes.txt",
        "a.jsonl~", "a.jsonl.bak", "a.jsonl.swp", "a.jsonl.sha256", "SHA256SUMS", "dataset_infos.json", "Thumbs.db",
        ".git/config", "_temporary/0/part-0.jsonl", "lost+found/x", "other.manifest.json",
    ],
)  # fmt: skip
def test_what_is_no_chunk_by_its_name_is_ignored(tmp_path, name):
    write_chunks(tmp_path, "a.jsonl", name)
    assert named(tmp_path) == named(f"{tmp_path}/**") == ["a.jsonl"]


@pytest.mark.parametrize("name", ["readme.jsonl", "notes.jsonl.zst", "license.parquet", "train", "data.v2.txt"])
def test_a_dataset_of_notes_is_a_dataset(tmp_path, name):
    assert named(write_chunks(tmp_path, name)) == [name]


def test_what_is_named_itself_is_taken_as_it_is(tmp_path):
    write_chunks(tmp_path, "notes.txt", "_a.jsonl", "b.jsonl")
    assert named(tmp_path / "notes.txt") == ["notes.txt"]
    assert named([tmp_path / "b.jsonl", str(tmp_path / "_a.jsonl")]) == ["_a.jsonl", "b.jsonl"]


def test_a_directory_of_columns_is_one_chunk(tmp_path):
    write_chunks(tmp_path, "a.columns/x.npy", "a.columns/y.npy", "b.columns/x.npy")
    for place in (tmp_path, f"{tmp_path}/**", f"{tmp_path}/*.columns", sorted(tmp_path.iterdir())):
        assert named(place) == ["a.columns", "b.columns"]
        assert list_chunks(place).sizes.tolist() == [16, 8]
    assert named(tmp_path / "a.columns") == ["a.columns"]


def test_a_glob_takes_matching_files_and_leaves_directories(tmp_path):
    write_chunks(tmp_path, "a.jsonl", "b.txt", "val/c.jsonl")
    assert named(f"{tmp_path}/*.jsonl") == ["a.jsonl"]
    assert named(f"{tmp_path}/*") == ["a.jsonl", "b.txt"]
    assert named(f"{tmp_path}/**/*.jsonl") == ["a.jsonl", "val/c.jsonl"]


def test_a_directory_with_brackets_in_its_name_is_no_glob(tmp_path):
    assert named(write_chunks(tmp_path / "run[1]", "a.jsonl")) == ["a.jsonl"]


def test_links_to_chunks_and_directories_are_followed_but_not_in_circles(tmp_path):
    write_chunks(tmp_path / "real", "a.jsonl", content=b"12345")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "b.jsonl").symlink_to(tmp_path / "real" / "a.jsonl")
    (tmp_path / "linked" / "below").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "linked" / "circle").symlink_to(tmp_path, target_is_directory=True)
    assert named(tmp_path / "linked") == ["b.jsonl", "below/a.jsonl"]
    assert list_chunks(tmp_path / "linked").sizes.tolist() == [5, 5]


def test_a_link_to_nothing_is_an_error_not_one_chunk_less(tmp_path):
    write_chunks(tmp_path, "a.jsonl")
    (tmp_path / "b.jsonl").symlink_to("gone.jsonl")
    assert error_at(tmp_path) == f"{tmp_path}/b.jsonl is a link to gone.jsonl, which does not exist."


def test_a_directory_that_cannot_be_read_is_an_error_not_some_chunks_less(tmp_path, monkeypatch):
    write_chunks(tmp_path, "a.jsonl", "closed/b.jsonl")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    assert error_at(tmp_path) == f"{tmp_path}/closed cannot be read (Permission denied)."
    assert error_at(tmp_path / "closed") == f"{tmp_path}/closed cannot be read (Permission denied)."


def test_an_unfinished_download_is_an_error_unless_a_manifest_knows_what_belongs(tmp_path):
    write_chunks(tmp_path, "a.jsonl", "b.jsonl.part")
    assert error_at(tmp_path) == f"{tmp_path}/b.jsonl.part is an unfinished download. Let it finish, or remove it"
    assert named(with_manifest(tmp_path, "a.jsonl")) == ["a.jsonl"]


def test_a_missing_directory_is_named_with_what_was_perhaps_meant(tmp_path):
    write_chunks(tmp_path, "train/a.jsonl")
    assert error_at(tmp_path / "trian") == f"{tmp_path}/trian does not exist. Did you mean '{tmp_path}/train'?"
    assert error_at(tmp_path / "zzz") == f"{tmp_path}/zzz does not exist."
    assert error_at(tmp_path / "x" / "y") == f"{tmp_path}/x/y does not exist. There is no directory {tmp_path}/x either"
    assert "Did you mean" in error_at([tmp_path / "train" / "b.jsonl"])


def test_a_home_directory_is_not_guessed_but_spelled_out(tmp_path, monkeypatch):
    write_chunks(tmp_path, "chunks/a.jsonl")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert error_at("~/chunks") == f"~/chunks does not exist. Did you mean '{tmp_path}/chunks'?"


def test_a_place_without_chunks_says_how_to_make_some(tmp_path):
    for place in (tmp_path, write_chunks(tmp_path, "README.md")):
        assert error_at(place) == f"{tmp_path} holds no chunk files. Make some: pyloader split DUMP... DIR"
    assert "the list of chunks names no chunks." in error_at([])
    assert "matches nothing" in error_at(f"{tmp_path}/*.jsonl")
    assert "matches only files that are no chunks by their names" in error_at(f"{tmp_path}/*.md")
    write_chunks(tmp_path, "below/a.jsonl")
    assert "matches only directories" in error_at(f"{tmp_path}/b*")
    assert "names no directory" in error_at("")


@pytest.mark.parametrize("place", [None, 7, b"chunks", {"a.jsonl"}])
def test_what_names_no_place_is_a_type_error(place):
    with pytest.raises(TypeError, match="data_dir must be a directory, a glob, a manifest or a list of chunks"):
        list_chunks(place)


def test_a_chunk_named_twice_is_refused(tmp_path):
    write_chunks(tmp_path, "a.jsonl", "b/c.jsonl")
    again = [tmp_path / "a.jsonl", f"{tmp_path}/b/../a.jsonl"]
    assert error_at(again) == f"the list of chunks names {tmp_path}/a.jsonl twice. Name each chunk once"
    assert f"names the directory {tmp_path}/b." in error_at([tmp_path / "b"])


def test_two_chunk_sets_are_two_datasets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with_manifest(Path("chunks/train"), "a.jsonl")
    with_manifest(Path("chunks/val"), "a.jsonl")
    expected = "chunks/ holds two chunk sets, train/ and val/. Name one: data_dir='chunks/train'"
    assert error_at("chunks/") == expected
    for name in ("c", "d", "e"):
        with_manifest(Path("chunks") / name, "a.jsonl")
    assert "holds 5 chunk sets, c/, d/ and 3 more." in error_at("chunks/")


def test_train_and_val_beside_each_other_are_two_datasets_without_manifests_too(tmp_path):
    write_chunks(tmp_path, "train/a.jsonl", "val/a.jsonl")
    assert "holds two chunk sets, train/ and val/." in error_at(tmp_path)
    assert named(f"{tmp_path}/*/*.jsonl") == ["train/a.jsonl", "val/a.jsonl"]  # said in words, it is done


def test_the_only_chunk_set_below_is_the_dataset(tmp_path):
    with_manifest(tmp_path / "train", "a.jsonl", "b.jsonl")
    chunks = list_chunks(tmp_path)
    assert chunks.root == tmp_path / "train"
    assert chunks.counts.tolist() == [1, 1]


def test_chunks_outside_of_the_only_manifest_are_not_forgotten(tmp_path):
    with_manifest(tmp_path / "train", "a.jsonl")
    write_chunks(tmp_path, "more/b.jsonl", "c.jsonl")
    message = error_at(tmp_path)
    assert "holds a chunk set, train/, and 2 chunk files outside of it, c.jsonl first." in message
    assert f"Name one: data_dir='{tmp_path}/train'" in message


def test_a_manifest_is_followed_exactly(tmp_path):
    with_manifest(tmp_path, "a.jsonl", "_b.jsonl")
    write_chunks(tmp_path, "notes.md", "table.csv")
    for place in (tmp_path, tmp_path / "manifest.json"):
        chunks = list_chunks(place)
        assert chunks.names == ("_b.jsonl", "a.jsonl")
        assert chunks.counts.tolist() == [1, 1]


def test_a_directory_that_differs_from_its_manifest_is_refused(tmp_path):
    remedy = f"See what is wrong: pyloader verify {tmp_path}"
    with_manifest(tmp_path, "a.jsonl", "b.jsonl")
    write_chunks(tmp_path, "c.jsonl", "d.jsonl")
    assert error_at(tmp_path) == f"{tmp_path}/manifest.json does not list c.jsonl and 1 more. {remedy}"
    (tmp_path / "b.jsonl").write_bytes(b"{}")
    assert error_at(tmp_path) == f"{tmp_path}/manifest.json says that b.jsonl has 8 bytes; it has 2. {remedy}"
    (tmp_path / "b.jsonl").unlink()
    assert error_at(tmp_path) == f"{tmp_path}/manifest.json lists b.jsonl, which is missing. {remedy}"


def test_a_manifest_without_chunks_is_no_dataset(tmp_path):
    assert "lists no chunks." in error_at(with_manifest(tmp_path))


def test_some_of_the_chunks_keep_what_the_manifest_knows_of_them(tmp_path):
    with_manifest(tmp_path, "a.jsonl", "b.jsonl", "c.jsonl")
    for place in (f"{tmp_path}/[ab].jsonl", [tmp_path / "b.jsonl", tmp_path / "a.jsonl"]):
        chunks = list_chunks(place)
        assert chunks.counts.tolist() == [1, 1]
        assert [entry.file for entry in chunks.manifest.chunks] == ["a.jsonl", "b.jsonl"]
    (tmp_path / "a.jsonl").write_bytes(b"")
    assert "says that a.jsonl has 8 bytes; it has 0." in error_at(tmp_path / "a.jsonl")
    assert list_chunks(write_chunks(tmp_path, "new.jsonl") / "new.jsonl").manifest is None


def test_a_manifest_elsewhere_is_followed_only_when_it_is_named(tmp_path):
    chunks = write_chunks(tmp_path / "foreign", "a.jsonl")
    manifest = Manifest(
        columns=(), reader="jsonl", chunks=(ChunkEntry(file="a.jsonl", num_samples=1, num_bytes=8),), root=str(chunks)
    )
    place = tmp_path / "mine"
    place.mkdir()
    for name in ("manifest.json", "foreign.manifest.json"):
        write_manifest(place / name, manifest)
        assert list_chunks(place / name).root == chunks
        assert list_chunks(place / name).counts.tolist() == [1]
    assert f"lists chunks in another directory, {chunks}." in error_at(place)
    (chunks / "a.jsonl").unlink()
    assert f"pyloader verify {place}/foreign.manifest.json" in error_at(place / "foreign.manifest.json")


def test_the_manifests_that_speak_for_a_place_are_found(tmp_path):
    train = tmp_path / "train" / "manifest.json"
    with_manifest(tmp_path / "train", "a.jsonl")
    for place in (tmp_path, tmp_path / "train", train):
        assert find_manifests(place) == [train]
    with_manifest(tmp_path / "val", "a.jsonl")
    assert find_manifests(tmp_path) == [train, tmp_path / "val" / "manifest.json"]
    assert find_manifests(write_chunks(tmp_path / "plain", "a.jsonl")) == []
    match = r"holds 2 chunk sets, train/ val/, and 1 chunk file outside of them, plain/a\.jsonl first\. Name one"
    with pytest.raises(DataDirError, match=match):
        find_manifests(tmp_path)
    with pytest.raises(DataDirError, match=r"does not exist\. Did you mean"):
        find_manifests(tmp_path / "trains")


def test_a_manifest_with_a_name_that_no_file_can_have_is_refused(tmp_path):
    with_manifest(tmp_path, "a.jsonl")
    change_the_chunk(tmp_path, file="a" * 5000)
    assert re.search(r"lists a{255}, which cannot be read \(File name too long\)\.", error_at(tmp_path))


def test_a_manifest_with_more_samples_than_fit_in_memory_by_their_numbers_is_refused(tmp_path):
    with_manifest(tmp_path, "a.jsonl")
    change_the_chunk(tmp_path, num_samples=2**48)
    assert "says that a.jsonl has 281,474,976,710,656 samples, whose order alone does not fit" in error_at(tmp_path)


def change_the_chunk(directory: Path, **changes) -> None:
    manifest = json.loads((directory / "manifest.json").read_bytes())
    manifest["chunks"][0].update(changes)
    (directory / "manifest.json").write_text(json.dumps(manifest))


def test_the_fingerprint_is_pinned_and_does_not_know_where_the_directory_is(tmp_path):
    for place in (tmp_path / "here", tmp_path / "there"):
        write_chunks(place, "a.jsonl", "more/b.jsonl")
        assert list_chunks(place).fingerprint == "98bc6b9362559e76"
        with_manifest(place, "a.jsonl", "more/b.jsonl")
        assert list_chunks(place).counts is not None
        assert list_chunks(place).fingerprint == "98bc6b9362559e76"  # counts have no part in it


@pytest.mark.parametrize("change", ["size", "name", "more"])
def test_the_fingerprint_changes_with_names_and_sizes(tmp_path, change):
    before = list_chunks(write_chunks(tmp_path, "a.jsonl", "b.jsonl")).fingerprint
    if change == "size":
        (tmp_path / "a.jsonl").write_bytes(b"")
    elif change == "name":
        (tmp_path / "a.jsonl").rename(tmp_path / "aa.jsonl")
    else:
        write_chunks(tmp_path, "c.jsonl")
    assert list_chunks(tmp_path).fingerprint != before


def test_names_that_are_no_unicode_are_listed(tmp_path):
    name = os.fsdecode(b"caf\xe9.jsonl")
    chunks = list_chunks(write_chunks(tmp_path, name))
    assert chunks.names == (name,)
    assert re.fullmatch("[0-9a-f]{16}", chunks.fingerprint)


def test_the_form_of_a_name_is_its_suffix_and_how_it_is_packed():
    assert form_of("a/chunk.v2-00001.jsonl.zst") == form_of("b.JSONL.ZST") == ".jsonl.zst"
    assert form_of("chunk-0.columns") == ".columns"
    assert form_of("train") == ""
