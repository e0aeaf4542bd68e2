"""NumPy files: the arrays that were saved, or an error that says what is wrong."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import textwrap
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyloader.errors import ChunkReadError
from pyloader.files.compressors import COMPRESSORS, open_packed
from pyloader.read.numpy_files import NumpyReader
from pyloader.read.tokens import TokenReader
from pyloader.testing import check_reader

IMAGES = np.arange(300 * 28 * 28, dtype=np.float32).reshape(300, 28, 28)
LABELS = np.arange(300) % 10

dtypes = hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.floating_dtypes() | hnp.datetime64_dtypes()


def read(path, **options) -> dict[str, np.ndarray]:
    columns, num_samples = NumpyReader(**options).read_file(str(path))
    assert all(len(column) == num_samples for column in columns.values())
    return columns


def save_columns(directory, **arrays) -> str:
    directory.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(directory / name, array)
    return str(directory)


@pytest.mark.slow
@pytest.mark.parametrize("mmap", [False, True])
@given(array=hnp.arrays(dtypes, hnp.array_shapes(min_side=0, max_side=5)), fortran=st.booleans())
def test_what_numpy_saves_is_read(tmp_path_factory, mmap, array, fortran):
    assume(array.nbytes or not len(array))
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, np.asfortranarray(array) if fortran else array)
    got = read(path, mmap=mmap)["data"]
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype.newbyteorder("=")
    assert got.dtype.isnative
    assert got.flags.c_contiguous
    assert type(got) is np.ndarray
    assert mmap or got.flags.writeable


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["", *COMPRESSORS])
def test_the_contract_holds_for_every_packing(tmp_path, packing):
    path = tmp_path / f"a.npy{packing}"
    with open_packed(path, "wb") as file:
        np.save(file, IMAGES)
    np.testing.assert_array_equal(check_reader(NumpyReader(name="image"), path)["image"], IMAGES)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_contract_holds_for_npz(tmp_path, save):
    save(tmp_path / "a.npz", image=IMAGES, label=LABELS)
    columns = check_reader(NumpyReader(), tmp_path / "a.npz")
    np.testing.assert_array_equal(columns["image"], IMAGES)
    np.testing.assert_array_equal(columns["label"], LABELS)


@pytest.mark.parametrize("mmap", [False, True])
def test_the_contract_holds_for_directories_of_columns(tmp_path, mmap):
    path = save_columns(tmp_path / "a.columns", label=LABELS, image=IMAGES)
    (tmp_path / "a.columns" / "_SUCCESS").touch()
    columns = check_reader(NumpyReader(mmap=mmap), path)
    assert list(columns) == ["image", "label"]
    np.testing.assert_array_equal(columns["image"], IMAGES)
    np.testing.assert_array_equal(columns["label"], LABELS)


def test_a_mapping_is_read_only_and_says_so(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    assert not read(tmp_path / "a.npy", mmap=True)["data"].flags.writeable
    assert not NumpyReader(mmap=True).returns_new_arrays
    assert NumpyReader().returns_new_arrays


def test_memory_is_used_again_once_nobody_looks_at_it(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    reader = NumpyReader()
    first = reader.read_file(str(tmp_path / "a.npy"))[0]["data"]
    where = first.ctypes.data
    del first
    second = reader.read_file(str(tmp_path / "a.npy"))[0]["data"]
    third = reader.read_file(str(tmp_path / "a.npy"))[0]["data"]
    assert second.ctypes.data == where != third.ctypes.data


def test_one_reader_serves_many_threads(tmp_path):
    paths = []
    for number in range(8):
        np.save(tmp_path / f"{number}.npy", np.full((50, 400), number))
        paths.append(str(tmp_path / f"{number}.npy"))
    reader = NumpyReader()

    def read_often(number: int) -> bool:
        return all((reader.read_file(paths[number])[0]["data"] == number).all() for _ in range(50))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read_often, range(8)))


def test_a_reader_that_has_read_can_be_pickled_without_its_memory(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    reader = NumpyReader(name="image")
    reader.read_file(str(tmp_path / "a.npy"))
    assert len(pickle.dumps(reader)) < 1000
    assert list(pickle.loads(pickle.dumps(reader)).read_file(str(tmp_path / "a.npy"))[0]) == ["image"]


@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_cut_anywhere_is_an_error(tmp_path, mmap):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(20))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ChunkReadError, match=r"a\.npy: (ends early|has no good \.npy header)"):
            read(path, mmap=mmap)
    path.write_bytes(whole[:200])
    with pytest.raises(ChunkReadError, match=r"a\.npy: ends early: 200 bytes found, 288 expected\. Fetch it again"):
        read(path, mmap=mmap)


@pytest.mark.parametrize("packing", COMPRESSORS)
def test_a_packed_file_cut_anywhere_is_an_error(tmp_path, packing):
    path = tmp_path / f"a.npy{packing}"
    with open_packed(path, "wb") as file:
        np.save(file, np.arange(20))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ChunkReadError, match="ends early"):
            read(path)


@pytest.mark.parametrize("packing", ["", ".zst"])
def test_bytes_missing_or_left_over_in_a_whole_file_are_an_error(tmp_path, packing):
    np.save(tmp_path / "a.npy", np.arange(20))
    whole = (tmp_path / "a.npy").read_bytes()
    for content, match in [
        (whole[:-1], "287 bytes found, 288 expected"),
        (whole + b"x", "after its end: 288 bytes exp"),
    ]:
        with open_packed(tmp_path / f"b.npy{packing}", "wb") as file:
            file.write(content)
        with pytest.raises(ChunkReadError, match=match):
            read(tmp_path / f"b.npy{packing}")


@pytest.mark.slow
def test_a_file_that_promises_little_and_unpacks_to_gigabytes_is_an_error_that_takes_little_memory(tmp_path):
    path = tmp_path / "a.npy.zst"
    np.save(tmp_path / "a.npy", np.zeros(128))
    zeros = zstandard.compress(bytes(2**24))
    path.write_bytes(zstandard.compress((tmp_path / "a.npy").read_bytes()) + zeros * 256)
    script = f"""
        from pyloader.errors import ChunkReadError
        from pyloader.inspecting.measuring import peak_bytes
        from pyloader.read import NumpyReader
        reader = NumpyReader()
        before = peak_bytes()
        try:
            reader.read_file({str(path)!r})
        except ChunkReadError as exc:
            print(peak_bytes() - before, exc.what)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    num_bytes, what = out.stdout.strip().split(" ", 1)
    assert what == "goes on after its end: 1,152 bytes expected."
    assert int(num_bytes) < 16e6


