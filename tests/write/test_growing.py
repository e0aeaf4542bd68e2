"""A dataset that grows can be loaded before, meanwhile and afterwards; what fails or is killed does not block it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from killing import in_a_child

from pyloader import ChunkWriter, DataLoader
from pyloader.cli.main import main
from pyloader.errors import SplitError
from pyloader.write import discard_stopped, split


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three days of 60 samples each; what has been written survives a kill without fsync."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for day in (1, 2, 3):
        write_day(day)


def write_day(day: int) -> None:
    Path(f"day{day}.jsonl").write_text("".join(json.dumps({"id": 1000 * day + row}) + "\n" for row in range(60)))


def days(*wanted: int) -> list[int]:
    return sorted(1000 * day + row for day in wanted for row in range(60))


def ids(place: str | Path) -> list[int]:
    """Return what a loader that is made now delivers."""
    with DataLoader(data_dir=place, batch_size=16, num_workers=0) as loader:
        return sorted(int(number) for batch in loader for number in batch["id"])


def day_sets(place: str, *, names: tuple[str, ...]) -> list[int]:
    return sorted(itertools.chain(*(ids(Path(place, name)) for name in names)))


LISTS = {".inputs.jsonl", ".versions.jsonl"}
Grow = Callable[[], object]
FORMS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "put aside first": ({"num_chunks": 3}, ("",)),
    "cut while reading": ({"chunk_samples": 25}, ("",)),
    "with a holdout": ({"chunk_samples": 25, "holdout": {"val": 0.3}}, ("train", "val")),
    "columns": ({"chunk_samples": 25, "output_format": "columns"}, ("",)),
}


def kills_of(options: dict[str, Any], names: tuple[str, ...], step: int) -> Iterator[int]:
    """Kill an append at every `step`-th change, under a loader that is made again and again, and go on from there."""
    split("day1.jsonl", "begun", **options)
    shutil.copytree("begun", "counted")
    append = {**options, "append": True}
    total = in_a_child(lambda: split("day2.jsonl", "counted", **append), kill_at=10**9)
    old_and_new = {name: [ids(Path("begun", name)), ids(Path("counted", name))] for name in names}
    ways_on: list[tuple[Grow, list[int]]] = [
        (lambda: split("day2.jsonl", "grown", **append), days(1, 2)),
        (lambda: split("day3.jsonl", "grown", **append, discard_stopped=True), days(1, 3)),
        (lambda: discard_stopped("grown"), days(1)),
    ]
    for moment in range(0, total, step):
        shutil.rmtree("grown", ignore_errors=True)
        shutil.copytree("begun", "grown")

        def check() -> None:
            for name in names:
                assert ids(Path("grown", name)) in old_and_new[name], name

        in_a_child(lambda: split("day2.jsonl", "grown", **append), kill_at=moment, meanwhile=check)
        check()
        is_complete = (Path("grown") / ".split" / "complete").exists() or day_sets("grown", names=names) == days(1, 2)
        go_on, expected = ways_on[moment // step % len(ways_on)]
        go_on()
        if is_complete and expected != days(1, 2):  # it was only being put in place, and no one takes it back
            expected = sorted({*expected, *days(2)})
        assert day_sets("grown", names=names) == expected, f"kill at change {moment} of {total}"
        assert {path.name for path in Path("grown").rglob(".*")} <= LISTS, f"kill at change {moment} of {total}"
        yield moment


@pytest.mark.slow
@pytest.mark.parametrize(("options", "names"), FORMS.values(), ids=FORMS)
def test_an_append_killed_at_any_moment_leaves_what_was_there_and_every_way_on_works(
    options: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert len(list(kills_of(options, names, step=17))) > 5


@pytest.mark.slow
def test_a_chunk_writer_killed_at_any_moment_of_an_append_leaves_what_was_there() -> None:
    def write(place: str, day: int) -> None:
        with ChunkWriter(place, chunk_samples=25, append=day > 1) as writer:
            writer.write_columns({"id": days(day)})

    write("begun", 1)
    shutil.copytree("begun", "counted")
    total = in_a_child(lambda: write("counted", 2), kill_at=10**9)
    for moment in range(0, total, 3):
        shutil.rmtree("grown", ignore_errors=True)
        shutil.copytree("begun", "grown")
        in_a_child(lambda: write("grown", 2), kill_at=moment)
        seen = ids("grown")
        assert seen in (days(1), days(1, 2))
        is_complete = seen == days(1, 2) or Path("grown", ".split", "complete").exists()
        write("grown", 3)
        assert ids("grown") == (days(1, 2, 3) if is_complete else days(1, 3)), f"kill at change {moment} of {total}"


# What fails


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [('{"id": 1, "new": 2}\n', r"has columns \['id', 'new'\], not \['id'\]"), ('{"id": 5\n', ":1: is not JSON")],
)
def test_an_append_that_fails_leaves_nothing_behind(bad: str, complaint: str, tree: Any) -> None:
    split("day1.jsonl", "grown")
    before = tree(Path("grown"))
    Path("bad.jsonl").write_text(bad)
    with pytest.raises(SplitError, match=complaint):
        split("bad.jsonl", "grown", append=True)
    assert tree(Path("grown")) == before
    split("day2.jsonl", "grown", append=True)
    assert ids("grown") == days(1, 2)


def test_other_columns_are_found_before_the_whole_dump_is_read(small_steps: Any) -> None:
    small_steps(block=200, pending=400)
    split("day1.jsonl", "grown")
    Path("bad.jsonl").write_text('{"id": 1, "new": 2}\n' * 100 + "no JSON, but nobody comes here\n")
    with pytest.raises(SplitError, match=r"has columns \['id', 'new'\]"):
        split("bad.jsonl", "grown", append=True)


@pytest.mark.parametrize("append", [True, False])
def test_after_a_bad_line_is_mended_the_same_command_goes_on(append: bool, small_steps: Any) -> None:
    small_steps(block=100, pending=200)
    if append:
        split("day1.jsonl", "grown", chunk_samples=7)
    good = Path("day2.jsonl").read_text()
    Path("day2.jsonl").write_text(good + '{"id": 1\n')
    with pytest.raises(SplitError, match=r"day2\.jsonl:61: is not JSON .* leave it out: --max-skipped 10"):
        split("day2.jsonl", "grown", chunk_samples=7, append=append)
    assert append or not list(Path("grown").glob("chunk-*"))
    Path("day2.jsonl").write_text(good)
    split("day2.jsonl", "grown", chunk_samples=7, append=append)
    assert ids("grown") == (days(1, 2) if append else days(2))


def is_no_sample_of_day_two(sample: dict[str, Any]) -> bool:
    if sample["id"] == 2050 and Path("fails").exists():
        raise ZeroDivisionError
    return True


@pytest.mark.slow
def test_an_error_in_the_users_code_keeps_what_was_done_for_the_same_command_and_blocks_no_other(
    small_steps: Any,
) -> None:
    small_steps(block=100, pending=200)
    split("day1.jsonl", "grown")
    Path("fails").touch()
    stopped: dict[str, Any] = {"chunk_samples": 7, "append": True, "where": is_no_sample_of_day_two}
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            split("day2.jsonl", "grown", **stopped)
        assert list(Path("grown", ".split").rglob("unit-*"))
    Path("fails").unlink()
    split("day2.jsonl", "grown", **stopped)
    assert ids("grown") == days(1, 2)
    Path("fails").touch()
    with pytest.raises(ZeroDivisionError):
        split("day2.jsonl", "grown", **stopped, seed=1, shuffle=True, again=True)
    split("day3.jsonl", "grown", append=True)
    assert ids("grown") == days(1, 2, 3)


@pytest.mark.slow
def test_a_stopped_split_is_gone_on_with_or_given_up_and_no_other_comes_between(
    small_steps: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    small_steps(block=100, pending=200)
    assert main(["split", "day1.jsonl", "grown", "-q"]) == 0
    words = ["split", "day2.jsonl", "grown", "--append", "--chunk-samples", "7", "-q"]
    in_a_child(lambda: main(words), kill_at=60)
    other = ["split", "day3.jsonl", "grown", "--append", "-q"]
    assert main(other) == 2
    complaint = capsys.readouterr().err
    assert "a split that was stopped, of another command: pyloader split day2.jsonl grown/" in complaint
    assert "give it up, which deletes no chunk that was there before it: pyloader split grown/ --discard-stopped" in (
        complaint
    )
    with pytest.raises(SplitError, match="--discard-stopped"):
        ChunkWriter("grown", append=True)
    assert ids("grown") == days(1)
    assert main(["split", "grown/", "--discard-stopped"]) == 0
    assert "gave up the split that was stopped here: pyloader split day2.jsonl grown/" in capsys.readouterr().out
    assert main(["split", "grown/", "--discard-stopped"]) == 0
    assert "nothing to give up" in capsys.readouterr().out
    assert main(other) == 0
    assert main(words) == 0
    assert ids("grown") == days(1, 2, 3)


@pytest.mark.slow
def test_a_job_file_that_cannot_be_read_can_be_given_up(small_steps: Any) -> None:
    small_steps(block=100, pending=200)
    split("day1.jsonl", "grown")
    in_a_child(lambda: split("day2.jsonl", "grown", append=True, chunk_samples=7), kill_at=60)
    Path("grown/.split/job.json").write_text("{")
    with pytest.raises(SplitError, match=r"job\.json: is damaged .*: pyloader split grown/ --discard-stopped"):
        split("day2.jsonl", "grown", append=True)
    assert split("day2.jsonl", "grown", append=True, discard_stopped=True).num_written > 0
    assert ids("grown") == days(1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_a_split_that_an_earlier_version_began_is_refused_by_name_and_can_be_given_up(version: int) -> None:
    split("day1.jsonl", "grown", chunk_samples=7)
    append: dict[str, Any] = {"append": True, "chunk_samples": 7}
    in_a_child(lambda: split("day2.jsonl", "grown", **append), kill_at=100)
    job = Path("grown", ".split", "job.json")
    job.write_text(json.dumps({**json.loads(job.read_text()), "version": version}))
    Path("grown/.split/receipts.jsonl").rename("grown/.split/chunks.jsonl")
    with pytest.raises(
        SplitError, match=rf"of version {version}, .* an earlier version of pyloader.*--discard-stopped"
    ):
        split("day2.jsonl", "grown", **append)
    discard_stopped("grown")
    assert ids("grown") == days(1)
    split("day2.jsonl", "grown", **append)
    assert ids("grown") == days(1, 2)


@pytest.mark.slow
def test_a_stopped_split_does_not_write_over_what_came_to_its_outputs_meanwhile(small_steps: Any) -> None:
    small_steps(block=100, pending=200)
    options: dict[str, Any] = {"chunk_samples": 7, "holdout": {"val": 0.2}}
    in_a_child(lambda: split("day1.jsonl", "grown", **options), kill_at=80)
    with ChunkWriter("grown/train") as writer:
        writer.write({"id": 1})
    with pytest.raises(SplitError, match=r"holds 1 chunk of another dump .* --overwrite, which deletes its 1 sample$"):
        split("day1.jsonl", "grown", **options)
    assert ids("grown/train") == [1]


@pytest.mark.parametrize("form", ["columns", "jsonl.zst"])
def test_a_day_of_whole_numbers_is_added_to_fractions_and_the_set_loads(form: str) -> None:
    for number, value in enumerate((1.5, 2)):
        Path("day.jsonl").write_text(f'{{"id": {number}, "x": {value}}}\n')
        split("day.jsonl", "grown", output_format=form, append=number > 0, again=number > 0)
    with DataLoader(data_dir="grown", batch_size=2) as loader:
        assert next(loader)["x"].tolist() == [1.5, 2.0]
    Path("day.jsonl").write_text('{"id": 0.5, "x": 1}\n')
    if form == "columns":  # whose arrays have a type of their own, and the earlier ones keep it
        with pytest.raises(SplitError, match="cannot be added to: what is new has 'id' as float64, not 'id' as int64"):
            split("day.jsonl", "grown", output_format=form, append=True, again=True)
    assert ids("grown") == [0, 1]


@pytest.mark.parametrize("form", ["columns", "jsonl", "parquet"])
def test_what_is_added_gets_the_format_of_what_is_there(form: str) -> None:
    split("day1.jsonl", "grown", output_format=form, chunk_samples=20)
    split("day2.jsonl", "grown", append=True)
    assert {path.suffix for path in Path("grown").glob("chunk-*")} == {f".{form}"}
    Path("grown/chunk-v00002-00001." + form).rename("lost")
    split("day2.jsonl", "grown", append=True)
    assert ids("grown") == days(1, 2)
