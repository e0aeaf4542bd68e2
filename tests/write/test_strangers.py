"""In a directory that somebody else made, nothing outside of it is written or removed, and nothing that is not ours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyloader import ChunkWriter
from pyloader.cli.main import main
from pyloader.errors import PyLoaderError, SplitError
from pyloader.files import list_chunks
from pyloader.write import discard_stopped, split


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("day1.jsonl").write_text("".join(f'{{"a": {row}}}\n' for row in range(50)))
    Path("victim/photos").mkdir(parents=True)
    Path("victim/thesis.txt").write_text("keep")
    Path("victim/chunk-00000.jsonl").write_text("keep")
    Path("victim/photos/one.jpg").write_text("keep")


@pytest.fixture(autouse=True)
def the_victim_stays_as_it_was(here: None, tree: Callable[[Path], dict[str, bytes]]) -> Any:
    before = tree(Path("victim"))
    yield
    assert tree(Path("victim")) == before


def manifest_that_lists(*files: str, place: str = "ow") -> None:
    Path(place).mkdir(exist_ok=True)
    chunks = [{"file": file, "num_samples": 1, "num_bytes": 1} for file in files]
    content = {"format": "pyloader-chunks", "version": 1, "columns": [], "reader": "jsonl", "chunks": chunks}
    Path(place, "manifest.json").write_text(json.dumps(content))


def write_one_sample(place: str) -> None:
    with ChunkWriter(place, overwrite=True) as writer:
        writer.write({"a": 1})


OVERWRITERS: dict[str, Callable[[], object]] = {
    "split": lambda: split("day1.jsonl", "ow", overwrite=True, num_chunks=1),
    "split with a holdout": lambda: split("day1.jsonl", "ow", overwrite=True, holdout={"val": 0.3}),
    "ChunkWriter": lambda: write_one_sample("ow"),
}


@pytest.mark.parametrize("overwrite", OVERWRITERS.values(), ids=OVERWRITERS)
def test_overwriting_removes_nothing_through_a_link_whatever_the_manifest_lists(
    overwrite: Callable[[], object],
) -> None:
    Path("ow").mkdir()
    Path("ow/sub").symlink_to(Path("victim").absolute())
    manifest_that_lists("sub/thesis.txt", "sub/photos", "sub/chunk-00000.jsonl")
    with pytest.raises(SplitError, match=r"lists sub/\S+, and --overwrite deletes only chunks that pyloader named"):
        overwrite()
    assert sorted(path.name for path in Path("ow").iterdir()) == ["manifest.json", "sub"]


@pytest.mark.parametrize("overwrite", OVERWRITERS.values(), ids=OVERWRITERS)
def test_overwriting_removes_nothing_that_is_called_otherwise_than_our_chunks(overwrite: Callable[[], object]) -> None:
    manifest_that_lists("thesis.jsonl", "chunk-00000.jsonl")
    Path("ow/thesis.jsonl").write_text("keep")
    Path("ow/chunk-00000.jsonl").write_text("{}\n")
    with pytest.raises(SplitError, match=r"lists thesis\.jsonl, and --overwrite deletes only chunks"):
        overwrite()
    assert len(list(Path("ow").iterdir())) == 3


@pytest.mark.parametrize("overwrite", OVERWRITERS.values(), ids=OVERWRITERS)
@pytest.mark.parametrize("name", ["chunk-00000.jsonl", "chunk-00000.columns"])
def test_overwriting_removes_no_directory_of_somebody_else(name: str, overwrite: Callable[[], object]) -> None:
    manifest_that_lists(name)
    Path("ow", name).mkdir()
    Path("ow", name, "one.jpg").write_text("keep")
    with pytest.raises(SplitError, match=r"is a directory that pyloader did not write: it holds one\.jpg"):
        overwrite()
    assert Path("ow", name, "one.jpg").exists()
    assert Path("ow/manifest.json").exists()


@pytest.mark.parametrize("overwrite", [OVERWRITERS["split"], OVERWRITERS["ChunkWriter"]])
def test_overwriting_removes_a_link_and_not_what_it_leads_to(overwrite: Callable[[], object]) -> None:
    manifest_that_lists("chunk-00000.jsonl", "chunk-00001.columns")
    Path("ow/chunk-00000.jsonl").symlink_to(Path("victim/thesis.txt").absolute())
    Path("ow/chunk-00001.columns").symlink_to(Path("victim/photos").absolute())
    overwrite()
    assert [path.name for path in sorted(Path("ow").glob("[!.]*"))] == ["chunk-00000.jsonl.zst", "manifest.json"]
    assert len(list_chunks("ow")) == 1


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_output_that_is_a_link_is_refused(overwrite: bool) -> None:
    Path("ow").mkdir()
    Path("ow/val").symlink_to(Path("victim").absolute())
    with pytest.raises(SplitError, match=r"ow/val is a link to .*victim, and chunks are written inside of ow/ only"):
        split("day1.jsonl", "ow", holdout={"val": 0.3}, overwrite=overwrite)


def test_a_set_behind_a_link_is_not_overwritten() -> None:
    Path("other").mkdir()
    manifest_that_lists("chunk-00000.jsonl", place="other")
    Path("other/chunk-00000.jsonl").write_text("keep")
    Path("ow").mkdir()
    Path("ow/train").symlink_to(Path("other").absolute())
    with pytest.raises(SplitError, match=r"ow/train is a link"):
        split("day1.jsonl", "ow", overwrite=True)
    assert Path("other/chunk-00000.jsonl").read_text() == "keep"


def test_the_directory_that_was_named_may_be_a_link() -> None:
    Path("disk").mkdir()
    Path("ow").symlink_to("disk")
    split("day1.jsonl", "ow", num_chunks=2)
    split("day1.jsonl", "ow", num_chunks=3, overwrite=True)
    assert len(list_chunks("disk")) == 3


def test_links_that_were_planted_for_what_is_being_written_are_not_followed() -> None:
    victim = Path("victim/thesis.txt").absolute()
    Path("ow").mkdir()
    for name in (".manifest.json.writing", ".manifest.json.next", ".manifest.json.next.writing"):
        Path("ow", name).symlink_to(victim)
    split("day1.jsonl", "ow", num_chunks=2)
    Path("ow/.chunk-00002.jsonl.zst.writing").symlink_to(victim)
    Path("day2.jsonl").write_text('{"a": 7}\n')
    split("day2.jsonl", "ow", num_chunks=1, append=True)
    assert not Path("ow/manifest.json").is_symlink()
    assert len(list_chunks("ow")) == 3


LEFT_BY_A_SPLIT = ("job.json", "chunks.jsonl", "rows-/000000", "chunks-/chunk-00000.jsonl.zst")
DIRECTORIES = ("chunks-", "rows-", "")


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "link") for name in (*LEFT_BY_A_SPLIT, *DIRECTORIES)] + [(name, "second name") for name in LEFT_BY_A_SPLIT],
)
def test_links_in_what_a_split_has_left_are_refused(name: str, kind: str) -> None:
    staging = Path("ow/.split")
    place = staging / name
    place.parent.mkdir(parents=True)
    if name not in ("", "job.json"):
        (staging / "job.json").write_text("{}")
    if kind == "second name":
        place.hardlink_to("victim/thesis.txt")
    else:
        place.symlink_to(Path("victim" if name in DIRECTORIES else "victim/thesis.txt").absolute())
    for attempt in (
        lambda: split("day1.jsonl", "ow"),
        lambda: split("day1.jsonl", "ow", overwrite=True),
        lambda: split("day1.jsonl", "ow", append=True),
        lambda: write_one_sample("ow"),
        lambda: discard_stopped("ow"),
    ):
        with pytest.raises(SplitError, match=r"was not put there by pyloader"):
            attempt()
        assert os.path.lexists(place)


@pytest.mark.parametrize("output", ["../victim", "/", "a/b", ".."])
def test_a_job_file_names_no_directory_elsewhere(output: str, small_steps: Any) -> None:
    Path("ow/.split").mkdir(parents=True)
    Path("ow/.split/job.json").write_text(json.dumps({"fingerprint": "", "command": "x", "version": 4}))
    Path("ow/.split/names.json").write_text(json.dumps([[output, "chunk-00000.jsonl", "unit"]]))
    for attempt in (
        lambda: split("day1.jsonl", "ow", overwrite=True),
        lambda: split("day1.jsonl", "ow"),
        lambda: discard_stopped("ow"),
    ):
        with pytest.raises(SplitError, match=r"names the output .*, which no split has"):
            attempt()
    Path("ow/.split/complete").write_text(json.dumps([output]))
    with pytest.raises(SplitError, match=r"names the output .*, which no split has"):
        split("day1.jsonl", "ow")


def test_a_manifest_to_come_that_was_planted_removes_nothing_else() -> None:
    split("day1.jsonl", "ow", num_chunks=1)
    manifest = Path("ow/manifest.json").read_text()
    Path("ow/thesis.jsonl.zst").write_text("keep")
    manifest_that_lists("thesis.jsonl.zst", "manifest.json", "../victim/thesis.txt", place="planted")
    Path("planted/manifest.json").rename("ow/.manifest.json.next")
    discard_stopped("ow")
    manifest_that_lists("thesis.jsonl.zst", "manifest.json", place="planted")
    Path("planted/manifest.json").rename("ow/.manifest.json.next")
    discard_stopped("ow")
    assert Path("ow/thesis.jsonl.zst").read_text() == "keep"
    assert Path("ow/manifest.json").read_text() == manifest


def test_an_unlisted_chunk_is_never_written_over() -> None:
    split("day1.jsonl", "ow", num_chunks=1)
    Path("ow/chunk-00001.jsonl.zst").write_text("keep")
    Path("day2.jsonl").write_text('{"a": 7}\n')
    with pytest.raises(SplitError, match=r"holds chunk-00001\.jsonl\.zst, which no manifest lists"):
        split("day2.jsonl", "ow", append=True)
    assert Path("ow/chunk-00001.jsonl.zst").read_text() == "keep"


@pytest.mark.parametrize("address", ["http://host/chunks", "https://host", "hf://datasets/x"])
def test_an_address_that_is_only_read_is_no_directory(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "day1.jsonl", address]) == 2
    assert f"{address} cannot be written: {address.partition(':')[0]}:// is only read" in capsys.readouterr().err
    for attempt in (lambda: ChunkWriter(address), lambda: ChunkWriter(Path(address))):
        with pytest.raises(PyLoaderError, match="is only read"):
            attempt()
    assert sorted(path.name for path in Path().iterdir()) == ["day1.jsonl", "victim"]
