"""ArrayRecord: the records that were written, or an error; never an ended process."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest

from pyloader.errors import ChunkReadError
from pyloader.read import arrayrecord
from pyloader.read.arrayrecord import ArrayRecordReader
from pyloader.testing import check_reader

module = pytest.importorskip("array_record.python.array_record_module")

ROWS = np.arange(300 * 6, dtype=np.float32).reshape(300, 2, 3)


@pytest.fixture
def chunk(tmp_path):
    def write(records: list[bytes], group_size: int = 16) -> str:
        writer = module.ArrayRecordWriter(str(tmp_path / "a.arrayrecord"), f"group_size:{group_size}")
        for record in records:
            writer.write(record)
        writer.close()
        return str(tmp_path / "a.arrayrecord")

    return write


def test_records_are_bytes(chunk):
    records = [b"x" * length for length in range(100)]
    assert check_reader(ArrayRecordReader(), chunk(records)) == {"record": records}


@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_with_a_dtype_records_are_rows_of_an_array(chunk, dtype):
    path = chunk([row.astype(dtype).tobytes() for row in ROWS])
    column = check_reader(ArrayRecordReader(dtype=dtype, shape=(2, 3), name="image"), path)["image"]
    np.testing.assert_array_equal(column, ROWS)
    assert column.dtype == np.float32
    assert column.dtype.isnative


@pytest.mark.parametrize("group_size", [1, 7, 16, 299, 300, 301, 65536])
@pytest.mark.parametrize("range_bytes", [1, 20_000, 2**20])
def test_groups_and_ranges_of_any_size_give_all_records_in_order(chunk, monkeypatch, group_size, range_bytes):
    monkeypatch.setattr(arrayrecord, "_RANGE_BYTES", range_bytes)
    path = chunk([row.tobytes() for row in ROWS], group_size)
    assert ArrayRecordReader().read_file(path) == ({"record": [row.tobytes() for row in ROWS]}, 300)
    column = ArrayRecordReader(dtype="f4", shape=(2, 3)).read_file(path)[0]["data"]
    np.testing.assert_array_equal(column, ROWS)


@pytest.mark.parametrize("joined_bytes", [1, 100, 2**16])
def test_how_many_rows_are_copied_at_once_changes_nothing(chunk, monkeypatch, joined_bytes):
    monkeypatch.setattr(arrayrecord, "_JOINED_BYTES", joined_bytes)
    path = chunk([row.tobytes() for row in ROWS])
    column = ArrayRecordReader(dtype="f4", shape=(2, 3)).read_file(path)[0]["data"]
    np.testing.assert_array_equal(column, ROWS)


def test_rows_of_no_bytes_are_rows(chunk):
    columns, num_samples = ArrayRecordReader(dtype="f4", shape=(0,)).read_file(chunk([b""] * 20))
    assert (columns["data"].shape, num_samples) == ((20, 0), 20)


def test_without_a_shape_a_record_is_one_number(chunk):
    path = chunk([np.int64(value).tobytes() for value in range(20)])
    assert check_reader(ArrayRecordReader(dtype=np.int64), path)["data"].tolist() == list(range(20))


def test_a_file_without_records_has_none(chunk):
    path = chunk([])
    assert ArrayRecordReader().read_file(path) == ({"record": []}, 0)
    columns, num_samples = ArrayRecordReader(dtype="f4", shape=(2, 3)).read_file(path)
    assert (columns["data"].shape, columns["data"].dtype, num_samples) == ((0, 2, 3), np.float32, 0)


def test_a_record_of_another_length_is_an_error_that_names_it(chunk):
    path = chunk([bytes(24), bytes(24), bytes(20)])
    match = r"a\.arrayrecord: record 2 has 20 bytes; float32 \[2, 3\] takes 24\. Name the dtype and shape"
    with pytest.raises(ChunkReadError, match=match):
        ArrayRecordReader(dtype="f4", shape=(2, 3)).read_file(path)


def test_a_record_of_another_length_is_named_also_beyond_the_first_range(chunk, monkeypatch):
    monkeypatch.setattr(arrayrecord, "_RANGE_BYTES", 1)
    path = chunk([bytes(24)] * 200 + [bytes(28)] + [bytes(24)] * 10)
    with pytest.raises(ChunkReadError, match=r"record 200 has 28 bytes; float32 \[2, 3\] takes 24\."):
        ArrayRecordReader(dtype="f4", shape=(2, 3)).read_file(path)


FAULTS = """
import resource, sys, threading
from pyloader.read.arrayrecord import ArrayRecordReader

