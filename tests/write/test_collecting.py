"""Chunks that tasks of another system write are collected: those of one attempt each, in order, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import ChunkWriter, DataLoader
from pyloader.errors import EngineError, SplitError
from pyloader.write.collecting import ChunkCollector, Written, write_apart
from pyloader.write.job import Job
from pyloader.write.sizes import ChunkSizes

SIZES = ChunkSizes(chunk_samples=10)


def written(collector: ChunkCollector, place: int, *blocks: dict[str, Any], format: str | None = None) -> Written:
    return write_apart(blocks, collector.made, place=place, format=format, sizes=SIZES)


def ids(*numbers: int) -> dict[str, Any]:
    return {"id": list(numbers), "text": [f"row {number}" for number in numbers]}


def read(directory: Path) -> list[int]:
    with DataLoader(data_dir=directory, batch_size=7, shuffle=False, num_epochs=1) as loader:
        return [int(number) for batch in loader for number in batch["id"]]


def test_chunks_are_listed_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    with ChunkCollector(tmp_path / "chunks") as collector:
        last = written(collector, 1, ids(*range(12, 20)), ids(*range(20, 30)))
        first = written(collector, 0, ids(*range(12)))
        collector.collect([last, first])
    assert read(tmp_path / "chunks") == list(range(30))
    assert collector.num_samples == 30


def test_a_task_that_was_run_twice_is_listed_once(tmp_path: Path) -> None:
    with ChunkCollector(tmp_path / "chunks") as collector:
        written(collector, 0, ids(*range(5)))  # the worker died before it could say so
        collector.collect([written(collector, 0, ids(*range(5)))])
    assert read(tmp_path / "chunks") == list(range(5))
    assert {path.name for path in (tmp_path / "chunks").iterdir()} == {"chunk-00000.jsonl.zst", "manifest.json"}


def test_after_an_error_nothing_is_left_and_a_task_that_still_runs_finds_no_directory(tmp_path: Path) -> None:
    def fail(collector: ChunkCollector) -> None:
        written(collector, 0, ids(*range(25)))
        raise KeyboardInterrupt

    collector = ChunkCollector(tmp_path / "chunks")
    with pytest.raises(KeyboardInterrupt), collector:
        fail(collector)
    with pytest.raises(EngineError, match=r"cannot be seen by a worker on .* Name a directory that all nodes see"):
        written(collector, 1, ids(1))
    assert not list((tmp_path / "chunks").iterdir())


def test_tasks_find_no_directory_from_before_the_removing_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    whole = Job.end

    def end(job: Job) -> None:
        seen.append(job.made.is_dir())
        whole(job)

    with pytest.raises(ZeroDivisionError), ChunkCollector(tmp_path / "chunks") as collector:
        written(collector, 0, ids(1))
        monkeypatch.setattr(Job, "end", end)
        1 / 0  # noqa: B018
    assert seen == [False]
    assert not list((tmp_path / "chunks").iterdir())


def test_what_a_killed_process_left_does_not_keep_the_next_from_writing(tmp_path: Path) -> None:
    killed = ChunkCollector(tmp_path / "chunks")
    written(killed, 0, ids(1, 2))
    killed._places.close()  # as the end of a process does
    with ChunkWriter(tmp_path / "chunks") as writer:
        writer.write({"id": 3})
    assert read(tmp_path / "chunks") == [3]
    assert {path.name for path in (tmp_path / "chunks").iterdir()} == {"chunk-00000.jsonl.zst", "manifest.json"}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"id": np.arange(3)}, {"id": ["a"]}, "given blocks that are not alike: id: int64 as columns; and id: str as "),
        ({"id": ["a"]}, {"id": ["a"], "more": [1]}, "given blocks that are not alike: .* Cast them to one schema"),
        (
            {"id": ["a"], "weight": np.ones(1, np.float32)},
            {"id": ["b"], "weight": np.ones(1, np.int32)},
            "given 'weight' as array .* and array .*, which no column holds",
        ),
    ],
)
def test_tasks_whose_rows_are_not_alike_are_an_error(
    first: dict[str, Any], second: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SplitError, match=message), ChunkCollector(tmp_path / "chunks") as collector:
        collector.collect([written(collector, 0, first), written(collector, 1, second)])
    assert not list((tmp_path / "chunks").iterdir())


def test_kinds_that_can_stand_together_are_joined(tmp_path: Path) -> None:
    with ChunkCollector(tmp_path / "chunks") as collector:
        blocks = [{"id": [1], "half": [None]}, {"id": [2], "half": ["a"]}]
        collector.collect([written(collector, place, block) for place, block in enumerate(blocks)])
    assert read(tmp_path / "chunks") == [1, 2]


def test_tasks_without_rows_are_passed_over_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    with ChunkCollector(tmp_path / "chunks") as collector:
        collector.collect([written(collector, 0), written(collector, 1, ids(7))])
    assert read(tmp_path / "chunks") == [7]
    with pytest.raises(SplitError, match="was given no samples"), ChunkCollector(tmp_path / "none") as collector:
        collector.collect([written(collector, 0)])
