"""A folder of images, or of sounds, is split into bytes, numbers of labels and names, whoever does it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killing import in_a_child
from products import drawn, stride
from tiny_images import tiny_jpeg, tiny_png

from pyloader import ChunkWriter, DataLoader, Dataset
from pyloader.cli.main import main
from pyloader.columns import Columns
from pyloader.errors import MissingDependencyError, SplitError
from pyloader.files import read_manifest
from pyloader.write import media_folders, media_rows, split, units
from pyloader.write.media import MEDIA

pytest.importorskip("pyarrow")

Found = Callable[[Path, str], list[Any]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos of three kinds, in several sources and units."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(media_rows, "_FILES_OF_SOURCE", 7)
    monkeypatch.setattr(units, "MIN_UNIT_BYTES", 1)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    noise = random.Random(0)
    for index in range(60):
        add(f"{('cat', 'dog', 'ape')[index % 3]}/{index:03}.{('jpg', 'PNG')[index % 2]}", noise.randbytes(index * 5))


def add(name: str, data: bytes = b"x") -> None:
    path = Path("photos", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image(data, path.suffix))


def image(data: bytes, suffix: str) -> bytes:
    return tiny_png(data) if suffix == ".PNG" else tiny_jpeg(data) if suffix in (".jpg", ".webp") else data


def rows(*directories: str) -> dict[str, tuple[bytes, int | None]]:
    """Return name -> (image, label)."""
    found = {}
    for directory in directories:
        with DataLoader(data_dir=directory, batch_size=7, shuffle=False, num_epochs=1) as loader:
            for batch in loader:
                for row, name in enumerate(batch["name"]):
                    assert name not in found
                    found[name] = (batch["image"][row], int(batch["label"][row]) if "label" in batch else None)
    return found


def photos(labels: dict[str, int]) -> dict[str, tuple[bytes, int | None]]:
    """Return what there should be."""
    files = [path for path in sorted(Path("photos").rglob("*")) if MEDIA["images"].has(path.name)]
    named = {path: str(path.relative_to("photos")) for path in files}
    return {name: (path.read_bytes(), labels.get(name.split("/")[0])) for path, name in named.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"num_chunks": 4}, {"chunk_bytes": 900}, {"output_format": "parquet"}], ids=str
)
def test_each_image_is_there_once_as_it_is_in_the_order_of_names(options: Any, tmp_path: Path, values: Found) -> None:
    report = split("photos", "chunks", **options)
    assert rows("chunks") == photos({"ape": 0, "cat": 1, "dog": 2})
    assert values(tmp_path / "chunks", "name") == sorted(rows("chunks"))
    assert report.labels == ("ape", "cat", "dog")
    assert read_manifest("chunks/manifest.json").made_by["labels"] == ["ape", "cat", "dog"]


@pytest.mark.slow
def test_parquet_that_is_named_takes_no_pass_more_than_parquet_that_follows(tmp_path: Path, tree: Any) -> None:
    split("photos", "chunks")
    split("photos", "named", output_format="parquet")
    found = [tree(tmp_path / place) for place in ("chunks", "named")]
    for files in found:
        del files["manifest.json"]
    assert found[0] == found[1]


@pytest.mark.slow
def test_images_are_shuffled_and_held_out_by_what_they_show(tmp_path: Path, values: Found) -> None:
    for index in range(60):  # each a second time, under another name and label
        add(f"owl/{index:03}.jpg", random.Random(index).randbytes(50))
        add(f"cat/again-{index:03}.jpg", random.Random(index).randbytes(50))
    split("photos", "chunks", shuffle=True, seed=3, holdout={"val": 0.3})
    assert rows("chunks/train", "chunks/val") == photos({"ape": 0, "cat": 1, "dog": 2, "owl": 3})
    train, val = (values(tmp_path / "chunks" / name, "image") for name in ("train", "val"))
    assert not set(train) & set(val)
    assert len(val) > 20
    names = values(tmp_path / "chunks/train", "name")
    assert names != sorted(names)


def test_images_without_folders_have_no_label() -> None:
    add("bare/1.jpg")
    add("bare/2.webp")
    report = split("photos/bare", "chunks")
    assert [column.name for column in report.columns] == ["image", "name"]
    assert rows("chunks") == {"1.jpg": (image(b"x", ".jpg"), None), "2.webp": (image(b"x", ".jpg"), None)}


@pytest.mark.slow
def test_folders_within_folders_and_behind_links_belong_to_the_label() -> None:
    add("cat/young/1.jpg", b"kitten")
    Path("elsewhere").mkdir()
    Path("elsewhere/2.jpg").write_bytes(image(b"eel", ".jpg"))
    Path("photos/eel").symlink_to(Path("elsewhere").absolute())
    split("photos/", "chunks")
    found = rows("chunks")
    assert found["cat/young/1.jpg"] == (image(b"kitten", ".jpg"), 1)
    assert found["eel/2.jpg"] == (image(b"eel", ".jpg"), 3)


def test_some_files_of_a_folder_can_be_named_after_it(tmp_path: Path, values: Found) -> None:
    report = split(["photos", "photos/dog/001.PNG", "photos/cat/000.jpg", "photos/dog/04*"], "chunks")
    assert values(tmp_path / "chunks", "name") == [
        "cat/000.jpg", "dog/001.PNG", "dog/040.jpg", "dog/043.PNG", "dog/046.jpg", "dog/049.PNG",
    ]  # fmt: skip
    assert report.labels == ("cat", "dog")
    split(["photos", "photos/ape/002.jpg"], "chunks", append=True)
    add("README.md")
    assert rows("chunks")["ape/002.jpg"][1] == 2
    for names, complaint in (
        (["photos", "photos/dog/none.jpg"], r"none\.jpg: there is no such file"),
        (["photos", "photos/README.md"], r"photos/README\.md: is no image by its name"),
        (["photos", "chunks/chunk-00000.parquet"], "photos: is a directory"),
    ):
        with pytest.raises(SplitError, match=complaint):
            split(names, "other")


@pytest.mark.slow
def test_what_is_added_keeps_the_numbers_of_the_labels_and_goes_on_after_them() -> None:
    split("photos", "chunks")
    for name in ("bee/1.jpg", "dog/1.jpg"):
        path = Path("more", name)
        path.parent.mkdir(parents=True)
        path.write_bytes(image(b"more", ".jpg"))
    report = split("more", "chunks", append=True)
    assert report.labels == ("ape", "cat", "dog", "bee")
    assert rows("chunks")["bee/1.jpg"] == (image(b"more", ".jpg"), 3)
    assert rows("chunks")["dog/1.jpg"] == (image(b"more", ".jpg"), 2)
    assert split("more", "chunks", append=True).num_written == 0
    with ChunkWriter("chunks", append=True) as writer:
        writer.write({"image": b"1", "label": 4, "name": "own"})
    assert read_manifest("chunks/manifest.json").made_by["labels"] == ["ape", "cat", "dog", "bee"]
    first = sorted(Path("chunks").glob("chunk-*"))[0]
    whole = first.read_bytes()
    first.unlink()
    split("photos", "chunks")  # which writes again what is lost
    assert first.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", drawn([{}, {"shuffle": True, "holdout": {"val": 0.2}}, {"unique": "image"}], 1), ids=str
)
def test_every_engine_writes_the_same_bytes(options: Any, tmp_path: Path, tree: Any) -> None:
    expected = None
    for engine in ({"engine": "inline"}, {"engine": "thread", "workers": 3}, {"engine": "process", "workers": 2}):
        split("photos", "chunks", overwrite=True, **options, **engine)
        assert expected in (None, tree(tmp_path / "chunks"))
        expected = tree(tmp_path / "chunks")


@pytest.mark.slow
def test_after_a_kill_at_any_moment_the_same_command_ends_with_the_same_bytes(tmp_path: Path, tree: Any) -> None:
    def work(place: str) -> None:
        split("photos", place, workers=1, shuffle=True, num_chunks=4)

    def chunks(place: str) -> dict[str, bytes]:
        return {name: data for name, data in tree(tmp_path / place).items() if name != "manifest.json"}

    work("whole")
    total = in_a_child(lambda: work("counted"), kill_at=10**9)
    for moment in range(3, total, stride(total // 3)):
        assert in_a_child(lambda at=moment: work(f"killed-{at}"), kill_at=moment) == moment
        work(f"killed-{moment}")
        assert chunks(f"killed-{moment}") == chunks("whole"), f"killed before change {moment} of {total}"


class Decoded(Dataset):
    """Fails on an image that is none."""

    def batch_encode(self, columns: Columns) -> Columns:
        if any(len(encoded) == len(image(bytes(295), ".PNG")) for encoded in columns["image"]):
            raise ValueError("cannot identify image")
        return {"size": [len(encoded) for encoded in columns["image"]], "name": columns["name"]}


def test_an_image_that_cannot_be_decoded_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot identify image") as caught:
        split("photos", "chunks", encode=Decoded())
    assert "photos/ape/059.PNG:1; to leave it out: --max-skipped" in str(caught.value.__notes__)
    report = split("photos", "chunks", encode=Decoded(), max_skipped=1, quarantine="bad.jsonl")
    assert (report.num_skipped, report.outputs[0].num_samples) == (1, 59)
    assert json.loads(Path("bad.jsonl").read_text())["file"] == "photos/ape/059.PNG"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("cat/list.txt", r"photos/cat/list\.txt: is no image by its name, but lies in a folder of images \(\.jpg, "),
        (
            "labels.csv",
            r"labels\.csv: is no image .*Move it out of .*, or name what.*: 'photos/\*\*/\*\.csv' --path-column NAME",
        ),
        ("cat/x.heic", r"cat/x\.heic: is no image by its name, but lies .* Move it out of that folder"),
        ("bare.jpg", r"photos/bare\.jpg: lies in no folder that could be its label, as photos/ape/002\.jpg does"),
    ],
)
def test_what_does_not_belong_in_a_folder_of_images_is_named(name: str, complaint: str, tmp_path: Path) -> None:
    add(name)
    with pytest.raises(SplitError, match=complaint):
        split("photos", "chunks")
    Path("photos", name).rename(Path(name).name)
    split("photos", "chunks")
    assert len(rows("chunks")) == 60


@pytest.mark.slow
def test_hidden_files_and_readmes_are_passed_over() -> None:
    for name in (".DS_Store", "cat/._001.jpg", "README.md", "cat/Thumbs.db", ".thumbnails/1.jpg"):
        add(name)
    add("cat/_MG_1.jpg")  # as cameras call them
    split("photos", "chunks")
    assert rows("chunks").keys() == {*photos({}).keys() - {"cat/._001.jpg", ".thumbnails/1.jpg"}}
    assert "cat/_MG_1.jpg" in rows("chunks")


def test_folders_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    Path("photos/dog/loop").symlink_to(tmp_path / "photos")
    with pytest.raises(SplitError, match=r"photos/dog/loop: is a link to a folder that it lies in. Remove the link"):
        split("photos", "chunks")
    Path("photos/dog/loop").unlink()
    Path("photos/dog/gone.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(SplitError, match=r"gone\.jpg: cannot be read \(no such file"):
        split("photos", "chunks")
    Path("photos/dog/gone.jpg").unlink()
    Path("photos/dog/1.jpg").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 734003200\n"
    )
    with pytest.raises(SplitError, match=r"photos/dog/1\.jpg:1: is a pointer of Git LFS"):
        split("photos", "chunks")


def test_an_image_that_changes_while_it_is_split_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = media_folders.media_folder

    def then_changed(*args: Any, **options: Any) -> Any:
        found = whole(*args, **options)
        add("ape/005.PNG", b"longer than it was before, by far")
        return found

    monkeypatch.setattr("pyloader.write.inputs.media_folder", then_changed)
    with pytest.raises(SplitError, match=r"ape/005\.PNG: has 90 bytes, and had 82 when the split began"):
        split("photos", "chunks")


def test_without_pyarrow_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match="The format parquet needs 'pyarrow'"):
        split("photos", "chunks", engine="inline")


def test_the_screen_lists_the_labels_and_folders_alone_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "photos", "chunks/"]) == 0
    assert "labels    0 ape, 1 cat, 2 dog\n" in capsys.readouterr().out
    assert main(["split", "photos/cat", "photos/dog", "other/"]) == 2
    complaint = capsys.readouterr().err
    assert "photos/cat: is a directory. It holds 10 .jpg, 10 .png. Images are split by the folder that" in complaint
    assert complaint.endswith(": pyloader split photos/ DIR\n")
    assert main(["split", "photos", "other/", "--window", "4"]) == 2
    assert "window is for files of tokens, and this is images" in capsys.readouterr().err
    assert main(["split", "photos/cat/001.PNG", "other/", "--from", "images"]) == 2
    assert (
        "001.PNG: is no folder of images. Name one, alone, or with files in it; or a list of their paths"
        in capsys.readouterr().err
    )