reader, path = ArrayRecordReader(dtype="f4", shape=(1024,)), sys.argv[1]
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    reader.read_file(path)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
counts = []
thread = threading.Thread(target=lambda: counts.extend(faults() for _ in range(6)))
thread.start()
thread.join()
print(min(counts[2:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep freed memory in their own way")
def test_memory_is_used_again_for_the_next_chunk(chunk):
    rows = np.random.default_rng(0).random((4096, 1024), np.float32)  # 16 MiB
    path = chunk([row.tobytes() for row in rows], 1024)
    ended = subprocess.run([sys.executable, "-c", FAULTS, path], capture_output=True, text=True, timeout=60, check=True)
    assert int(ended.stdout) < 1024  # pages; 15,000 where it is given back


def test_a_shape_needs_a_dtype():
    with pytest.raises(ValueError, match=r"shape=\(2,\) needs a dtype as well"):
        ArrayRecordReader(shape=(2,))


def test_a_missing_file_is_the_error_of_open(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.ar"):
        ArrayRecordReader().read_file(str(tmp_path / "none.ar"))


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"hello", b"\1" * 100_000, b"hello world\n" * 20_000])
def test_a_file_of_something_else_is_an_error(tmp_path, content):
    (tmp_path / "a.ar").write_bytes(content)
    with pytest.raises(ChunkReadError, match=r"a\.ar: is damaged, or no ArrayRecord file \(.+\)\. Fetch it again"):
        ArrayRecordReader().read_file(str(tmp_path / "a.ar"))


def test_a_cut_file_that_looks_empty_is_an_error(chunk):
    path = chunk([b"x"] * 300)
    with open(path, "r+b") as file:
        file.truncate(2**16)
    with pytest.raises(ChunkReadError, match=r"is damaged, or no ArrayRecord file \(its footer is missing.*\)"):
        ArrayRecordReader().read_file(path)


DAMAGE = """
import random, sys
from pyloader.errors import ChunkReadError
from pyloader.read.arrayrecord import ArrayRecordReader

path = sys.argv[1]
whole, expected = open(path, "rb").read(), ArrayRecordReader().read_file(path)
used = len(whole.split(bytes(1000))[0])
random.seed(0)
cuts = [0, 1, 63, 64, 65, used, 2**16 - 1, 2**16, 2**16 + 1, len(whole) - 1, *random.sample(range(len(whole)), 50)]
damaged = [whole[:length] for length in cuts] + [whole + b"x", whole + whole]
for place in random.sample(range(used), 100):
    damaged.append(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
errors = 0
for content in damaged:
    open(path, "wb").write(content)
    try:
        assert ArrayRecordReader().read_file(path) == expected, "other records"
    except ChunkReadError:
        errors += 1
print(errors, len(damaged))
"""


@pytest.mark.slow
def test_damage_is_an_error_and_neither_other_records_nor_the_end_of_the_process(chunk):
    path = chunk([np.random.default_rng(number).bytes(20 + number % 7) for number in range(300)])
    ended = subprocess.run([sys.executable, "-c", DAMAGE, path], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr[-2000:]
    errors, tried = map(int, ended.stdout.split())
    assert errors > 0.9 * tried
