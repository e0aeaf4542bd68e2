"""NPDataset: rows of mapped files, copies of them, and what is refused."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest

from pyloader.errors import ClosedError, DatasetError
from pyloader.indexed.arrays import NPDataset

ROWS = np.arange(60, dtype=np.float32).reshape(10, 2, 3)


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    return tmp_path / "x.npy"


def test_rows_come_as_they_were_saved(path):
    dataset = NPDataset(path)
    assert (len(dataset), dataset.shape, dataset.dtype) == (10, (2, 3), np.float32)
    np.testing.assert_array_equal(dataset[-1], ROWS[-1])
    np.testing.assert_array_equal(dataset[[3, 1, 3]], ROWS[[3, 1, 3]])
    np.testing.assert_array_equal(dataset[2:5], ROWS[2:5])
    np.testing.assert_array_equal(list(dataset), ROWS)


def test_what_was_taken_outlives_close_and_may_be_written_to(path):
    dataset = NPDataset(path)
    row, rows = dataset[0], dataset[0:10]
    dataset.close()
    dataset.close()
    rows += 1
    np.testing.assert_array_equal(row, ROWS[0])
    np.testing.assert_array_equal(rows, ROWS + 1)
    np.testing.assert_array_equal(np.load(path), ROWS)
    with pytest.raises(ClosedError, match=r"x.npy', 10 rows of float32 \[2, 3\]\) is closed"):
        dataset[0]


def test_close_does_not_unmap_what_another_thread_still_reads(path):
    dataset = NPDataset(path)
    mapped = dataset._array  # what a take that is under way holds
    dataset.close()
    np.testing.assert_array_equal(mapped[9], ROWS[9])


@pytest.mark.parametrize("dtype", [">f4", "<i8", "?", "<U3", "<M8[s]"])
def test_rows_are_in_the_machines_byte_order(tmp_path, dtype):
    array = np.arange(6).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    taken = NPDataset(tmp_path / "x.npy")[0:6]
    assert taken.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(taken, array)


def test_arrays_stored_by_columns_have_the_same_rows(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(ROWS))
    np.testing.assert_array_equal(NPDataset(tmp_path / "x.npy")[[9, 0]], ROWS[[9, 0]])


@pytest.mark.parametrize("form", ["by columns", "unaligned"])
def test_a_few_rows_never_cost_the_whole_array(tmp_path, form):
    array = np.arange(2_000_000, dtype=np.float64).reshape(200_000, 10)
    if form == "by columns":
        np.save(tmp_path / "x.npy", np.asfortranarray(array))
        dataset = NPDataset(tmp_path / "x.npy")
    else:
        np.savez(tmp_path / "x.npz", odd=np.zeros(3, np.uint8), array=array)
        dataset = NPDataset(tmp_path / "x.npz", "array")
    tracemalloc.start()
    rows = dataset[[199_999, 3]]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(rows, array[[199_999, 3]])
    assert peak < 100_000


def test_an_array_without_rows_is_an_empty_dataset(tmp_path):
    np.save(tmp_path / "x.npy", np.empty((0, 3)))
    assert len(NPDataset(tmp_path / "x.npy")) == 0


def test_a_member_of_an_npz_is_mapped_where_it_stands(tmp_path):
    np.savez(tmp_path / "x.npz", data=ROWS, label=np.arange(10))
    np.testing.assert_array_equal(NPDataset(tmp_path / "x.npz", "data")[[7, 2]], ROWS[[7, 2]])
    np.testing.assert_array_equal(NPDataset(tmp_path / "x.npz", "label")[0:10], np.arange(10))
    with pytest.raises(DatasetError, match=r"holds several arrays, data, label. Name one: member='data'"):
        NPDataset(tmp_path / "x.npz")
    with pytest.raises(DatasetError, match="holds no 'labels'; it has data, label"):
        NPDataset(tmp_path / "x.npz", "labels")


def test_the_only_member_needs_no_name(tmp_path):
    np.savez(tmp_path / "x.npz", ROWS)
    np.testing.assert_array_equal(NPDataset(tmp_path / "x.npz")[4], ROWS[4])


def test_a_compressed_member_is_refused_with_the_remedy(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", data=ROWS)
    with pytest.raises(
        DatasetError, match=r"holds data.npy compressed, which cannot be mapped. Save it with numpy.savez"
    ):
        NPDataset(tmp_path / "x.npz")


def test_a_copy_by_pickle_maps_the_file_again(path):
    copied = pickle.dumps(NPDataset(path))
    assert len(copied) < 1000
    np.testing.assert_array_equal(pickle.loads(copied)[5], ROWS[5])


@pytest.mark.parametrize("keep", [0, 5, 100, 200])
def test_a_cut_file_is_refused_before_it_is_mapped(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"x.npy: (ends early|has no good .npy header)"):
        NPDataset(path)


def test_objects_single_numbers_and_missing_files_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}, []], object))
    np.save(tmp_path / "one.npy", np.float32(1))
    with pytest.raises(DatasetError, match="holds Python objects"):
        NPDataset(tmp_path / "objects.npy")
    with pytest.raises(DatasetError, match="holds a single value, not rows"):
        NPDataset(tmp_path / "one.npy")
    with pytest.raises(FileNotFoundError, match=r"none.npy"):
        NPDataset(tmp_path / "none.npy")
    with pytest.raises(DatasetError, match=r"is no .npz, and has no member 'x'"):
        NPDataset(tmp_path / "one.npy", "x")
