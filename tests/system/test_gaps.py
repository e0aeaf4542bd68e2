"""A column of numbers with gaps is the same in every chunk, from the dump to the batch, wherever the gaps lie."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pyloader import DataLoader, NumpyDataCollator
from pyloader.cli.main import main
from pyloader.errors import CollateError, ReadFileError

# A gap in the last rows only: most chunks have none.
SAMPLES = [{"id": row, "x": None if row >= 38 else row, "f": None if row == 39 else row / 2} for row in range(40)]


def write(path: Path, samples: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    elif path.suffix == ".csv":
        with open(path, "w", newline="") as file:
            rows = csv.DictWriter(file, list(samples[0]))
            rows.writeheader()
            rows.writerows(samples)
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        arrow = pytest.importorskip("pyarrow")
        schema = arrow.schema([("id", arrow.int64()), ("x", arrow.int64()), ("f", arrow.float64())])
        parquet.write_table(arrow.Table.from_pylist(samples, schema), path, row_group_size=10)
    return path


class Rows(NumpyDataCollator):
    """Gives the rows as they came."""

    def collate_batch(self, columns):
        kinds.add(tuple(type(values).__name__ for values in columns.values()))
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


kinds: set[tuple[str, ...]] = set()


def rows_of(directory: Path) -> list[dict]:
    kinds.clear()
    loader = DataLoader(data_dir=directory, datacollator=Rows(), batch_size=7, shuffle=True, num_workers=0)
    rows = [row for batch in loader for row in batch]
    assert len(kinds) == 1, f"a column is one thing in one batch, and another in the next: {kinds}"
    return sorted(rows, key=lambda row: int(row["id"]))


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_what_the_splitter_writes_loads_whole(tmp_path, suffix):
    dump = write(tmp_path / f"dump.{suffix}", SAMPLES)
    assert main(["split", str(dump), str(tmp_path / "chunks"), "--num-chunks", "4", "--to", "jsonl.zst", "-q"]) == 0
    assert rows_of(tmp_path / "chunks") == SAMPLES


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_chunks_of_others_load_whole_once_they_are_indexed(tmp_path, suffix):
    for number in range(4):
        write(tmp_path / f"chunk-{number}.{suffix}", SAMPLES[10 * number : 10 * number + 10])
    with pytest.raises(ReadFileError, match=r"as a list of .*pyloader index"):
        rows_of(tmp_path)
    assert main(["index", str(tmp_path), "-q"]) == 0
    assert rows_of(tmp_path) == SAMPLES
    assert main(["peek", str(tmp_path), "-q"]) == 0
    assert main(["verify", str(tmp_path), "-q"]) == 0


def test_a_column_of_several_kinds_loads_though_each_chunk_has_one(tmp_path):
    mixed = [1, None, 2, 0.5, None, 1.5, "a", None, "b"]
    dump = write(tmp_path / "dump.jsonl", [{"id": row, "x": value} for row, value in enumerate(mixed)])
    assert main(["split", str(dump), str(tmp_path / "chunks"), "--num-chunks", "3", "-q"]) == 0
    assert [row["x"] for row in rows_of(tmp_path / "chunks")] == mixed


def test_a_gap_never_becomes_a_number_in_silence(tmp_path):
    write(tmp_path / "chunk.jsonl", SAMPLES)
    with pytest.raises(CollateError, match="'x' has None among numbers"):
        list(DataLoader(data_dir=tmp_path, batch_size=40, num_workers=0))