@pytest.mark.slow
def test_an_npz_cut_anywhere_or_damaged_is_an_error(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.arange(20), b=np.zeros(20))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ChunkReadError, match=r"a\.npz"):
            read(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            got = read(path)
        except ChunkReadError:
            continue
        # A zip's list of members has no checksum: a name may change or go, and other chunks then have other columns.
        assert all((array == np.arange(20)).all() or (array == np.zeros(20)).all() for array in got.values())


def test_columns_of_different_lengths_are_an_error_that_names_both_files(tmp_path):
    path = save_columns(tmp_path / "a.columns", image=IMAGES, label=LABELS[:-1])
    with pytest.raises(ChunkReadError, match=r"a\.columns: image\.npy has 300 rows and label\.npy has 299\."):
        read(path)
    np.savez(tmp_path / "a.npz", image=IMAGES, label=LABELS[:-1])
    with pytest.raises(ChunkReadError, match=r"a\.npz: image\.npy has 300 rows and label\.npy has 299\."):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    ("array", "match"),
    [
        (
            np.array([[1], "a"], dtype=object),
            r"a\.npy: holds Python objects \(a pickle\), which could run any code\. Save",
        ),
        (np.float32(3), r"a\.npy: holds a single value, not rows\. Save an array of shape \[rows, \.\.\.\]"),
    ],
)
def test_arrays_that_are_no_rows_of_numbers_are_refused(tmp_path, mmap, array, match):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ChunkReadError, match=match):
        read(tmp_path / "a.npy", mmap=mmap)


def test_a_file_that_is_no_npy_is_an_error(tmp_path):
    (tmp_path / "a.npy").write_text("hello, hello, hello")
    with pytest.raises(ChunkReadError, match=r"a\.npy: has no good \.npy header .* Make it again with numpy\.save"):
        read(tmp_path / "a.npy")


def test_a_header_that_asks_for_too_much_memory_is_compared_with_the_file_first(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**40)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ChunkReadError, match="ends early: 128 bytes found, 9,671,406,556,917,033,397,649,5"):
        read(tmp_path / "a.npy")


def test_a_directory_holds_columns_and_nothing_else(tmp_path):
    path = save_columns(tmp_path / "a.columns")
    with pytest.raises(ChunkReadError, match=r"a\.columns: holds no \.npy files"):
        read(path)
    (tmp_path / "a.columns" / "label.csv").touch()
    with pytest.raises(ChunkReadError, match=r"a\.columns: holds label\.csv, which is no \.npy"):
        read(path)


def test_a_column_that_is_there_twice_is_an_error(tmp_path):
    path = save_columns(tmp_path / "a.columns", label=LABELS)
    with open_packed(tmp_path / "a.columns" / "label.npy.gz", "wb") as file:
        np.save(file, LABELS)
    with pytest.raises(ChunkReadError, match=r"holds the column 'label' twice, in label\.npy and label\.npy\.gz"):
        read(path)


def test_what_is_packed_cannot_be_mapped(tmp_path):
    with open_packed(tmp_path / "a.npy.zst", "wb") as file:
        np.save(file, LABELS)
    np.savez(tmp_path / "a.npz", label=LABELS)
    for name in ("a.npy.zst", "a.npz"):
        with pytest.raises(ChunkReadError, match=rf"{name}: .*cannot be mapped\. Pass mmap=False"):
            read(tmp_path / name, mmap=True)


def test_an_empty_npz_is_an_error(tmp_path):
    zipfile.ZipFile(tmp_path / "a.npz", "w").close()
    with pytest.raises(ChunkReadError, match=r"a\.npz: holds no arrays"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("reader", [NumpyReader(), TokenReader(window=100, dtype="int32")], ids=["npy", "tokens"])
def test_a_plain_file_is_read_in_one_piece_since_each_piece_waits_for_the_interpreters_lock(tmp_path, reader):
    tokens = np.arange(3 * 2**20, dtype=np.int32)  # 12 MiB
    path = tmp_path / ("chunk.npy" if isinstance(reader, NumpyReader) else "chunk.bin")
    np.save(path, tokens) if path.suffix == ".npy" else tokens.tofile(path)
    calls = []

    def note(_, event, called):
        if event == "c_call" and called.__name__ == "readinto" and isinstance(called.__self__, io.FileIO):
            calls.append(called)

    sys.setprofile(note)
    try:
        reader.read_file(str(path))
    finally:
        sys.setprofile(None)
    assert len(calls) <= 3  # the header, the numbers, and that nothing follows
