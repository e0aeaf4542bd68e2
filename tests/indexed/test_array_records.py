"""ARDataset and converter: arrays as ArrayRecord files, and back."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from watching import error_in_forked_child

from pyloader.compat.loaderx import converter
from pyloader.errors import ClosedError, DatasetError
from pyloader.indexed.array_records import ARDataset

module = pytest.importorskip("array_record.python.array_record_module")

ROWS = np.arange(600, dtype=np.float32).reshape(100, 2, 3)


def write(path, rows, options="group_size:1,zstd"):
    writer = module.ArrayRecordWriter(str(path), options)
    for row in rows:
        writer.write(row if isinstance(row, bytes) else row.tobytes())
    writer.close()
    return path


@pytest.fixture
def converted(tmp_path):
    converter(ROWS, tmp_path / "x", blocksize=30)
    return tmp_path / "x"


def test_a_converted_array_has_the_same_rows(converted):
    dataset = ARDataset(converted)
    assert (len(dataset), dataset.shape, dataset.dtype) == (100, (2, 3), np.float32)
    assert sorted(path.name for path in converted.iterdir()) == ["0.ar", "1.ar", "2.ar", "3.ar", "meta.json"]
    np.testing.assert_array_equal(dataset[0:100], ROWS)
    np.testing.assert_array_equal(dataset[-1], ROWS[-1])
    assert dataset.take(np.empty(0, np.int64)).shape == (0, 2, 3)
    meta = json.loads((converted / "meta.json").read_text())
    assert meta == {"length": 100, "shape": [2, 3], "dtype": "float32", "blocks": ["0.ar", "1.ar", "2.ar", "3.ar"]}


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The same rows in several files, in one, and in groups."""
    directory = tmp_path_factory.mktemp("forms")
    converter(ROWS, directory / "x", blocksize=7)
    write(directory / "one.ar", ROWS)
    write(directory / "grouped.ar", ROWS, "group_size:8")
    return [
        ARDataset(directory / "x"),
        ARDataset(directory / "one.ar", np.float32, (2, 3)),
        ARDataset(directory / "grouped.ar", "float32", [2, 3]),
    ]


@pytest.mark.slow
@given(st.lists(st.integers(0, 99), max_size=40))
def test_any_rows_in_any_order_are_those_of_the_array(forms, indices):
    for dataset in forms:
        np.testing.assert_array_equal(dataset[indices], ROWS[np.array(indices, int)])


def test_many_rows_of_one_file_come_in_the_order_asked_for(forms):
    for dataset in forms:
        np.testing.assert_array_equal(dataset[::-1], ROWS[::-1])


def test_rows_are_writable_and_outlive_close(converted):
    dataset = ARDataset(converted)
    rows = dataset[0:100]
    dataset.close()
    dataset.close()
    rows += 1
    np.testing.assert_array_equal(rows, ROWS + 1)
    with pytest.raises(ClosedError, match="is closed"):
        dataset[0]


def test_several_files_come_one_after_another(tmp_path):
    paths = [write(tmp_path / "a.ar", ROWS[:40]), write(tmp_path / "b.ar", ROWS[40:])]
    np.testing.assert_array_equal(ARDataset(paths, np.float32, (2, 3))[[39, 40, 5]], ROWS[[39, 40, 5]])


@pytest.mark.parametrize(
    ("given_options", "lacking"), [({}, "dtype and shape"), ({"dtype": "f4"}, "shape"), ({"shape": (2,)}, "dtype")]
)
def test_files_alone_need_dtype_and_shape(tmp_path, given_options, lacking):
    path = write(tmp_path / "a.ar", ROWS)
    with pytest.raises(
        DatasetError, match=rf"{lacking} must be given\. Write ARDataset\('.*a.ar', dtype='float32', shape="
    ):
        ARDataset(path, **given_options)


def test_a_record_of_another_length_is_named(tmp_path):
    paths = [write(tmp_path / "a.ar", ROWS), write(tmp_path / "b.ar", [b"12345678", b"123", b"12345"])]
    dataset = ARDataset(paths, np.float32, (2, 3))
    with pytest.raises(DatasetError, match=r"b.ar: record 1 has 3 bytes; float32 \[2, 3\] takes 24. Name the dtype"):
        dataset[[0, 101]]
    dataset = ARDataset(paths[1:], np.float32, (1,))
    with pytest.raises(DatasetError, match="record 1 has 3 bytes"):  # the sum of 3 and 5 bytes would be right
        dataset[[1, 2]]


def test_groups_are_warned_of_once_with_what_they_cost(tmp_path, caplog):
    path = write(tmp_path / "a.ar", ROWS, "group_size:8")
    with caplog.at_level(logging.WARNING, "pyloader"):
        dataset = ARDataset(path, np.float32, (2, 3))
        dataset.take(np.arange(100))
        dataset.take(np.arange(100))
    (record,) = caplog.records
    assert "a.ar has its records in groups of 8: a row read alone takes " in record.getMessage()


def test_rows_of_one_group_are_asked_for_together(tmp_path):
    dataset = ARDataset(write(tmp_path / "a.ar", ROWS, "group_size:8"), np.float32, (2, 3))
    asked = []

    class Reader:
        def read(self, start, stop):
            asked.append((start, stop))
            return [ROWS[index].tobytes() for index in range(start, stop)]

    dataset._reader_of = lambda file: Reader()
    np.testing.assert_array_equal(dataset[[17, 3, 20, 1, 3]], ROWS[[17, 3, 20, 1, 3]])
    assert asked == [(1, 4), (17, 21)]


