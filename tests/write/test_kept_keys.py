"""What is added to a set of chunks is compared with the keys of the rows that are there."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import in_a_child
from products import stride

from pyloader import ChunkWriter
from pyloader.cli.main import main
from pyloader.errors import SplitError
from pyloader.files import read_manifest
from pyloader.write import job, kept_keys, key_pass, split
from pyloader.write.kept_keys import contained

Values = Callable[[Path, str], list[Any]]
DAYS = ("1", "2", "3")


@pytest.fixture(autouse=True)
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_steps: Any) -> list[dict[str, Any]]:
    """Three days of visits, most of whose pages come more than once, also on other days."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(key_pass, "_RANGE_BYTES", 1500)
    monkeypatch.setattr(kept_keys, "_BLOCK_KEYS", 7)
    small_steps()
    pages, rows = random.Random(0), []
    for day in DAYS:
        of_day = [{"id": 1000 * int(day) + row, "url": f"page-{pages.randrange(120)}"} for row in range(100)]
        Path(f"day{day}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_day))
        rows += of_day
    return rows


def first_of_each(rows: list[dict[str, Any]]) -> list[int]:
    seen: dict[str, int] = {}
    for row in rows:
        seen.setdefault(row["url"], row["id"])
    return sorted(seen.values())


def add(day: str, place: str = "chunks", **options: Any) -> Any:
    return split(f"day{day}.jsonl", place, unique="url", append=True, **options)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"holdout": {"val": 0.3}, "shuffle": True}], ids=str)
def test_of_all_days_the_first_row_of_each_key_stays(options: Any, days: Any, values: Values, tmp_path: Path) -> None:
    reports = [add(day, **options) for day in DAYS]
    found = [number for output in reports[-1].outputs for number in values(Path(output.directory), "id")]
    assert sorted(found) == first_of_each(days)
    assert sum(report.num_duplicates for report in reports) == 300 - len(found)
    main_output = reports[-1].outputs[0].directory
    assert sum(path.stat().st_size for path in Path(main_output).glob(".keys-*")) == 16 * len(found)
    assert add("2", **options).num_written == 0
    split("day1.jsonl", "chunks", unique="url", overwrite=True, **options)
    assert len(list(Path(main_output).glob(".keys-*"))) == 1


@pytest.mark.slow
def test_chunks_that_are_lost_are_written_again_whichever_day_they_are_of(tmp_path: Path, tree: Any) -> None:
    for day in DAYS:
        add(day)
    expected = tree(tmp_path / "chunks")
    for file in sorted(Path("chunks").glob("chunk-*"))[::5]:
        file.unlink()
    for day in DAYS:
        assert add(day).num_written > 0
    assert tree(tmp_path / "chunks") == expected


@pytest.mark.slow
def test_what_was_found_out_about_keys_and_is_lost_is_found_out_again(
    tmp_path: Path, tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("1", "whole", num_chunks=3)
    whole = job.Job.add
    with monkeypatch.context() as patched:

        def interrupted(self: Any, receipt: Any) -> None:
            whole(self, receipt)
            if receipt.name.startswith("chunk-"):
                raise KeyboardInterrupt

        patched.setattr(job.Job, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            add("1", workers=1, num_chunks=3)
    lost = sorted(Path("chunks/.split/rows-made").glob("drop-*"))
    assert len(lost) > 3
    for path in lost[:2]:
        path.unlink()
    add("1", num_chunks=3)
    kept = [next(Path(place).glob(".keys-*")).read_bytes() for place in ("chunks", "whole")]
    assert kept[0] == kept[1]


@pytest.mark.slow
def test_an_append_killed_at_any_moment_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, tree: Any) -> None:
    def chunks(place: str) -> dict[str, bytes]:
        return {name: data for name, data in tree(tmp_path / place).items() if name.startswith("chunk-")}

    add("1", "begun")
    for place in ("counted", "whole"):
        shutil.copytree("begun", place)
    add("2", "whole")
    total = in_a_child(lambda: add("2", "counted", workers=1), kill_at=10**9)
    for moment in {*range(2, total, stride(total // 4)), total - 9}:
        place = f"killed-{moment}"
        shutil.copytree("begun", place)
        assert in_a_child(lambda at=place: add("2", at, workers=1), kill_at=moment) == moment
        add("2", place)
        assert chunks(place) == chunks("whole"), f"killed before change {moment} of {total}"
        assert len(list(Path(place).glob(".keys-*"))) == 2


@pytest.mark.slow
def test_rows_whose_keys_nobody_kept_are_not_added_to() -> None:
    split("day1.jsonl", "plain")
    with pytest.raises(SplitError, match=r"plain/ holds rows whose keys were not kept: they were not split with --un"):
        add("2", "plain")
    add("1")
    with ChunkWriter("chunks", append=True) as writer:
        writer.write({"id": 5, "url": "page-5"})
    with pytest.raises(SplitError, match=r"chunks/ holds rows that were added without --unique\. Split all dumps"):
        add("2")
    add("1", "other")
    with pytest.raises(SplitError, match=r"holds rows that are unique by url, not by id,url\. Say --unique url"):
        split("day2.jsonl", "other", unique=["id", "url"], append=True)
    kept = next(Path("other").glob(".keys-*"))
    kept.unlink()
    with pytest.raises(SplitError, match=r"\.keys-\w+ is missing, or damaged; it holds the keys of rows"):
        add("2", "other")
    assert read_manifest("other/manifest.json").num_samples == len(first_of_each_of("1"))


def test_a_manifest_from_elsewhere_names_no_file_of_keys_outside_of_the_set() -> None:
    add("1")
    Path("chunks/.keys-..").mkdir()
    next(Path("chunks").glob(".keys-[0-9a-f]*")).rename("chunks/.keys-../k")
    manifest = json.loads(Path("chunks/manifest.json").read_text())
    manifest["made_by"]["unique"]["parts"] = ["../k"]
    Path("chunks/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SplitError, match=r"is missing, or damaged; it holds the keys of rows"):
        add("2")


def first_of_each_of(day: str) -> list[int]:
    return first_of_each([json.loads(line) for line in Path(f"day{day}.jsonl").read_text().splitlines()])


@pytest.mark.slow
def test_a_day_without_anything_new_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    add("1")
    lines = Path("day1.jsonl").read_text().splitlines(keepends=True)
    Path("again.jsonl").write_text("".join(lines[50:] + lines[:40]))
    assert main(["split", "again.jsonl", "chunks/", "--unique", "url", "--append"]) == 2
    assert "again.jsonl: holds no samples whose key is new." in capsys.readouterr().err


def test_keys_are_found_in_a_sorted_file_also_where_their_upper_halves_are_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        keys = np.unique(rng.integers(0, 12, (120, 2)).astype(np.uint64) << np.uint64(60), axis=0)
        there = keys[rng.random(len(keys)) < 0.5]
        there.astype("<u8").tofile(tmp_path / "keys")
        asked = keys[rng.random(len(keys)) < 0.6]
        expected = [tuple(key) in set(map(tuple, there.tolist())) for key in asked.tolist()]
        assert contained(str(tmp_path / "keys"), asked).tolist() == expected
