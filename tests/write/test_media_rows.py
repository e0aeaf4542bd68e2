"""Files that are no images, or no sounds, are bad rows as others are: named, counted, left out where that is asked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tiny_images import tiny_jpeg

from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.errors import SplitError
from pyloader.files import read_manifest
from pyloader.write import media, media_rows, split

pytest.importorskip("pyarrow")

JPEG = tiny_jpeg()
WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos in several sources, two of which are none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(media_rows, "_FILES_OF_SOURCE", 3)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for number in range(10):
        add(f"photos/{'ab'[number % 2]}/{number}.jpg", JPEG + bytes([number]))
    add("photos/a/2.jpg", b"<!DOCTYPE html><html>not found</html>")
    add("photos/b/7.jpg", JPEG[:-4])


def add(name: str, data: bytes) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(data)


def rows(directory: str) -> dict[str, Any]:
    """Return name -> (bytes, label)."""
    with DataLoader(data_dir=directory, batch_size=4, shuffle=False, num_epochs=1) as loader:
        found = {}
        for batch in loader:
            column = "audio" if "audio" in batch else "image"
            found.update(zip(batch["name"], zip(batch[column], batch["label"].tolist(), strict=True), strict=True))
        return found


def test_the_first_file_that_is_no_image_is_named_with_what_it_is() -> None:
    with pytest.raises(SplitError, match=r"photos/a/2\.jpg:1: is a web page \(HTML\)\. .*leave it out: --max-skipped"):
        split("photos", "chunks")


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"engine": "inline"}], ids=str)
def test_files_that_are_no_images_are_left_out_listed_and_change_nothing_else(options: Any) -> None:
    report = split("photos", "chunks", max_skipped=2, quarantine="bad.jsonl", **options)
    assert (report.num_skipped, report.outputs[0].num_samples) == (2, 8)
    assert [(bad["file"], bad["line"]) for bad in map(json.loads, Path("bad.jsonl").read_text().splitlines())] == [
        ("photos/a/2.jpg", 1),
        ("photos/b/7.jpg", 1),
    ]
    good = [number for number in range(10) if number not in (2, 7)]
    names = {f"{'ab'[number % 2]}/{number}.jpg": (JPEG + bytes([number]), number % 2) for number in good}
    assert rows("chunks") == names


def test_the_files_behind_a_bad_one_keep_their_names_in_errors() -> None:
    def odd(sample: dict[str, Any]) -> bool:
        return 1 // (sample["name"] != "a/4.jpg") > 0

    split("photos", "chunks", max_skipped=3, where=odd, engine="inline", quarantine="bad.jsonl")
    bad = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    assert [(row["file"], row["stage"]) for row in bad] == [
        ("photos/a/2.jpg", "read"),
        ("photos/a/4.jpg", "where"),
        ("photos/b/7.jpg", "read"),
    ]


def test_one_bad_file_more_than_is_allowed_is_an_error_and_the_same_command_goes_on_with_another_number() -> None:
    with pytest.raises(SplitError, match=r"photos/b/7\.jpg:1: ends early\. Fetch it again"):
        split("photos", "chunks", max_skipped=1)
    assert split("photos", "chunks", max_skipped=2).outputs[0].num_samples == 8


def test_all_bad_files_are_listed_by_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "photos", "chunks", "--check"]) == 1
    found = capsys.readouterr().out
    assert (
        "photos/a/2.jpg:1: is a web page (HTML).\nphotos/b/7.jpg:1: ends early.\n2 bad rows and 8 good ones." in found
    )
    assert not Path("chunks").exists()


def test_a_run_of_nothing_but_bad_files_leaves_the_others(tmp_path: Path) -> None:
    for number in range(3):
        add(f"photos/a/{number * 2}.jpg", b"")
    assert split("photos", "chunks", max_skipped=4).outputs[0].num_samples == 6


def test_a_file_that_is_gone_is_a_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    read = media.read_media

    def then_gone(kind: Any, path: str, *args: Any) -> Any:
        Path("photos/a/8.jpg").unlink(missing_ok=True)
        return read(kind, path, *args)

    monkeypatch.setattr(media_rows, "read_media", then_gone)
    report = split("photos", "chunks", engine="inline", max_skipped=3, quarantine="bad.jsonl")
    assert report.num_skipped == 3
    assert "cannot be read (no such file or directory)" in Path("bad.jsonl").read_text()


def test_a_file_larger_than_a_quarter_of_the_memory_is_a_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    add("photos/a/4.jpg", JPEG * 1000)
    monkeypatch.setattr(media, "longest_line", lambda: 10_000)
    split("photos", "chunks", engine="inline", max_skipped=3, quarantine="bad.jsonl")
    assert "has 27.0 kB, more than a quarter of the memory" in Path("bad.jsonl").read_text()


def test_a_folder_of_sounds_is_split_as_one_of_images_is(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("yes/1.wav", "yes/2.WAV", "no/3.flac"):
        add(f"sounds/{name}", WAV + name.encode())
    assert main(["split", "sounds", "chunks"]) == 0
    assert "labels    0 no, 1 yes" in capsys.readouterr().out
    assert rows("chunks") == {
        name: (WAV + name.encode(), label) for name, label in (("no/3.flac", 0), ("yes/1.wav", 1), ("yes/2.WAV", 1))
    }
    assert read_manifest("chunks/manifest.json").made_by["labels"] == ["no", "yes"]
    add("sounds/no/4.mp3", b"no music")
    with pytest.raises(SplitError, match=r"sounds/no/4\.mp3:1: is no sound: it begins with b'no music'"):
        split("sounds", "other")
    add("sounds/may/be.ogg", b"OggS")
    report = split("sounds", "chunks", append=True, max_skipped=1)
    assert (report.num_known, report.num_skipped, report.labels) == (3, 1, ("no", "yes", "may"))
    assert rows("chunks")["may/be.ogg"] == (b"OggS", 2)


def test_a_folder_is_of_the_kind_that_most_of_its_files_are_unless_it_is_said() -> None:
    for name in ("a/1.wav", "a/2.wav", "a/cover.jpg"):
        add(f"album/{name}", WAV if name.endswith("wav") else JPEG)
    with pytest.raises(
        SplitError, match=r"cover\.jpg: is no sound by its name, but lies in a folder of sounds \(\.wav,"
    ):
        split("album", "chunks")
    with pytest.raises(SplitError, match=r"1\.wav: is no image by its name, like 1 more, but lies in a folder of imag"):
        split("album", "chunks", input_format="images")
    with pytest.raises(SplitError, match=r"photos: is no folder of sounds\. Name one, alone"):
        split("photos", "chunks", input_format="audio")
    Path("album/a/cover.jpg").rename("cover.jpg")
    assert split("album", "chunks").outputs[0].num_samples == 2
    with pytest.raises(ValueError, match="max_side is for images"):
        split("album", "smaller", max_side=10)


@pytest.mark.slow
def test_sounds_are_held_out_and_kept_once_by_their_bytes() -> None:
    for number in range(40):
        add(f"sounds/x/{number}.wav", WAV + bytes([number % 20]))
    report = split("sounds", "chunks", holdout={"val": 0.4}, unique="audio")
    assert report.num_duplicates == 20
    split("sounds", "twice", holdout={"val": 0.4})
    assert not {data for data, _ in rows("twice/train").values()} & {data for data, _ in rows("twice/val").values()}
