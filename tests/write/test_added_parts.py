"""A directory that was added to knows which command made which chunks."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from pyloader import ChunkWriter, DataLoader
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError
from pyloader.files import read_manifest, write_manifest


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for day in (1, 2, 3):
        Path(f"day{day}.jsonl").write_text("".join(f'{{"id": {1000 * day + row}}}\n' for row in range(40)))


def pyloader(*words: str) -> int:
    return main(["split", *words, "--chunk-samples", "10", "-q"])


def pipe(monkeypatch: pytest.MonkeyPatch, name: str, *words: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(name).read_bytes())))
    return pyloader("-", *words, "--from", "jsonl")


def ids(place: str) -> list[int]:
    return sorted(int(number) for batch in DataLoader(data_dir=place, batch_size=16) for number in batch["id"])


def damage(path: str) -> None:
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    Path(path).write_bytes(data)


@pytest.mark.slow
def test_verify_names_the_command_that_made_the_chunk_and_that_command_mends_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pyloader("day1.jsonl", "grown") == 0
    assert pyloader("day2.jsonl", "grown", "--append") == 0
    assert pyloader("day3.jsonl", "grown", "--append") == 0
    whole = {path.name: path.read_bytes() for path in Path("grown").iterdir()}
    for name in ("chunk-00001", "chunk-v00002-00002"):
        damage(f"grown/{name}.jsonl.zst")
    with pytest.raises(
        ChunkReadError,
        match=r"by the command that made it; the manifest says it was made by: pyloader split day1\.jsonl grown/",
    ):
        list(DataLoader(data_dir="grown", batch_size=10, verify="first"))
    assert main(["verify", "grown"]) == 1
    shown = capsys.readouterr().out
    first, second = "pyloader split day1.jsonl grown/", "pyloader split day2.jsonl grown/"
    assert "write this one (chunk-00001.jsonl.zst) again, and nothing else, by the command that made it" in shown
    assert shown.index(f"{first} --chunk-samples 10\n") < shown.index(f"{second} --chunk-samples 10 --append\n")
    assert "day3" not in shown
    for path, words, mended in (("day1.jsonl", [], "chunk-00001"), ("day2.jsonl", ["--append"], "chunk-v00002-00002")):
        assert pyloader(path, "grown/", *words) == 0
        name = f"{mended}.jsonl.zst"
        assert Path("grown", name).read_bytes() == whole[name]
    assert {path.name: path.read_bytes() for path in Path("grown").iterdir()} == whole
    assert main(["verify", "grown"]) == 0


@pytest.mark.slow
def test_a_dump_that_was_added_before_is_there_already(capsys: pytest.CaptureFixture[str]) -> None:
    for day in (1, 2, 3, 1, 2):
        assert main(["split", f"day{day}.jsonl", "grown", "--append"]) == 0
    assert capsys.readouterr().out.count("nothing to do") == 2
    assert len(ids("grown")) == len(set(ids("grown"))) == 120


def test_a_dump_that_has_changed_since_cannot_mend_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert pyloader("day1.jsonl", "grown") == 0
    assert pyloader("day2.jsonl", "grown", "--append") == 0
    Path("day1.jsonl").write_text('{"id": 1}\n')
    assert pyloader("day1.jsonl", "grown") == 2
    shown = capsys.readouterr().err
    assert "of this dump as it was, or split otherwise: pyloader split day1.jsonl grown/" in shown
    assert "Chunks of a dump that has changed since cannot be mended" in shown
    assert "--overwrite, which deletes its 80 samples" in shown


@pytest.mark.slow
def test_standard_input_is_added_any_number_of_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("day1.jsonl", "day2.jsonl", "day2.jsonl", "day3.jsonl"):
        assert pipe(monkeypatch, name, "grown", "--append") == 0
    assert len(ids("grown")) == 160
    assert len(set(ids("grown"))) == 120
    damage("grown/chunk-v00002-00001.jsonl.zst")
    assert main(["verify", "grown"]) == 1
    shown = capsys.readouterr().out
    assert "put this one back from a copy: standard input does not come again" in shown
    assert "the manifest says it was made by: pyloader split - grown/" in shown


def test_other_rows_through_the_same_pipe_are_not_mixed_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipe(monkeypatch, "day1.jsonl", "grown") == 0
    assert pipe(monkeypatch, "day2.jsonl", "grown") == 2
    complaint = capsys.readouterr().err
    assert "Add them with --append, or start over: --overwrite, which deletes its 40 samples" in complaint
    assert pipe(monkeypatch, "day2.jsonl", "grown", "--append") == 0
    assert len(ids("grown")) == 80


@pytest.mark.slow
@pytest.mark.parametrize("knows_shares", [True, False])
def test_samples_are_added_with_the_holdout_of_those_before(
    knows_shares: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pyloader("day1.jsonl", "grown", "--holdout", "val=20%") == 0
    if not knows_shares:  # as earlier versions left it
        for name in ("train", "val"):
            path = Path("grown", name, "manifest.json")
            content = json.loads(path.read_text())
            del content["made_by"]["holdout"]
            path.write_text(json.dumps(content))
    for other in ([], ["--holdout", "val=0.3"], ["--holdout", "val=0.2", "--holdout", "test=0.1"]):
        assert pyloader("day2.jsonl", "grown", "--append", *other) == 2
        complaint = capsys.readouterr().err
        assert "it was split with --holdout val=0.2, and this is with" in complaint
        assert "Add to it with the same: --append --holdout val=0.2" in complaint
    assert pyloader("day2.jsonl", "grown", "--append", "--holdout", "val=0.2") == 0
    assert sorted([*ids("grown/train"), *ids("grown/val")]) == sorted(
        1000 * day + row for day in (1, 2) for row in range(40)
    )
    assert pyloader("day1.jsonl", "plain") == 0
    assert pyloader("day2.jsonl", "plain", "--append", "--holdout", "val=0.3") == 2
    assert "split without --holdout, and this is with --holdout val=0.3. Leave --holdout out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_manifest_of_an_earlier_version_is_added_to_and_its_latest_command_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pyloader("day1.jsonl", "grown") == 0
    assert pyloader("day2.jsonl", "grown", "--append") == 0
    path = Path("grown/manifest.json")
    manifest = read_manifest(path)
    manifest.made_by.pop("origins")
    write_manifest(path, manifest)
    assert pyloader("day3.jsonl", "grown", "--append") == 0
    with ChunkWriter("grown", append=True) as writer:
        writer.write({"id": 7})
    assert len(ids("grown")) == 121
    for name in ("chunk-00000", "chunk-v00002-00001", "chunk-v00003-00001"):
        Path(f"grown/{name}.jsonl.zst").unlink()
    assert main(["verify", "grown"]) == 1
    shown = capsys.readouterr().out
    assert "fetch this one (chunk-00000.jsonl.zst) again" in shown
    assert "pyloader split day2.jsonl grown/ --chunk-samples 10 --append\n" in shown
    assert "pyloader split day3.jsonl grown/ --chunk-samples 10 --append\n" in shown
    assert pyloader("day2.jsonl", "grown", "--append") == 0
    assert Path("grown/chunk-v00002-00001.jsonl.zst").exists()
