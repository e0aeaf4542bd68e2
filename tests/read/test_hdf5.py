"""HDF5: datasets as h5py wrote them, come back as they were; parts begin where storage chunks begin."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from part_copies import check_parts

from pyloader import DataLoader, Ragged
from pyloader.errors import ChunkReadError, MemoryBoundError
from pyloader.files import room_of
from pyloader.read import Hdf5Reader
from pyloader.testing import check_reader

h5py = pytest.importorskip("h5py")

NUMBERS = np.arange(60).reshape(20, 3)
ARRAYS = {
    "whole": NUMBERS,
    "big_endian": NUMBERS.astype(">i4"),
    "half": (NUMBERS / 7).astype("f2"),
    "complex": NUMBERS[:, 0] * 1j,
    "good": NUMBERS[:, 0] % 2 == 0,
    "picture": NUMBERS.astype("u1").reshape(20, 3, 1),
}
TEXTS = [f"text {number} é" for number in range(20)]
ROWS = [np.arange(number, dtype=np.int16) for number in range(20)]


def written(path, **options) -> str:
    """Write a file of all kinds of columns; `options` are those of the arrays."""
    with h5py.File(path, "w") as file:
        for name, array in ARRAYS.items():
            file.create_dataset(name, data=array, **options)
        file.create_dataset("text", data=TEXTS, dtype=h5py.string_dtype())
        file.create_dataset("code", data=[text[:6].encode() for text in TEXTS])
        rows = file.create_dataset("rows", (20,), dtype=h5py.vlen_dtype(np.int16))
        for number, row in enumerate(ROWS):
            rows[number] = row
        file.create_dataset("when", data=NUMBERS[:, 0].astype("M8[s]").astype(h5py.opaque_dtype("M8[s]")))
        file["single"] = 3
    return str(path)


@pytest.mark.parametrize(
    "options",
    [{}, {"chunks": True}, {"compression": "gzip", "shuffle": True}, {"compression": "lzf", "fletcher32": True}],
    ids=str,
)
def test_what_h5py_wrote_comes_back_in_every_storage(tmp_path, options):
    columns = check_reader(Hdf5Reader(), written(tmp_path / "a.h5", **options))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(columns[name], array)
        assert columns[name].dtype == array.dtype.newbyteorder("=")
    assert columns["text"] == TEXTS
    assert columns["code"] == [text[:6] for text in TEXTS]
    assert columns["rows"] == Ragged.from_rows(ROWS)
    assert columns["when"].dtype == np.dtype("M8[s]")
    assert columns.keys() == ARRAYS.keys() | {"text", "code", "rows", "when"}  # and no single value


def test_datasets_are_named_by_their_paths(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["train/x"], file["train/y"], file["test/x"] = NUMBERS, NUMBERS[:, 0], NUMBERS[:5]
    path = str(tmp_path / "a.h5")
    columns, num_samples = Hdf5Reader(columns=["train/y", "train/x"]).read_file(path)
    assert (list(columns), num_samples) == (["train/y", "train/x"], 20)
    np.testing.assert_array_equal(columns["train/x"], NUMBERS)
    for names, match in (
        (
            None,
            r"a\.h5: has no datasets with rows at its root, but 'test/x', 'train/x', 'train/y'\. Name those to read",
        ),
        (["train"], "has 'train', which is no dataset"),
        (["train/z"], r"has no dataset 'train/z'; it has 'test/x', 'train/x', 'train/y'\. Name the datasets"),
        (["train/x/y"], "has no dataset 'train/x/y'"),
        (["train/x", "test/x"], "'train/x' has 20 rows and 'test/x' has 5"),
        ([], "is to be read without a column"),
    ):
        with pytest.raises(ChunkReadError, match=match):
            Hdf5Reader(columns=names).read_file(path)


def test_parts_begin_where_storage_chunks_begin_in_all_columns(tmp_path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(100), chunks=(4,), compression="gzip")
        file.create_dataset("y", data=np.arange(200).reshape(100, 2), chunks=(6, 1))
        file.create_dataset("z", data=np.arange(100.0))
        file.create_dataset("text", data=["abc"] * 100, dtype=h5py.string_dtype())
        file["beside/other"] = np.arange(10_000)
    parts = check_parts(Hdf5Reader(), path, tmp_path, chunk_samples=30)
    assert [part.first for part in parts] == [0, 24, 48, 72, 96]
    assert parts[0].num_bytes < path.stat().st_size - 80_000  # without the rows of what is no column
    assert [part.num_samples for part in check_parts(Hdf5Reader(), path, tmp_path / "b", chunk_bytes=10**6)] == [100]
    small = Hdf5Reader(columns=["z"]).find_parts(str(path), chunk_bytes=80)
    assert small is not None
    assert [part.num_samples for part in small] == [10] * 10


def test_a_file_that_is_mostly_strings_is_not_cut_into_parts_that_each_read_them_all(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("text", data=["abc" * 10_000] * 100, dtype=h5py.string_dtype())
    assert Hdf5Reader().find_parts(str(tmp_path / "a.h5"), chunk_bytes=2**20, chunk_samples=10) is None


def test_a_part_of_rows_that_are_not_there_is_an_error(tmp_path):
    reader, path = Hdf5Reader(columns=["whole"]), written(tmp_path / "a.h5")
    parts = reader.find_parts(path, chunk_bytes=1, chunk_samples=10)
    assert parts is not None
    with h5py.File(path, "a") as file:
        del file["whole"]
        file["whole"] = NUMBERS[:15]
    with pytest.raises(ChunkReadError, match=r"a\.h5: has 15 rows, and the part ends at 20\. Index the file again"):
        reader.read_part(path, parts[1])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda file: file.create_dataset("x", data=np.zeros(3, [("a", "i4")])), r"'x', which holds compounds of 'a'"),
        (lambda file: file.create_dataset("x", (3,), dtype=h5py.ref_dtype), "'x', which holds references"),
        (lambda file: file.create_dataset("x", data=np.zeros(3, "V5")), "'x', which holds values of an unknown kind"),
        (lambda file: file.create_dataset("x", data=[["a"], ["b"]], dtype=h5py.string_dtype()), "in 2 dimensions"),
        (
            lambda file: file.create_dataset("x", (3,), dtype=h5py.vlen_dtype(h5py.string_dtype())),
            "rows of unequal length that are no numbers",
        ),
        (lambda file: file.create_dataset("x", data=3), "holds no datasets|has no datasets with rows"),
        (lambda file: file.create_dataset("x", data=[b"caf\xe9"]), "holds text in 'x' that is not UTF-8"),
    ],
)
def test_what_is_no_column_is_an_error_that_says_what_it_is(tmp_path, make, match):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    with pytest.raises(ChunkReadError, match=rf"a\.h5: .*{match}"):
        Hdf5Reader().read_file(str(tmp_path / "a.h5"))


def test_a_cut_or_damaged_file_is_an_error(tmp_path):
    path = tmp_path / "a.h5"
    written(path)
    whole = path.read_bytes()
    for data in (*(whole[:length] for length in range(0, len(whole) - 1, 1499)), b"x" * 5000):
        path.write_bytes(data)
        with pytest.raises(ChunkReadError, match=r"a\.h5: is damaged, or no HDF5 file \(.+\)\. Fetch it again"):
            Hdf5Reader().read_file(str(path))
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        Hdf5Reader().read_file(str(tmp_path / "none.h5"))


def test_a_damaged_storage_chunk_is_found_by_its_checksum(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        offset = file.create_dataset("x", data=np.arange(50), chunks=(50,), fletcher32=True).id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[offset.byte_offset + 9] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChunkReadError, match=r"a\.h5: is damaged, or no HDF5 file"):
        Hdf5Reader().read_file(str(path))


def test_rows_that_were_never_written_are_stopped_at_the_bound(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**12,), "f8", chunks=(1000,))
        file.create_dataset("t/t", (10**12,), h5py.string_dtype(), chunks=(1000,))
    for names in (["x"], ["t/t"]):
        with room_of(10**6), pytest.raises(MemoryBoundError, match=r"a\.h5: takes more than"):
            Hdf5Reader(columns=names).read_file(str(tmp_path / "a.h5"))
        with pytest.raises(ChunkReadError, match=r"a\.h5: says that it has 1,000,000,000,000 rows, in a file of"):
            Hdf5Reader(columns=names).find_parts(str(tmp_path / "a.h5"), chunk_bytes=1, chunk_samples=1)


def test_threads_read_parts_of_one_file_beside_each_other(tmp_path):
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(2000), chunks=(20,), compression="gzip")
        file["y"] = np.arange(2000)
    reader = Hdf5Reader()
    parts = reader.find_parts(path, chunk_bytes=1, chunk_samples=100)
    assert parts is not None

    def is_right(part):
        columns, rows = reader.read_part(path, part)[0], list(range(part.first, part.stop))
        return columns["x"].tolist() == columns["y"].tolist() == rows

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(is_right, parts * 5))


def test_files_are_loaded_by_their_suffix_whatever_their_forms(tmp_path):
    for number, options in enumerate(({}, {"compression": "gzip"})):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file.create_dataset("x", data=NUMBERS + 60 * number, **options)
    with DataLoader(data_dir=tmp_path, batch_size=8, shuffle=True, num_epochs=1, num_workers=2) as loader:
        rows = np.concatenate([batch["x"] for batch in loader])
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.arange(120).reshape(40, 3))
