"""ParquetDataset: the rows of Parquet files by index, row group by row group."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

from pyloader.errors import DatasetError
from pyloader.indexed import DataLoader, ParquetDataset

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(path, start, stop, **columns):
    numbers = list(range(start, stop))
    table = pyarrow.table({"n": numbers, "text": [f"t{n}" for n in numbers], **columns})
    parquet.write_table(table, path, row_group_size=10)
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "a.parquet", 0, 95)


def test_rows_are_those_of_the_file_in_any_order(file):
    dataset = ParquetDataset(file)
    assert len(dataset) == 95
    rows = dataset[[94, 3, 3, 50, 0]]
    assert rows["n"].tolist() == [94, 3, 3, 50, 0]
    assert rows["text"] == ["t94", "t3", "t3", "t50", "t0"]
    assert dataset[-1] == {"n": 94, "text": "t94"}
    assert dataset.take(np.empty(0, np.int64))["text"] == []
    rows["n"] += 1  # the caller's own


def test_several_files_come_one_after_another_and_columns_can_be_chosen(tmp_path, file):
    dataset = ParquetDataset([file, write(tmp_path / "b.parquet", 95, 120)], columns=["n"], dtypes={"n": "int32"})
    rows = dataset[:]
    assert list(rows) == ["n"]
    assert rows["n"].dtype == np.int32
    assert rows["n"].tolist() == list(range(120))


def test_a_row_group_is_read_once_while_it_is_kept_by_however_many_threads(file):
    dataset = ParquetDataset(file, cached_groups=10)
    read, original = [], dataset._reader.columns_of
    dataset._reader.columns_of = lambda path, table: read.append(table.num_rows) or original(path, table)
    with DataLoader(dataset, None, 4, 8, num_epochs=3) as loader:
        for epoch in np.split(np.concatenate([batch["n"] for batch in loader]), 3):
            assert sorted(epoch.tolist()) == list(range(95))
    assert sorted(read) == [5] + [10] * 9
    dataset.close()
    dataset[0]
    assert len(read) == 11


def test_no_more_row_groups_are_kept_than_was_said(file):
    dataset = ParquetDataset(file, cached_groups=2)
    dataset[:]
    assert dataset._kept.cache_info().currsize == 2


def test_a_column_with_a_null_anywhere_is_a_list_in_every_batch(tmp_path):
    score = [float(n) for n in range(30)]
    score[25] = None
    path = write(tmp_path / "a.parquet", 0, 30, score=score)
    dataset = ParquetDataset(path)
    assert [type(dataset[part]["score"]) for part in ([1, 2], [25], [1, 25])] == [list] * 3
    filled = ParquetDataset(path, fill={"score": -1.0})
    np.testing.assert_array_equal(filled[[1, 25]]["score"], [1.0, -1.0])


def test_a_file_that_is_cut_of_another_kind_or_missing_is_refused(tmp_path, file):
    other = tmp_path / "b.parquet"
    other.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"b.parquet: is damaged, or no Parquet file"):
        ParquetDataset(other)
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        ParquetDataset(tmp_path / "none.parquet")
    with pytest.raises(DatasetError, match="has no column 'm'; it has n, text"):
        ParquetDataset(file, columns=["m"])
    with pytest.raises(ValueError, match="at least one file"):
        ParquetDataset([])


def test_a_row_group_that_is_damaged_is_told_when_it_is_read(file):
    dataset = ParquetDataset(file)
    damaged = bytearray(file.read_bytes())
    damaged[4:60] = b"\xff" * 56
    file.write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"a.parquet: is damaged"):
        dataset[0]


def test_a_copy_by_pickle_reads_the_same(file):
    copied = pickle.loads(pickle.dumps(ParquetDataset(file, columns=["n"])))
    assert copied[[5, 77]]["n"].tolist() == [5, 77]


def test_threads_that_read_different_groups_do_not_wait_for_each_other(file):
    dataset = ParquetDataset(file)
    both, original = threading.Barrier(2, timeout=10), dataset._reader.columns_of

    def meet(path, table):
        both.wait()
        return original(path, table)

    dataset._reader.columns_of = meet
    found = {}
    workers = [threading.Thread(target=lambda n=n: found.update({n: dataset[n]["n"]})) for n in (0, 50)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {0: 0, 50: 50}
