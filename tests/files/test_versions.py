"""Earlier versions of a set of chunks can be loaded, bit for bit, however often it was added to and compacted."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.columns import ColumnSpec
from pyloader.errors import ManifestError, PyLoaderError, StateError
from pyloader.files import (
    ChunkEntry,
    Manifest,
    Origin,
    difference_of_versions,
    encode_versions,
    read_manifest,
    read_versions,
    write_manifest,
)
from pyloader.indexed import ChunkedDataset
from pyloader.write import compact, split
from pyloader.write.input_files import InputFile
from pyloader.write.known_inputs import encode_inputs, known_input

OPTIONS: dict[str, Any] = {"batch_size": 16, "shuffle": True, "num_epochs": 2, "num_workers": 0, "last_batch": "pad"}
NIGHTS = 365


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def add(day: int, *, num_rows: int = 60, value: Any = 1, **options: Any) -> None:
    """Append a day to the set, or begin it."""
    rows = ({"id": 1000 * day + row, "x": value} for row in range(num_rows))
    Path(f"day{day}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    split(f"day{day}.jsonl", "set", append=Path("set").exists(), **options)


def batches(*, state: dict[str, Any] | None = None, **options: Any) -> list[dict[str, Any]]:
    with DataLoader(data_dir="set", **{**OPTIONS, **options}) as loader:
        if state is not None:
            loader.load_state_dict(json.loads(json.dumps(state)))
        return list(loader)


def state_after(num_batches: int, **options: Any) -> dict[str, Any]:
    with DataLoader(data_dir="set", **{**OPTIONS, **options}) as loader:
        for _ in range(num_batches):
            next(loader)
        return loader.state_dict()


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    np.testing.assert_equal(found, expected)
    assert [batch["x"].dtype for batch in found] == [batch["x"].dtype for batch in expected]


GROWTH: dict[str, Callable[[], object]] = {
    "after an append": lambda: add(2),
    "after two": lambda: (add(2), add(3)),
    "after one that changed a column": lambda: add(2, value=0.5),
    "after compacting": lambda: (add(2), add(3), compact("set")),
    "after appends and compacting, again and again": lambda: [
        (add(3 * round_), add(3 * round_ + 1), compact("set")) for round_ in range(1, 4)
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("grow", GROWTH.values(), ids=GROWTH)
def test_a_state_of_the_first_version_goes_on_with_the_same_bits(
    grow: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    add(1)
    whole, state = batches(), state_after(5)
    assert "data_version" not in state
    grow()
    newest = read_manifest("set/manifest.json").version_number
    with caplog.at_level(logging.INFO, "pyloader"):
        same(batches(state=state), whole[5:])
    said = f"set: going on with version 1, which the state was saved on; the newest is {newest}"
    assert next(record.getMessage() for record in caplog.records) == said
    same(batches(data_version=1), whole)
    assert len(batches()) > len(whole)


@pytest.mark.slow
def test_each_version_of_many_delivers_what_it_delivered_when_it_was_the_newest() -> None:
    expected = {}
    for day in range(1, 6):
        add(day, num_rows=20)
        expected[day] = batches(num_epochs=1)
    compact("set")
    expected[6] = batches(num_epochs=1)
    assert [len(ChunkedDataset("set", data_version=version)) for version in (1, 2, 6)] == [20, 40, 100]
    for version, found in expected.items():
        same(batches(num_epochs=1, data_version=version), found)
        with DataLoader(data_dir="set", data_version=version) as loader:
            assert loader.state_dict()["data_version"] == version


@pytest.mark.slow
def test_two_loaders_read_two_versions_at_the_same_time_and_an_append_disturbs_neither() -> None:
    add(1)
    add(2)
    expected = batches(data_version=1), batches()
    with DataLoader(data_dir="set", data_version=1, **OPTIONS) as one, DataLoader(data_dir="set", **OPTIONS) as two:
        found: tuple[list[Any], list[Any]] = ([next(one)], [next(two)])
        add(3)
        found[0].extend(one)
        found[1].extend(two)
    for both in zip(found, expected, strict=True):
        same(*both)


def test_a_loader_goes_from_version_to_version_and_back_and_names_where_it_is() -> None:
    add(1)
    add(2)
    states = {version: state_after(3, data_version=version) for version in (1, 2)}
    with DataLoader(data_dir="set", **OPTIONS) as loader:
        for version in (1, 2, 1):
            loader.load_state_dict(states[version])
            assert f"data_version={version}" in repr(loader)
            assert loader.state_dict() == states[version]
            next(loader)
            assert len(loader) == 2 * -(-60 * version // 16)


def test_a_set_that_was_never_added_to_names_no_version_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    add(1)
    with DataLoader(data_dir="set", audit_dir="receipts", **OPTIONS) as loader:
        assert "version" not in repr(loader)
        list(loader)
    assert b"data_version" not in b"".join(path.read_bytes() for path in Path("receipts").iterdir())
    assert "data_version" not in Path("set/manifest.json").read_text()
    assert not Path("set/.versions.jsonl").exists()
    assert main(["peek", "set"]) == 0
    assert "version" not in capsys.readouterr().out


def test_the_version_is_named_by_peek_the_log_line_of_a_rank_and_receipts(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    add(1)
    add(2)
    assert main(["peek", "set"]) == 0
    assert "version      2; earlier ones: pyloader peek set --versions\n" in capsys.readouterr().out
    with caplog.at_level(logging.INFO, "pyloader"):
        for rank in (0, 1):
            with DataLoader(data_dir="set", world=(rank, 2), audit_dir="receipts", **OPTIONS) as loader:
                list(loader)
    assert "rank 0 of 2 (as given), 4 steps an epoch, 8 rows padded, version 2 of the chunks" in caplog.text
    headers = [json.loads(path.read_bytes().partition(b"\n")[0]) for path in Path("receipts").iterdir()]
    assert [header["data_version"] for header in headers] == [2, 2]


@pytest.mark.parametrize("is_versioned", [True, False])
def test_audit_and_locate_go_to_the_version_that_was_read(
    is_versioned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    add(1)
    if is_versioned:
        add(2)
    state = state_after(3, audit_dir="receipts")
    Path("state.json").write_text(json.dumps(state))
    assert main(["locate", "state.json", "set"]) == 0
    located = capsys.readouterr().out
    add(3)
    assert main(["audit", "receipts", "set"]) == 0
    assert main(["locate", "state.json", "set"]) == 0
    assert capsys.readouterr().out.endswith(located)


@pytest.mark.slow
def test_ranks_on_different_versions_are_an_error_of_the_audit(capsys: pytest.CaptureFixture[str]) -> None:
    add(1)
    add(2)
    for rank in (0, 1):
        with DataLoader(data_dir="set", world=(rank, 2), audit_dir="receipts", **OPTIONS) as loader:
            list(loader)
        if rank == 0:
            add(3)
    assert main(["audit", "receipts", "set"]) == 2
    said = capsys.readouterr().err
    assert "is of version 3 of the chunks, and rank-0-of-2-" in said
    assert "All ranks of a run read one version: DataLoader(..., data_version=2)" in said


def test_the_versions_are_listed_with_what_made_them(capsys: pytest.CaptureFixture[str]) -> None:
    add(1, num_rows=50, chunk_samples=50)
    for day in (2, 3):
        add(day, num_rows=5)
    compact("set", drop_versions=True)
    assert main(["peek", "set", "--versions"]) == 0
    lines = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "WHEN", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "version   made               samples   chunks",
        "      4   WHEN        60        2   pyloader compact set/",
        "      3   WHEN        60        3   ended: chunks of it were deleted",
        "      2   WHEN        55        2   ended: chunks of it were deleted",
        "      1   WHEN        50        1   pyloader split day1.jsonl set/ --chunk-samples 50",
    ]
    assert main(["peek", "set", "--versions", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(version["number"], version["is_ended"]) for version in found] == [
        (4, False),
        (3, True),
        (2, True),
        (1, False),
    ]
    assert main(["peek", "day1.jsonl", "--versions"]) == 2
    assert "has no manifest.json, and so no versions. Name a set of chunks" in capsys.readouterr().err


# What cannot be done


def test_a_version_that_is_not_there_is_named_with_those_that_are() -> None:
    add(1)
    with pytest.raises(
        ManifestError, match=r"set/manifest\.json has no version 2; it has version 1\. Write data_version=1"
    ):
        DataLoader(data_dir="set", data_version=2)
    add(2)
    with pytest.raises(ManifestError, match="it has versions 1, 2"):
        DataLoader(data_dir="set", data_version=3)
    with pytest.raises(ValueError, match="data_version must be at least 1, got 0"):
        DataLoader(data_dir="set", data_version=0)
    for place in ("set/*.zst", sorted(map(str, Path("set").glob("chunk-*")))):
        with pytest.raises(ValueError, match=r"data_version=1 needs a data_dir with a manifest\.json"):
            DataLoader(data_dir=place, data_version=1)


def test_a_pinned_loader_refuses_a_state_of_another_version() -> None:
    add(1)
    add(2)
    with pytest.raises(StateError, match=r"saved on version 2 of the chunks; this loader has data_version=1\. Leave"):
        batches(state=state_after(1), data_version=1)


@pytest.mark.slow
def test_after_versions_are_dropped_their_states_are_refused_by_name() -> None:
    add(1)
    states = [state_after(2)]
    add(2)
    states.append(state_after(2))
    compact("set", drop_versions=True)
    for number, state in enumerate(states, start=1):
        with pytest.raises(
            StateError, match=rf"has version {number} no more: pyloader compact --drop-versions deleted"
        ):
            batches(state=state)
        with pytest.raises(ManifestError, match=rf"has version {number} no more.*It has version 3"):
            batches(data_version=number)
    assert len(batches(num_epochs=1)) == 8


def test_a_state_of_other_chunks_is_refused_as_ever() -> None:
    add(1)
    add(2)
    state = {**state_after(1), "fingerprint": "0123456789abcdef"}
    with pytest.raises(StateError, match="the state was saved on other chunks: their names or sizes differ"):
        batches(state=state)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "another fingerprint": lambda data: data.replace(b'"fingerprint":"', b'"fingerprint":"0'),
    "another chunk": lambda data: data.replace(b"chunk-v00002-00000", b"chunk-v00002-00001"),
    "a path out of the set": lambda data: data.replace(
        b'"added"', b'"removed":[{"file":"../x","num_samples":1,"num_bytes":1}],"added"'
    ),
    "binary": lambda data: b"\xff\x00",
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_of_versions_keeps_nobody_from_the_newest_version(damage: Callable[[bytes], bytes]) -> None:
    add(1)
    state = state_after(1)
    add(2)
    path = Path("set/.versions.jsonl")
    expected = batches()
    path.write_bytes(damage(path.read_bytes()))
    same(batches(), expected)
    assert main(["verify", "set", "-q"]) == 0
    for attempt in (lambda: batches(data_version=1), lambda: batches(state=state)):
        with pytest.raises(PyLoaderError, match=r"\.versions\.jsonl|other chunks"):
            attempt()


@pytest.mark.slow
def test_a_year_of_nights_takes_less_than_twice_the_manifest() -> None:
    columns = (ColumnSpec("id", "array", "<i8"),)
    chunks = [ChunkEntry(file=f"chunk-{index:05d}.jsonl.zst", num_samples=9, num_bytes=99) for index in range(16)]
    manifest, versions, known = Manifest(columns=columns, reader="jsonl", chunks=tuple(chunks)), [], []
    origins = [Origin(num_chunks=16)]
    for night in range(2, NIGHTS + 1):
        entry = ChunkEntry(file=f"chunk-v{night:05d}-00000.jsonl.zst", num_samples=9, num_bytes=99, checksum="x" * 21)
        chunks.append(entry)
        command = f"pyloader split dumps/day{night}.jsonl set/ --append"
        dump, sizes = f"dumps/day{night}.jsonl", {"chunk_bytes": 67_108_864}
        origins.append(Origin(num_chunks=1, command=command, dump=dump, fingerprint="f" * 16, sizes=sizes))
        made_by = {"command": command, "origins": msgspec.to_builtins(origins)}
        after = msgspec.structs.replace(manifest, chunks=tuple(chunks), made_by=made_by, data_version=night)
        versions.append(difference_of_versions(manifest, after, made_seconds=1_800_000_000))
        file = InputFile(f"dumps/day{night}.jsonl", 1_000_000, 1_800_000_000_000_000_000)
        known.append(known_input(Path("set"), file, night, ["0" * 32]))
        manifest = after
    Path("set").mkdir()
    write_manifest("set/manifest.json", manifest)
    Path("set/.versions.jsonl").write_bytes(encode_versions(versions[::-1]))
    for number, earlier in read_versions("set", manifest).manifests():
        assert len(earlier.chunks) == 15 + number.number
    lists = len(encode_versions(versions)) + len(encode_inputs(known))
    assert lists < 2 * Path("set/manifest.json").stat().st_size