def test_a_file_whose_writer_was_not_closed_is_refused(tmp_path):
    writer = module.ArrayRecordWriter(str(tmp_path / "a.ar"), "group_size:1")
    writer.write(ROWS[0].tobytes())
    with pytest.raises(DatasetError, match=r"a.ar: is damaged, or no ArrayRecord file \(.*was the writer closed\?\)"):
        ARDataset(tmp_path / "a.ar", np.float32, (2, 3))
    writer.close()


def test_a_file_that_is_cut_or_missing_is_refused(tmp_path):
    path = write(tmp_path / "a.ar", ROWS)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=r"a.ar: is damaged, or no ArrayRecord file"):
        ARDataset(path, np.float32, (2, 3))
    with pytest.raises(FileNotFoundError, match=r"none.ar"):
        ARDataset(tmp_path / "none.ar", np.float32, (2, 3))


@pytest.mark.parametrize(
    ("meta", "match"),
    [
        ("{", "meta.json: is damaged"),
        ('{"length": 1, "shape": [1], "dtype": "flat32", "blocks": ["0.ar"]}', "meta.json: is damaged .*flat32"),
        ('{"length": 1, "shape": [1], "dtype": "f4", "blocks": ["../0.ar"]}', "must list files beside it"),
        ('{"length": 9, "shape": [2, 3], "dtype": "f4", "blocks": ["0.ar"]}', "says 9 rows, and the files hold 30"),
    ],
)
def test_a_meta_json_that_is_wrong_is_refused(converted, meta, match):
    (converted / "meta.json").write_text(meta)
    with pytest.raises(DatasetError, match=match):
        ARDataset(converted)


def test_a_directory_without_meta_json_says_what_to_give(tmp_path):
    with pytest.raises(DatasetError, match=r"has no meta.json.* Name its files, with dtype= and shape="):
        ARDataset(tmp_path)


def test_a_copy_by_pickle_opens_the_files_again(converted):
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ARDataset(converted)))[99], ROWS[99])


@pytest.mark.slow
def test_several_threads_may_read_at_once(converted):
    dataset, found = ARDataset(converted), {}

    def read(seed):
        indices = np.random.Generator(np.random.PCG64(seed)).integers(100, size=(50, 64))
        found[seed] = all(np.array_equal(dataset.take(some), ROWS[some]) for some in indices)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), True)


def test_a_mapped_array_is_converted_block_by_block(tmp_path):
    np.save(tmp_path / "x.npy", ROWS.astype(">f4"))
    converter(np.load(tmp_path / "x.npy", mmap_mode="r"), tmp_path / "x", blocksize=64)
    dataset = ARDataset(tmp_path / "x")
    assert dataset[0].dtype == np.float32
    np.testing.assert_array_equal(dataset[0:100], ROWS)


def test_a_directory_that_holds_something_is_replaced_only_when_asked(converted):
    with pytest.raises(ValueError, match=r"is not empty. Name another place, or pass replace=True"):
        converter(ROWS[:3], converted)
    assert len(ARDataset(converted)) == 100
    converter(ROWS[:3], converted, replace=True)
    assert len(ARDataset(converted)) == 3
    assert not (converted / "1.ar").exists()


@pytest.mark.parametrize("data", [np.empty((0, 3)), [], np.float32(3)])
def test_nothing_to_write_is_an_error_and_leaves_nothing(tmp_path, data):
    with pytest.raises(ValueError, match="have no rows"):
        converter(data, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_conversion_that_fails_leaves_what_was_there(converted, monkeypatch):
    before = sorted(path.name for path in converted.parent.iterdir())

    class Broken:
        def __init__(self, path, options):
            raise OSError("disk gone")

    monkeypatch.setattr(module, "ArrayRecordWriter", Broken)
    with pytest.raises(OSError, match="disk gone"):
        converter(ROWS, converted, replace=True)
    assert sorted(path.name for path in converted.parent.iterdir()) == before
    np.testing.assert_array_equal(ARDataset(converted)[0:100], ROWS)


def test_objects_and_bad_block_sizes_are_refused(tmp_path):
    with pytest.raises(TypeError, match="plain numbers, got object"):
        converter(np.array([{}], object), tmp_path / "x")
    with pytest.raises(ValueError, match="blocksize must be at least 1, got 0"):
        converter(ROWS, tmp_path / "x", blocksize=0)


@pytest.mark.slow
def test_more_files_than_may_be_open_are_read_all_the_same(tmp_path):
    converter(np.arange(400, dtype=np.float32), tmp_path / "x", blocksize=4)
    script = f"""
    import os, resource, threading
    import numpy as np
    import array_record.python.array_record_module  # its own libraries are open only while they are loaded
    from pyloader.indexed import ARDataset
    resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
    before = len(os.listdir("/proc/self/fd"))
    dataset = ARDataset({str(tmp_path / "x")!r})
    found = []

    def read(seed):
        for some in np.random.Generator(np.random.PCG64(seed)).integers(400, size=(20, 64)):
            assert dataset.take(some).tolist() == some.tolist()
        found.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(os.listdir("/proc/self/fd")) - before <= 12  # a quarter
    dataset.close()
    assert len(os.listdir("/proc/self/fd")) == before
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_forked_child_uses_nothing_that_its_parent_has_open(converted):
    """Both would move the one position in the file."""
    dataset = ARDataset(converted)

    def read_without_the_parents_files():
        for link in Path("/proc/self/fd").iterdir():
            if link.exists() and link.readlink().suffix == ".ar":
                os.close(int(link.name))
        np.testing.assert_array_equal(dataset[5:95], ROWS[5:95])

    assert error_in_forked_child(read_without_the_parents_files, Exception) == ""
    dataset.close()
