"""Lance: datasets as pylance wrote them come back, without the rows that were deleted."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
from part_copies import check_parts

from pyloader import DataLoader, Ragged
from pyloader.errors import ChunkReadError
from pyloader.read import LanceReader
from pyloader.testing import check_reader

lance = pytest.importorskip("lance")
pa = pytest.importorskip("pyarrow")

TABLE = pa.table(
    {
        "n": pa.array(range(100), pa.int32()),
        "text": [f"text {number} é" for number in range(100)],
        "vector": pa.array([[number, 0.5] for number in range(100)], pa.list_(pa.float32(), 2)),
        "tokens": pa.array([list(range(number % 7)) for number in range(100)], pa.list_(pa.int32())),
        "raw": pa.array([b"x" * number for number in range(100)], pa.large_binary()),
        "gaps": pa.array([None if number % 5 == 0 else number for number in range(100)]),
    }
)


def written(path):
    lance.write_dataset(TABLE, path, max_rows_per_file=30)
    return path


def test_rows_come_back_in_their_order_without_the_deleted(tmp_path):
    path = written(tmp_path / "a.lance")
    lance.write_dataset(TABLE.slice(0, 10), path, mode="append")
    lance.dataset(path).delete("n % 10 = 3")
    columns = check_reader(LanceReader(), path)
    rows = [number for number in [*range(100), *range(10)] if number % 10 != 3]
    assert columns["n"].tolist() == rows
    assert columns["n"].dtype == np.int32
    assert columns["text"] == [f"text {number} é" for number in rows]
    assert columns["vector"].tolist() == [[number, 0.5] for number in rows]
    assert columns["tokens"] == Ragged.from_rows([np.arange(number % 7, dtype=np.int32) for number in rows])
    assert columns["raw"] == Ragged.from_rows([b"x" * number for number in rows])
    assert columns["gaps"] == [None if number % 5 == 0 else number for number in rows]


def test_columns_are_those_named_in_that_order(tmp_path):
    path = str(written(tmp_path / "a.lance"))
    assert list(LanceReader(columns=["text", "n"]).read_file(path)[0]) == ["text", "n"]
    with pytest.raises(ChunkReadError, match=r"a\.lance: has columns \['n', .*\], and no 'none'"):
        LanceReader(columns=["none"]).read_file(path)


def test_parts_are_rows_of_the_version_that_was_indexed(tmp_path):
    path = written(tmp_path / "a.lance")
    lance.dataset(path).delete("n % 10 = 3")
    parts = check_parts(LanceReader(), path, tmp_path / "copies", chunk_samples=20)
    assert [part.num_samples for part in parts] == [20, 20, 20, 20, 10]
    lance.dataset(path).delete("n < 50")
    assert LanceReader().read_part(str(path), parts[0])[0]["n"][0] == 0
    for detail in (None, {}, {"version": "2"}, {"version": -1}, {"version": 99}):
        part = type(parts[0])(0, 20, parts[0].ranges, detail)
        with pytest.raises(ChunkReadError, match=r"a\.lance: is (indexed as no Lance|damaged, or no Lance)"):
            LanceReader().read_part(str(path), part)


def test_a_dataset_that_takes_files_from_elsewhere_is_refused_and_the_remedy_helps(tmp_path):
    whole = lance.dataset(written(tmp_path / "whole.lance"))
    whole.shallow_clone(str(tmp_path / "a.lance"), whole.version)
    with pytest.raises(
        ChunkReadError, match=r"a\.lance: takes its rows from elsewhere, .*Copy it whole: dataset\.deep"
    ):
        LanceReader().read_file(str(tmp_path / "a.lance"))
    clone = lance.dataset(tmp_path / "a.lance")
    clone.deep_clone(str(tmp_path / "b.lance"), clone.version)
    assert LanceReader().read_file(str(tmp_path / "b.lance"))[0]["n"].tolist() == list(range(100))


def test_what_is_missing_or_damaged_is_an_error(tmp_path):
    path = written(tmp_path / "a.lance")
    whole = tmp_path / "whole"
    shutil.copytree(path, whole)
    names = [file.relative_to(path) for file in sorted(path.rglob("*.lance")) + sorted(path.rglob("*.manifest"))]
    for name in names:
        for data in (None, b"", (whole / name).read_bytes()[:-20]):
            if data is None:
                (path / name).unlink()
            else:
                (path / name).write_bytes(data)
            with pytest.raises(ChunkReadError, match=r"a\.lance: is damaged, or no Lance dataset"):
                LanceReader().read_file(str(path))
        (path / name).write_bytes((whole / name).read_bytes())
    with pytest.raises(FileNotFoundError, match=r"none\.lance"):
        LanceReader().read_file(str(tmp_path / "none.lance"))
    (tmp_path / "empty.lance").mkdir()
    with pytest.raises(ChunkReadError, match=r"empty\.lance: is damaged, or no Lance dataset"):
        LanceReader().read_file(str(tmp_path / "empty.lance"))


def test_a_dataset_that_is_not_called_so_is_an_error_that_says_what_to_call_it(tmp_path):
    written(tmp_path / "rows")
    with pytest.raises(ChunkReadError, match=r"\.lance: is a file, and a Lance dataset is a directory\. Name that dir"):
        next(DataLoader(data_dir=tmp_path / "rows", batch_size=10))
    (tmp_path / "rows").rename(tmp_path / "rows.lance")
    with DataLoader(LanceReader(columns=["n"]), data_dir=tmp_path / "rows.lance", batch_size=10) as loader:
        assert len(next(loader)["n"]) == 10


@pytest.mark.slow
def test_processes_read_directories_too(tmp_path):
    for number in range(2):
        lance.write_dataset(pa.table({"n": range(50 * number, 50 * number + 50)}), tmp_path / f"set/{number}.lance")
    script = """
import sys
from pyloader import DataLoader
if __name__ == "__main__":
    options = dict(batch_size=8, shuffle=True, num_epochs=1, num_workers=2, worker_kind="process")
    with DataLoader(data_dir=sys.argv[1], **options) as loader:
        print(sorted(n for batch in loader for n in batch["n"].tolist()) == list(range(100)))
"""
    (tmp_path / "script.py").write_text(script)
    words = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "set")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "True\n"


def test_datasets_in_a_directory_are_chunks(tmp_path):
    for number in range(2):
        lance.write_dataset(pa.table({"n": range(50 * number, 50 * number + 50)}), tmp_path / f"{number}.lance")
    with DataLoader(data_dir=tmp_path, batch_size=8, shuffle=True, num_epochs=1) as loader:
        assert sorted(n for batch in loader for n in batch["n"].tolist()) == list(range(100))
