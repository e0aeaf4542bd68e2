"""Of the rows with the same key the first stays: the same rows on every engine, and after every kill."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import in_a_child
from products import drawn, stride

from pyloader.cli.main import main
from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.errors import SplitError
from pyloader.files import read_manifest
from pyloader.write import duplicates, job, key_pass, runner, split

Values = Callable[[Path, str], list[Any]]


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_steps: Any) -> None:
    """Many units, and several buckets of keys, written in several pieces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(key_pass, "_RANGE_BYTES", 1500)
    monkeypatch.setattr(duplicates, "_PENDING_BYTES", 500)
    monkeypatch.setattr(key_pass, "_MAX_TASKS", 3)
    small_steps()


def samples(number: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return samples of which every second url or so was there before."""
    drawn_by = random.Random(seed)
    return [
        {"id": index, "url": f"u{drawn_by.randrange(number // 2)}", "page": drawn_by.choice([1, 2, None])}
        for index in range(number)
    ]


def as_lines(rows: Iterable[dict[str, Any]], name: str) -> Path:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Path(name)


def first_of_each(rows: Iterable[dict[str, Any]], *key: str) -> list[int]:
    """Return the ids of the rows that stay."""
    seen: set[Any] = set()
    kept = []
    for row in rows:
        values = tuple(row[name] for name in key)
        if None in values or values not in seen:
            kept.append(row["id"])
        seen.add(values)
    return kept


@pytest.mark.parametrize(
    ("key", "sizes"), [(["url"], {}), (["url", "page"], {"num_chunks": 7}), (["url"], {"chunk_bytes": 900})], ids=str
)
def test_the_first_row_of_each_key_stays_in_its_place(
    key: list[str], sizes: Any, tmp_path: Path, values: Values
) -> None:
    rows = samples(400)
    report = split(as_lines(rows, "dump.jsonl"), "chunks", unique=key, **sizes)
    expected = first_of_each(rows, *key)
    assert values(tmp_path / "chunks", "id") == expected
    assert report.num_duplicates == 400 - len(expected) > 50
    assert read_manifest("chunks/manifest.json").made_by["num_duplicates"] == report.num_duplicates
    assert len(report.outputs[0].counts) > 3
    assert split("dump.jsonl", "chunks", unique=key, **sizes).num_written == 0


@pytest.mark.slow
def test_duplicates_are_found_across_files_and_before_the_shuffle(tmp_path: Path, values: Values) -> None:
    rows = samples(300)
    as_lines(rows[:200], "a.jsonl")
    as_lines(rows[200:], "b.jsonl")
    split(["a.jsonl", "b.jsonl"], "chunks", unique="url", shuffle=True, num_chunks=4)
    found = values(tmp_path / "chunks", "id")
    assert sorted(found) == first_of_each(rows, "url") != found


def test_a_row_without_a_value_is_like_no_other(tmp_path: Path, values: Values) -> None:
    rows = [{"id": index, "url": None} for index in range(50)]
    split(as_lines(rows, "dump.jsonl"), "chunks", unique="url")
    assert values(tmp_path / "chunks", "id") == list(range(50))


def write_csv(rows: list[dict[str, Any]]) -> str:
    Path("dump.csv").write_text("id,url\n" + "".join(f"{row['id']},{row['url']}\n" for row in rows))
    return "dump.csv"


def write_parquet(rows: list[dict[str, Any]]) -> str:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist(rows), "dump.parquet", row_group_size=40)
    return "dump.parquet"


def write_arrays(rows: list[dict[str, Any]]) -> dict[str, str]:
    np.save("id.npy", [row["id"] for row in rows])
    np.save("url.npy", [[int(row["url"][1:]), 7] for row in rows])
    return {"id": "id.npy", "url": "url.npy"}


def write_packed(rows: list[dict[str, Any]]) -> str:
    Path("dump.jsonl.gz").write_bytes(gzip.compress(as_lines(rows, "dump.jsonl").read_bytes()))
    return "dump.jsonl.gz"


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_arrays, write_packed])
def test_rows_of_every_format_are_compared(write: Any, tmp_path: Path, values: Values) -> None:
    rows = samples(300)
    split(write(rows), "chunks", unique="url", engine="inline", chunk_bytes=4000)
    assert values(tmp_path / "chunks", "id") == first_of_each(rows, "url")


def is_odd(sample: dict[str, Any]) -> bool:
    return bool(sample["id"] % 2)


@pytest.mark.slow
def test_duplicates_are_looked_for_among_the_rows_that_are_kept_and_not_left_out(
    tmp_path: Path, values: Values
) -> None:
    rows = samples(200)
    lines = as_lines(rows, "dump.jsonl").read_bytes().splitlines(keepends=True)
    Path("dump.jsonl").write_bytes(b"".join([*lines[:30], b'{"id": 1\n', *lines[30:120], b"no row\n", *lines[120:]]))
    options: dict[str, Any] = {"unique": "url", "where": is_odd, "columns": ["id"]}
    report = split("dump.jsonl", "chunks", max_skipped=2, **options)
    expected = first_of_each([row for row in rows if is_odd(row)], "url")
    assert values(tmp_path / "chunks", "id") == expected
    assert report.num_skipped == 2
    with pytest.raises(SplitError, match=r"dump\.jsonl:31: "):
        split("dump.jsonl", "other", **options)


class WordsOf(Dataset):
    changes_rows = True

    def batch_encode(self, columns: Columns) -> Columns:
        rows = list(zip(columns["id"], columns["url"], strict=True))
        return {
            "id": [int(number) for number, _ in rows for _ in range(2)],
            "twice": [url for _, url in rows for _ in "ab"],
        }


@pytest.mark.slow
def test_the_rows_that_stay_are_held_out_and_encoded(tmp_path: Path, values: Values) -> None:
    rows = samples(300)
    split(as_lines(rows, "dump.jsonl"), "chunks", unique="url", holdout={"val": 0.3}, encode=WordsOf())
    train, val = (values(tmp_path / "chunks" / name, "twice") for name in ("train", "val"))
    assert len(train) + len(val) == 2 * len(first_of_each(rows, "url"))
    assert not set(train) & set(val)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", drawn([{}, {"shuffle": True, "holdout": {"val": 0.2}}, {"num_chunks": 6}], 1), ids=str
)
def test_every_engine_writes_the_same_bytes(options: Any, tmp_path: Path, tree: Any) -> None:
    dump = as_lines(samples(400), "dump.jsonl")
    expected = None
    for engine in ({"engine": "inline"}, {"engine": "thread", "workers": 4}, {"engine": "process", "workers": 2}):
        split(dump, "chunks", unique=["url"], overwrite=True, **options, **engine)
        assert expected in (None, tree(tmp_path / "chunks"))
        expected = tree(tmp_path / "chunks")


@pytest.mark.timeout(600)  # every kill, where all are asked for
@pytest.mark.slow
@pytest.mark.parametrize(
    "options", drawn([{"chunk_bytes": 2000}, {"shuffle": True, "holdout": {"val": 0.2}}], 1), ids=str
)
def test_after_a_kill_at_any_moment_the_same_command_ends_with_the_same_bytes(
    options: Any, tmp_path: Path, tree: Any
) -> None:
    dump = as_lines(samples(150), "dump.jsonl")

    def work(place: str, workers: int) -> None:
        split(dump, place, unique="url", workers=workers, **options)

    def chunks(place: str) -> dict[str, bytes]:
        return {name: data for name, data in tree(tmp_path / place).items() if Path(name).name.startswith("chunk-")}

    work("whole", 2)
    total = in_a_child(lambda: work("counted", 1), kill_at=10**9)
    for moment in range(2, total, stride(total // 4)):
        assert in_a_child(lambda at=moment: work(f"killed-{at}", 1), kill_at=moment) == moment
        work(f"killed-{moment}", 2)
        assert chunks(f"killed-{moment}") == chunks("whole"), f"killed before change {moment} of {total}"
        assert not Path(f"killed-{moment}", ".split").exists()


def test_what_was_compared_before_a_kill_is_not_compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dump = as_lines(samples(200), "dump.jsonl")
    whole = job.Job.add
    with monkeypatch.context() as patched:

        def interrupted(self: Any, receipt: Any) -> None:
            whole(self, receipt)
            if receipt.name == "drop-000001":
                raise KeyboardInterrupt

        patched.setattr(job.Job, "add", interrupted)
        with pytest.raises(KeyboardInterrupt, match="The same command goes on from there"):
            split(dump, "chunks", unique="url", workers=1)
    names = []

    def noted(self: Any, receipt: Any) -> None:
        names.append(receipt.name)
        whole(self, receipt)

    monkeypatch.setattr(job.Job, "add", noted)
    split(dump, "chunks", unique="url")
    assert [name for name in names if name.startswith(("keys", "drop"))] == ["drop-000002"]


@pytest.mark.slow
def test_damaged_chunks_are_written_again_without_the_duplicates(tmp_path: Path, tree: Any) -> None:
    dump = as_lines(samples(200), "dump.jsonl")
    split(dump, "chunks", unique="url", num_chunks=5)
    expected = tree(tmp_path / "chunks")
    sorted(Path("chunks").glob("chunk-*"))[2].unlink()
    assert split(dump, "chunks", unique="url", num_chunks=5).num_written == 1
    assert tree(tmp_path / "chunks") == expected


def test_rows_that_are_others_the_second_time_are_an_error() -> None:
    calls = iter(range(10**6))
    with pytest.raises(SplitError, match=r"dump\.jsonl: gave \d+ rows, and \d+ when their keys .*--where depend on"):
        split(
            as_lines(samples(200), "dump.jsonl"), "chunks",
            unique="url", workers=1, where=lambda sample: next(calls) % 3 or next(calls) > 300,
        )  # fmt: skip


@pytest.mark.slow
def test_what_comes_through_a_pipe_is_compared_too_with_itself_and_with_what_came_before(
    tmp_path: Path, values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = samples(600)

    def pipe(some: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in some)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        split("-", "piped", input_format="jsonl", unique="url", append=True)

    for start in (0, 200, 400):  # the same command each time
        pipe(rows[start : start + 200])
    assert values(tmp_path / "piped", "id") == first_of_each(rows, "url")
    assert not list(Path("piped").glob(".split*"))


@pytest.mark.slow
def test_a_stopped_split_of_a_pipe_goes_on_with_the_same_rows(
    tmp_path: Path, values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = samples(300)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()

    class StopError(Exception):
        pass

    def stops(*args: Any, **kwargs: Any) -> None:
        raise StopError

    for attribute, is_last in (("scatter", False), ("place_all", False), ("", True)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
        with monkeypatch.context() as patched, nullcontext() if is_last else pytest.raises(StopError):
            if attribute:
                patched.setattr(runner, attribute, stops)
            split("-", "piped", input_format="jsonl", unique="url", engine="inline")
    assert values(tmp_path / "piped", "id") == first_of_each(rows, "url")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("dump.jsonl chunks/ --unique nothing", "--unique: names 'nothing', and a row has id, url, page."),
        ("dump.jsonl chunks/ --unique url,", "'url,' is not like question,answer"),
    ],
)
def test_what_cannot_be_compared_is_told(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    as_lines(samples(20), "dump.jsonl")
    assert main(["split", *words.split()]) == 2
    assert complaint in capsys.readouterr().err
    assert not Path("chunks", "manifest.json").exists()


def test_the_screen_and_the_command_say_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows = samples(100)
    as_lines(rows, "dump.jsonl")
    number = 100 - len(first_of_each(rows, "url", "page"))
    for _ in range(2):
        assert main(["split", "dump.jsonl", "chunks/", "--unique", "url,page"]) == 0
        assert f" {number} rows of the dump whose key an earlier one has\n" in capsys.readouterr().out
    assert "--unique url,page" in read_manifest("chunks/manifest.json").command
    with pytest.raises(TypeError, match="unique must be a list of columns"):
        split("dump.jsonl", "chunks", unique=[])


@pytest.mark.slow
def test_random_dumps_keep_what_a_set_would_keep(tmp_path: Path, values: Values) -> None:
    for seed in range(4):
        rows = samples(random.Random(seed).randrange(2, 120), seed=seed)
        split(as_lines(rows, "dump.jsonl"), f"chunks-{seed}", unique="url", shuffle=bool(seed % 2), engine="inline")
        found = values(tmp_path / f"chunks-{seed}", "id")
        assert (sorted(found) if seed % 2 else found) == first_of_each(rows, "url")


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_csv, write_parquet, write_arrays, write_packed])
def test_the_columns_that_decide_need_not_be_kept(write: Any, tmp_path: Path, values: Values) -> None:
    rows = samples(200)
    dump = write(rows)
    split(dump, "chunks", unique="url", columns=["id"], engine="inline", holdout={"val": 0.3}, holdout_by="url")
    found = [values(tmp_path / "chunks" / name, "id") for name in ("train", "val")]
    assert sorted(found[0] + found[1]) == first_of_each(rows, "url")
    assert [column.name for column in read_manifest("chunks/val/manifest.json").columns] == ["id"]
    by_url = [rows[number]["url"] for number in found[1]]
    split(dump, "urls", holdout={"val": 0.3}, holdout_by="url", engine="inline")
    assert set(by_url) == {rows[number]["url"] for number in values(tmp_path / "urls/val", "id")}


@pytest.mark.slow
def test_what_is_held_out_does_not_depend_on_the_key(tmp_path: Path, values: Values) -> None:
    rows = [{"id": index, "url": f"u{index}", "page": 1} for index in range(200)]
    dump = write_parquet(rows)
    for name, unique in (("with", "url"), ("without", None)):
        split(dump, name, unique=unique, columns=["id", "page"], holdout={"val": 0.3})
    assert values(tmp_path / "with/val", "id") == values(tmp_path / "without/val", "id")
