"""A split killed at any moment goes on, and ends as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from killing import in_a_child
from products import drawn

from pyloader.errors import SplitError
from pyloader.files import atomic
from pyloader.write import runner, split, tasks

CASES: dict[str, dict[str, Any]] = {
    "in order, cut while reading": {"chunk_bytes": 2000},
    "in order, all put aside first": {"num_chunks": 7},
    "shuffled, with a holdout": {"shuffle": True, "num_chunks": 5, "holdout": {"val": 0.2}},
    "a holdout, cut while reading": {"chunk_samples": 40, "holdout": {"val": 0.2}, "workers": 2},
}


@pytest.fixture(autouse=True)
def syncing_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been written survives a kill without fsync; it is power failures that it is for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.slow
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_after_a_kill_at_any_moment_the_same_command_ends_with_the_same_bytes(
    options: dict[str, Any], dump: Path, tmp_path: Path, tree: Any, small_steps: Any
) -> None:
    small_steps()
    one_thread = {**options, "workers": 1}  # a forked child has only one
    split(dump, tmp_path / "whole", **options)
    expected = without_commands(tree(tmp_path / "whole"))
    total = in_a_child(lambda: split(dump, tmp_path / "counted", **one_thread), kill_at=10**9)
    assert total > 100
    moments = {*range(0, total, max(1, total // 40)), *range(total - 12, total)}
    for moment in drawn(sorted(moments), len(moments) // 3):
        output = tmp_path / f"killed-{moment}"
        assert in_a_child(lambda output=output: split(dump, output, **one_thread), kill_at=moment) == moment
        split(dump, output, **options)
        assert without_commands(tree(output)) == expected, f"killed before change {moment}"


def without_commands(files: dict[str, bytes]) -> dict[str, Any]:
    """Return `files`, with manifests decoded and without the commands, which name the directory."""
    plain: dict[str, Any] = {name: data for name, data in files.items() if not name.endswith("manifest.json")}
    for name in files.keys() - plain.keys():
        plain[name] = {**json.loads(files[name]), "made_by": None}
    return plain


@pytest.mark.slow
def test_a_split_killed_again_and_again_still_comes_to_its_end(
    dump: Path, tmp_path: Path, tree: Any, small_steps: Any
) -> None:
    small_steps()
    options: dict[str, Any] = {"shuffle": True, "chunk_samples": 30}
    output = tmp_path / "chunks"
    split(dump, output, **options)
    expected = tree(output)
    split(dump, output, **options, overwrite=True)
    for path in sorted(output.iterdir()):
        path.unlink()
    kills = 0
    # More changes than lie between two checkpoints: each run comes a little further.
    while in_a_child(lambda: split(dump, output, **options), kill_at=130) == 130:
        kills += 1
        assert kills < 100
    assert kills > 3
    assert tree(output) == expected


@pytest.mark.slow
def test_a_line_of_the_journal_that_was_cut_short_is_gone_on_from(
    dump: Path, tmp_path: Path, tree: Any, small_steps: Any
) -> None:
    small_steps()
    output = tmp_path / "chunks"
    split(dump, output, num_chunks=9)
    expected = tree(output)
    for path in output.iterdir():
        path.unlink()
    in_a_child(lambda: split(dump, output, num_chunks=9), kill_at=200)
    journal = output / ".split" / "receipts.jsonl"
    assert journal.read_bytes().count(b"\n") > 1
    journal.write_bytes(journal.read_bytes() + b'{"type":"unit","name":"un')
    in_a_child(lambda: split(dump, output, num_chunks=9), kill_at=20)
    split(dump, output, num_chunks=9)
    assert tree(output) == expected


@pytest.mark.slow
def test_going_on_does_not_read_again_what_is_put_aside(
    dump: Path, tmp_path: Path, small_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_steps()
    output = tmp_path / "chunks"
    in_a_child(lambda: split(dump, output, chunk_bytes=2000), kill_at=200)
    receipts = (output / ".split" / "receipts.jsonl").read_bytes().splitlines()
    scattered: list[str] = []
    whole = tasks.scatter

    def noted(work: Any, unit: Any, *dropped: Any) -> Any:
        scattered.append(unit.name)
        return whole(work, unit, *dropped)

    monkeypatch.setattr(runner, "scatter", noted)
    split(dump, output, chunk_bytes=2000)
    assert len(receipts) > 5
    assert scattered
    assert not {json.loads(line)["name"] for line in receipts}.intersection(scattered)


def test_the_same_command_again_writes_nothing(dump: Path, tmp_path: Path) -> None:
    assert split(dump, tmp_path / "chunks", num_chunks=5).num_written == 5
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "chunks").iterdir()}
    assert split(dump, tmp_path / "chunks", num_chunks=5).num_written == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "chunks").iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_damaged_and_missing_chunks_are_written_again_and_no_others(
    options: dict[str, Any], dump: Path, tmp_path: Path, tree: Any, small_steps: Any
) -> None:
    small_steps()
    output = tmp_path / "chunks"
    split(dump, output, **options)
    expected = tree(output)
    first, second, *others = sorted(output.rglob("chunk-*"))
    flipped = bytearray(first.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    first.write_bytes(flipped)
    second.unlink()
    before = {path: path.stat().st_mtime_ns for path in others}
    assert split(dump, output, **options).num_written == 2
    assert tree(output) == expected
    assert {path: path.stat().st_mtime_ns for path in others} == before


@pytest.mark.slow
def test_a_stopped_split_with_other_options_is_refused_and_can_be_given_up(
    dump: Path, tmp_path: Path, small_steps: Any
) -> None:
    small_steps()
    output = tmp_path / "chunks"
    in_a_child(lambda: split(dump, output, chunk_bytes=2000), kill_at=200)
    with pytest.raises(
        SplitError, match=r"was stopped, of another command: .*2000.*3000.*--discard-stopped"
    ) as refused:
        split(dump, output, chunk_bytes=3000)
    assert "--overwrite" not in str(refused.value)
    assert split(dump, output, chunk_bytes=3000, discard_stopped=True).outputs[0].num_samples == 400


@pytest.mark.slow
def test_a_stopped_split_of_a_dump_that_has_changed_since_begins_again(
    dump: Path, tmp_path: Path, small_steps: Any, tree: Any
) -> None:
    small_steps()
    output = tmp_path / "chunks"
    in_a_child(lambda: split(dump, output, chunk_bytes=2000), kill_at=200)
    dump.write_bytes(dump.read_bytes() + b'{"id": 9, "text": "", "late": 1}\n')
    assert split(dump, output, chunk_bytes=2000).outputs[0].num_samples == 401
    again = tree(output)
    split(dump, output, chunk_bytes=2000, overwrite=True)
    assert tree(output) == again


@pytest.mark.parametrize("options", [{"num_chunks": 4}, {"chunk_samples": 100, "workers": 2}], ids=str)
def test_a_dump_that_changed_behind_our_back_does_not_mend_chunks(
    options: dict[str, Any], dump: Path, tmp_path: Path
) -> None:
    split(dump, tmp_path / "chunks", **options)
    times = dump.stat()
    dump.write_bytes(dump.read_bytes().replace(b'"id": 7,', b'"id": 8,'))
    os.utime(dump, ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "chunks" / "chunk-00001.jsonl.zst").unlink()
    with pytest.raises(SplitError, match="holds other rows than when"):
        split(dump, tmp_path / "chunks", **options)
    assert not (tmp_path / "chunks" / ".split").exists()


@pytest.mark.slow
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_a_full_disk_is_an_error_that_leaves_no_half_files_and_can_be_gone_on_from(
    options: dict[str, Any], dump: Path, tmp_path: Path, tree: Any, small_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_steps()
    output = tmp_path / "chunks"
    split(dump, output, **options)
    expected = tree(output)
    split(dump, output, **options, overwrite=True)
    for path in sorted(output.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    num_syncs = 0
    whole = atomic.sync

    def full_after_some(path: Path) -> None:
        nonlocal num_syncs
        num_syncs += 1
        if num_syncs == 20:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        whole(path)

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "sync", full_after_some)
        with pytest.raises(SplitError, match=r"no space left on device\. Make room, then give the same command again"):
            split(dump, output, **options)
    assert not list(output.rglob("*.writing"))
    assert not list(output.rglob("manifest.json"))
    split(dump, output, **options)
    assert tree(output) == expected


def test_ctrl_c_says_how_far_it_came_and_that_the_same_command_goes_on(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_syncs = 0
    whole = atomic.sync

    def interrupted(path: Path) -> None:
        nonlocal num_syncs
        num_syncs += 1
        if num_syncs == 16:
            raise KeyboardInterrupt
        whole(path)

    monkeypatch.setattr(atomic, "sync", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"stopped with \d of 9 chunks written. The same command goes on"):
        split(dump, tmp_path / "chunks", num_chunks=9)
    assert not list((tmp_path / "chunks").rglob("*.writing"))
    assert split(dump, tmp_path / "chunks", num_chunks=9).outputs[0].num_samples == 400
