"""Rows of a shuffle are put aside in as many rounds as their number takes; how many there are changes no byte."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import in_a_child
from products import drawn

from pyloader.write import ranges, runner, split
from pyloader.write.ranges import fan_outs
from pyloader.write.segments import bucket_of

GiB = 2**30


@pytest.fixture(autouse=True)
def syncing_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [
        (1, (1,)),
        (17 * 2**23, (17,)),
        (0, (512,)),  # standard input
        (32 * GiB, (2048,)),
        (32 * GiB + 1, (256, 9)),
        (1024 * GiB, (256, 256)),
        (1024 * GiB + 1, (256, 256, 2)),
        (2**47, (256, 256, 128)),
    ],
)
def test_large_dumps_take_more_rounds_so_that_a_range_has_16_mib_at_most(
    num_bytes: int, expected: tuple[int, ...]
) -> None:
    assert fan_outs(num_bytes) == expected
    assert num_bytes <= np.prod(expected) * ranges.MAX_RANGE_BYTES


def test_the_ranges_of_a_later_round_lie_within_those_of_the_round_before() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 10_000, np.uint64)
    keys[:2] = 0, 2**64 - 1
    for fans in ((7, 256, 3), (256, 256, 256)):
        first, second, third = (bucket_of(keys, ranges.num_ranges(fans, level)) for level in range(3))
        assert (second // fans[1] == first).all()
        assert (third // fans[2] == second).all()
        assert 0 <= third.min() <= third.max() < np.prod(fans)


OPTIONS: list[dict[str, Any]] = [{}, {"holdout": {"val": 0.3}, "num_chunks": 4}, {"engine": "thread", "workers": 3}]


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_four_rounds_give_the_bytes_of_one(
    options: dict[str, Any], dump: Path, tmp_path: Path, tree: Any, small_steps: Any
) -> None:
    small_steps()
    split(dump, tmp_path / "one", shuffle=True, **options)
    small_steps(rounds=True)
    split(dump, tmp_path / "four", shuffle=True, **options)
    assert chunks(tree(tmp_path / "four")) == chunks(tree(tmp_path / "one"))


def chunks(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if "chunk-" in name}


@pytest.mark.slow
def test_a_split_in_rounds_that_is_killed_at_any_moment_ends_with_the_same_bytes(
    dump: Path, tmp_path: Path, tree: Any, small_steps: Any
) -> None:
    dump.write_bytes(b"".join(dump.read_bytes().splitlines(keepends=True)[:120]))
    small_steps()
    split(dump, tmp_path / "whole", shuffle=True)
    expected = chunks(tree(tmp_path / "whole"))
    small_steps(segment=300, rounds=True)
    total = in_a_child(lambda: split(dump, tmp_path / "counted", shuffle=True, workers=1), kill_at=10**9)
    assert chunks(tree(tmp_path / "counted")) == expected
    for moment in drawn(list(range(0, total, 7)), 12):
        output = tmp_path / f"killed-{moment}"
        in_a_child(lambda output=output: split(dump, output, shuffle=True, workers=1), kill_at=moment)
        split(dump, output, shuffle=True)
        assert chunks(tree(output)) == expected, f"killed before change {moment}"


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True])
def test_the_files_of_a_round_are_removed_when_the_next_one_is_done_and_not_missed(
    lost: bool, dump: Path, tmp_path: Path, tree: Any, small_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_steps(rounds=True)
    split(dump, tmp_path / "whole", shuffle=True)
    made, kept = tmp_path / "chunks/.split/rows-made", []

    def killed(self: object, tasks: object) -> Any:
        kept.append({path.name.split("-")[0] for path in made.iterdir()})
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pyloader.write.finishing.Finish.manifests", killed)
        with pytest.raises(KeyboardInterrupt):
            split(dump, tmp_path / "chunks", shuffle=True, workers=1)
    assert kept == [{"range", "chunk"}]
    journal = (made.parent / "receipts.jsonl").read_text().splitlines()
    assert {1, 2, 3} < {json.loads(line).get("level") for line in journal}
    scattered = []
    scatter = runner.scatter
    monkeypatch.setattr(
        runner, "scatter", lambda work, unit, dropped: scattered.append(unit) or scatter(work, unit, dropped)
    )
    if lost:
        sorted(made.glob("range-0-3-*"))[3].unlink()  # what it was made of is gone too
    split(dump, tmp_path / "chunks", shuffle=True)
    assert bool(scattered) == lost
    assert chunks(tree(tmp_path / "chunks")) == chunks(tree(tmp_path / "whole"))
