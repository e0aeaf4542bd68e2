"""A Ray dataset is written as chunks: every row once, or nothing at all."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import DataLoader
from pyloader.errors import SplitError

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(180), pytest.mark.filterwarnings("default")]  # Ray's own
write_chunks = pytest.importorskip("pyloader.ray", exc_type=ImportError).write_chunks
ROWS = 1000


@pytest.fixture(scope="module")
def ray_data(ray_here: Any) -> Any:
    ray_here.data.range(1).materialize()  # its log file is opened at first use, and stays open
    return ray_here.data


@pytest.fixture
def dataset(ray_data: Any) -> Any:
    return ray_data.range(ROWS, override_num_blocks=5)


def with_text(rows: dict[str, Any]) -> dict[str, Any]:
    return {**rows, "text": np.array([f"row {number}" for number in rows["id"]])}


def with_vectors(rows: dict[str, Any]) -> dict[str, Any]:
    return {**rows, "vector": np.stack([np.full((2, 3), number, np.float32) for number in rows["id"]])}


def with_dates(rows: dict[str, Any]) -> dict[str, Any]:
    return {**with_text(rows), "date": rows["id"].astype("datetime64[s]")}


def rows_of(directory: Path) -> dict[int, dict[str, Any]]:
    """Return all rows by their ids, each of which must be there once."""
    found: dict[int, dict[str, Any]] = {}
    with DataLoader(data_dir=directory, batch_size=64, num_epochs=1) as loader:
        for batch in loader:
            for number, values in enumerate(zip(*batch.values(), strict=True)):
                row = dict(zip(batch, values, strict=True))
                assert int(row["id"]) not in found, number
                found[int(row["id"])] = row
    return found


@pytest.mark.parametrize(
    ("change", "format", "suffix", "name", "expected"),
    [
        (with_text, None, ".jsonl.zst", "text", lambda number: f"row {number}"),
        (with_text, "parquet", ".parquet", "text", lambda number: f"row {number}"),
        (with_vectors, None, ".columns", "vector", lambda number: np.full((2, 3), number, np.float32)),
        (with_dates, None, ".parquet", "date", lambda number: np.datetime64(number, "s")),
    ],
)
def test_every_row_is_read_back_once(
    change: Any, format: str | None, suffix: str, name: str, expected: Any, dataset: Any, tmp_path: Path
) -> None:
    written = write_chunks(dataset.map_batches(change), tmp_path / "chunks", format=format, chunk_samples=130)
    assert written == ROWS
    manifest = json.loads((tmp_path / "chunks" / "manifest.json").read_text())
    names = [chunk["file"] for chunk in manifest["chunks"]]
    assert names == [f"chunk-{number:05d}{suffix}" for number in range(len(names))]
    assert max(chunk["num_samples"] for chunk in manifest["chunks"]) <= 130
    assert {path.name for path in (tmp_path / "chunks").iterdir()} == {*names, "manifest.json"}
    rows = rows_of(tmp_path / "chunks")
    assert rows.keys() == set(range(ROWS))
    for number, row in rows.items():
        np.testing.assert_array_equal(row[name], expected(number))


def test_a_task_that_fails_leaves_no_chunk_and_the_directory_can_be_written_again(dataset: Any, tmp_path: Path) -> None:
    def fail_late(rows: dict[str, Any]) -> dict[str, Any]:
        if 900 in rows["id"]:
            raise ValueError("row 900 is bad")
        return rows

    with pytest.raises(Exception, match="row 900 is bad"):
        write_chunks(dataset.map_batches(fail_late), tmp_path / "chunks", chunk_samples=50)
    assert not list((tmp_path / "chunks").iterdir())
    assert write_chunks(dataset, tmp_path / "chunks", chunk_samples=50) == ROWS


def test_rows_that_no_chunk_holds_are_an_error_of_the_package(dataset: Any, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="'text' as str, not numbers"):
        write_chunks(dataset.map_batches(with_text), tmp_path / "chunks", format="columns")
    assert not list((tmp_path / "chunks").iterdir())


def test_a_worker_that_is_killed_is_replaced_and_its_rows_are_there_once(dataset: Any, tmp_path: Path) -> None:
    once = tmp_path / "once"

    def kill_this_worker_once(rows: dict[str, Any]) -> dict[str, Any]:
        if 500 in rows["id"] and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    assert write_chunks(dataset.map_batches(kill_this_worker_once), tmp_path / "chunks", chunk_samples=90) == ROWS
    assert once.exists()
    assert rows_of(tmp_path / "chunks").keys() == set(range(ROWS))


def test_chunks_that_are_there_are_not_written_over(dataset: Any, tmp_path: Path) -> None:
    write_chunks(dataset, tmp_path / "chunks")
    with pytest.raises(SplitError, match=r"holds \d chunks? of another dump"):
        write_chunks(dataset, tmp_path / "chunks")
    assert rows_of(tmp_path / "chunks").keys() == set(range(ROWS))


def test_a_dataset_without_rows_is_an_error(dataset: Any, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="was given no samples"):
        write_chunks(dataset.filter(lambda row: False), tmp_path / "chunks")
