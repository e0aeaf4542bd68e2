"""Headers of .npy files: what NumPy writes is read as NumPy reads it; anything else is an error of ours."""

from __future__ import annotations

import io
import os
import sys
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyloader import indexed
from pyloader.errors import ChunkReadError, DatasetError, PyLoaderError
from pyloader.files.npy_headers import NpyHeaderError, read_npy_header
from pyloader.read import NumpyReader
from pyloader.write.splitter import split

CASES = int(os.environ.get("PYLOADER_CASES", "400"))
cases = settings(max_examples=CASES, deadline=None)

plain_dtypes = (
    hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.floating_dtypes() | hnp.complex_number_dtypes()
    | hnp.datetime64_dtypes() | hnp.timedelta64_dtypes() | hnp.unicode_string_dtypes() | hnp.byte_string_dtypes()
)  # fmt: skip
dtypes = plain_dtypes | hnp.nested_dtypes(plain_dtypes, max_itemsize=200)
usual = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"


def header_of(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"\x93NUMPY" + bytes(version) + len(data).to_bytes(2 if version == (1, 0) else 4, "little") + data


def numpys(data: bytes):
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file), file.tell()


@pytest.mark.slow
@cases
@given(dtype=dtypes, shape=hnp.array_shapes(min_dims=0, min_side=0), fortran=st.booleans())
def test_what_numpy_writes_is_read_as_numpy_reads_it(dtype, shape, fortran):
    if dtype.subdtype is not None:
        dtype = dtype.base
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names beyond latin-1
        np.lib.format.write_array(file, np.zeros(shape, dtype, "F" if fortran else "C"))
    data = file.getvalue()
    opened = io.BytesIO(data)
    got = read_npy_header(opened)
    if data[6] < 3:
        assert (got, opened.tell()) == numpys(data)
    assert (got[0], got[2]) == (shape, dtype)


@pytest.mark.parametrize(
    "text",
    [
        "{'shape': (3,2), 'descr': \"<f4\", 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 2L), }  \n",
        " { 'descr' : '\\x3cf4' , 'fortran_order' :False, 'shape':(3,\n2)}",
        "{'descr': 'float32', 'fortran_order': False, 'shape': (3, 2), }",
    ],
)
def test_headers_that_others_write_are_read(text):
    assert read_npy_header(io.BytesIO(header_of(text))) == ((3, 2), False, np.dtype("f4"))


pieces = st.sampled_from(
    ["{", "}", "(", ")", "[", "]", ",", ":", "'", '"', "\\", "\\x", "\\N{", "L", "-", "9" * 30, "0", "True", "None",
     "'descr'", "'shape'", "'fortran_order'", "'<f4'", "'O'", "'i4,f4'", "'V0'", "('a', '<f4', (-1,))", "\0", "\udcff",
     "'|U99999999999'", "[('a', '<i4'), ('a', '<i4')]", "(2**62,)", "1e5", "b'x'", "f'{1}'", "(" * 50, "#", "\n", "É"]
)  # fmt: skip
replaced = st.tuples(st.integers(0, len(usual)), st.integers(0, 12), st.lists(pieces, max_size=3).map("".join))
values = st.sampled_from(
    ["(-2, -2)", "(True, True)", "(3)", "()", "[3, 2]", "(" + "1, " * 70 + ")", "(4611686018427387904, 4)",
     "(0, 2**62)", f"(0, {2**62}, {2**62})", "None", "('3',)", "(1e3,)", "(200000000, 0)"]
)  # fmt: skip
texts = (
    st.lists(pieces, max_size=12).map("".join)
    | replaced.map(lambda change: usual[: change[0]] + change[2] + usual[change[0] + change[1] :])
    | values.map(lambda value: usual.replace("(3, 2)", value))
    | pieces.map(lambda piece: usual.replace("'<f4'", piece))
)


@pytest.mark.slow
@cases
@given(text=texts, version=st.sampled_from([(1, 0), (2, 0), (3, 0), (4, 0), (255, 7)]), rest=st.binary(max_size=40))
def test_any_other_header_is_an_error_of_ours_wherever_it_is_read(tmp_path_factory, text, version, rest):
    data = header_of(text, version)
    try:
        shape, _, dtype = read_npy_header(io.BytesIO(data))
    except NpyHeaderError:
        pass
    else:
        assert all(type(size) is int and size >= 0 for size in shape)
        assert isinstance(dtype, np.dtype)
    path = tmp_path_factory.mktemp("header") / "a.npy"
    path.write_bytes(data + rest)
    for read in (
        NumpyReader().read_file,
        NumpyReader(mmap=True).read_file,
        indexed.NPDataset,
        lambda path: split(path, path + ".chunks", num_chunks=1),
    ):
        try:
            read(str(path))
        except PyLoaderError as exc:
            assert "a.npy" in str(exc)


@pytest.mark.parametrize("shape", [(2 * 10**8, 0), (2**30, 0), (3, 0, 4)])
def test_rows_of_no_bytes_are_refused(tmp_path, shape):
    path = str(tmp_path / "a.npy")
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
    match = rf"a\.npy: has {shape[0]:,} rows of no bytes: float32 of shape \[.*\]\. Save rows that hold something"
    for mmap in (False, True):
        with pytest.raises(ChunkReadError, match=match):
            NumpyReader(mmap=mmap).read_file(path)
    with pytest.raises(DatasetError, match=match):
        indexed.NPDataset(path)
    with pytest.raises(PyLoaderError, match=match):
        split(path, tmp_path / "chunks")


@pytest.mark.slow
def test_headers_are_read_while_other_threads_compile(tmp_path):
    # CPython up to 3.11.7 shares the depth of what its parsers build between threads (gh-106905).
    data = header_of("{'descr': [('a', '<i4'), ('b', '<f8', (3,))], 'fortran_order': False, 'shape': (3, 2), }")
    failures: list[Exception] = []

    def read_often() -> None:
        for _ in range(2000):
            try:
                read_npy_header(io.BytesIO(data))
            except Exception as exc:
                failures.append(exc)

    threads = [threading.Thread(target=read_often) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            compile("[" * 40 + "]" * 40, "<test>", "eval")
    finally:
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()
    assert not failures
