"""Ragged: rows of unequal length as two arrays."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import pyloader
from pyloader.ragged import Ragged

NUMBERS = [[7, 8, 9], [], [1], [2, 3]]
BYTES = [b"to", b"", b"be", b"\0\xff"]


def numbers(dtype="int32"):
    return Ragged.from_rows(NUMBERS, dtype=dtype)


def test_it_is_a_public_name():
    assert pyloader.Ragged is Ragged


def test_a_row_of_numbers_is_a_read_only_array_and_a_row_of_bytes_is_bytes():
    column = numbers()
    assert column[0].dtype == np.int32
    assert column[0].tolist() == [7, 8, 9]
    assert column[-1].tolist() == [2, 3]
    with pytest.raises(ValueError, match="read-only"):
        column[0][0] = 5
    images = Ragged.from_rows(BYTES)
    assert images.is_bytes
    assert images[np.int64(3)] == b"\0\xff"
    assert list(images) == BYTES
    with pytest.raises(IndexError):
        images[4]


def test_uint8_numbers_are_not_bytes():
    pixels, text = Ragged([1, 2], [0, 2]), Ragged(np.array([1, 2], np.uint8), [0, 2], is_bytes=True)
    assert Ragged(text.values, text.offsets)[0].tolist() == [1, 2]
    assert text[0] == b"\1\2"
    assert text != Ragged(text.values, text.offsets)
    assert pixels != text
    with pytest.raises(TypeError, match="bytes are values of dtype uint8, not int64"):
        Ragged([1, 2], [0, 2], is_bytes=True)


@pytest.mark.parametrize(
    ("values", "offsets", "error", "match"),
    [
        ([1, 2], [0, 2, 1], ValueError, r"offsets must never fall: row 1 begins at 2 and ends at 1"),
        ([1, 2], [0, 3], ValueError, r"offsets go from 0 to 3, and there are 2 values"),
        ([1, 2], [-1, 2], ValueError, r"offsets go from -1 to 2"),
        ([1, 2], [], TypeError, r"offsets must be integers, not float64"),
        ([1, 2], np.zeros(0, int), ValueError, r"offsets must be of shape \[rows \+ 1\], not \[0\]"),
        ([1, 2], np.array([0, 2**63], np.uint64), ValueError, r"must fit in int64"),
        ([1, 2], [0.0, 2.0], TypeError, r"offsets must be integers, not float64"),
        ([[1, 2]], [0, 1], ValueError, r"values must be of one dimension, not of shape \[1, 2\]"),
        (["a"], [0, 1], TypeError, r"values must be numbers, not <U1"),
        (np.array([None]), [0, 1], TypeError, r"values must be numbers, not object"),
    ],
)
def test_what_is_no_column_is_refused(values, offsets, error, match):
    with pytest.raises(error, match=match):
        Ragged(values, offsets)


def test_values_and_offsets_are_taken_as_they_are_and_mended_where_they_must_be():
    values, offsets = np.arange(4, dtype="<i2"), np.array([0, 1, 4])
    column = Ragged(values, offsets)
    assert np.shares_memory(column.values, values)
    assert column.offsets is offsets
    mended = Ragged(np.arange(8, dtype=">i2")[::2], np.array([0, 1, 4], np.uint32))
    assert mended.values.dtype.isnative
    assert mended.to_list() == [[0], [2, 4, 6]]
    assert mended.offsets.dtype == np.int64


def test_slices_are_views_and_rows_by_number_are_copies(way):
    column = numbers()
    part = column[1:3]
    assert np.shares_memory(part.values, column.values)
    assert part.to_list() == [[], [1]]
    assert part[1:].offsets[0] > 0
    assert part[1:].to_list() == [[1]]
    assert column[3:1].to_list() == []
    assert column[::-2].to_list() == [[2, 3], []]
    assert column[[2, 0]].to_list() == [[1], [7, 8, 9]]
    assert column[np.array([True, False, False, True])].to_list() == [[7, 8, 9], [2, 3]]
    assert column[[]].to_list() == []
    assert not np.shares_memory(column[[0, 1]].values, column.values)


def test_a_row_that_is_not_there_cannot_be_taken(way):
    with pytest.raises(IndexError, match="rows 0 to 4 of a column of 4 rows"):
        numbers().take([0, 4])
    with pytest.raises(IndexError, match="rows -5 to -5"):
        numbers().take([-5])
    with pytest.raises(IndexError, match=r"bools of shape \[3\] for a column of 4 rows"):
        numbers()[[True, False, True]]
    with pytest.raises(IndexError, match=r"rows must be integers of shape \[rows\], not float64 of shape \[1\]"):
        numbers().take([0.5])
    with pytest.raises(IndexError, match=r"rows must be integers of shape \[rows\], not int64 of shape \[1, 1\]"):
        numbers().take([[1]])


def test_columns_of_different_kinds_do_not_continue_each_other():
    with pytest.raises(TypeError, match="a column of bytes does not continue one of uint8"):
        Ragged.concatenate([numbers("uint8"), Ragged.from_rows(BYTES)])
    with pytest.raises(TypeError, match="a column of int64 does not continue one of int32"):
        Ragged.concatenate([numbers("int32"), numbers("int64")])


def test_size_and_pickle_are_of_what_a_view_spans():
    column = Ragged(np.zeros(10**6, np.int32), [0, 10**6 - 3, 10**6 - 1, 10**6])
    part = column[1:]
    assert part.nbytes == 3 * 4 + 3 * 8
    assert len(pickle.dumps(part)) < 1000
    again = pickle.loads(pickle.dumps(part))
    assert again == part
    assert again.offsets.tolist() == [0, 2, 3]
    buffers: list[pickle.PickleBuffer] = []
    assert len(pickle.dumps(column, 5, buffer_callback=buffers.append)) < 1000
    assert max(buffer.raw().nbytes for buffer in buffers) == 4 * 10**6
    assert pickle.loads(pickle.dumps(Ragged.from_rows(BYTES))).is_bytes


def test_columns_are_equal_when_their_rows_are():
    assert numbers() == numbers()
    assert numbers()[1:] == Ragged.from_rows(NUMBERS[1:], dtype="int32")
    assert numbers() != numbers("int64")
    assert numbers() != Ragged.from_rows([[7, 8], [9], [1], [2, 3]], dtype="int32")
    assert numbers() != NUMBERS
    assert Ragged([np.nan, 1.0], [0, 2]) == Ragged([np.nan, 1.0], [0, 2])
    np.testing.assert_equal({"ids": numbers()}, {"ids": numbers()})
    with pytest.raises(AssertionError):
        np.testing.assert_equal({"ids": numbers()}, {"ids": numbers()[::-1]})


def test_an_array_of_it_is_refused_with_what_to_do():
    with pytest.raises(TypeError, match="PaddingDataCollator"):
        np.asarray(numbers())


@pytest.mark.parametrize(
    ("rows", "dtype", "wanted"),
    [
        ([[1, 2], (), np.array([3])], None, "int64"),
        ([[1.5], [2]], None, "float64"),
        ([[True], []], None, "bool"),
        ([[], []], None, "int64"),
        ([], None, "int64"),
        ([[1, 300]], "uint16", "uint16"),
        ([[1], [2**63]], None, "uint64"),
        ([np.array([1, 2], "f4"), np.array([], "f4")], None, "float32"),
    ],
)
def test_rows_become_values_of_one_dtype(rows, dtype, wanted):
    column = Ragged.from_rows(rows, dtype=dtype)
    assert column.dtype == wanted
    assert column.to_list() == [list(row) for row in rows]


def test_rows_of_bytes_become_bytes_also_where_there_are_none():
    assert Ragged.from_rows([b"a", bytearray(b"bc"), memoryview(b"")]).to_list() == [b"a", b"bc", b""]
    assert Ragged.from_rows([], dtype=bytes).is_bytes


@pytest.mark.parametrize(
    ("rows", "dtype", "match"),
    [
        ([[1], None], None, "row 1 is a NoneType: a row is bytes, or a list or 1-D array of numbers"),
        (["ab"], None, "row 0 is a str"),
        ([[1], b"a"], None, "row 1 is a bytes among rows of other kinds"),
        ([b"a", [1]], None, "row 1 is a list among rows of other kinds"),
        ([["a"]], None, "these hold values of dtype <U1"),
        ([[None]], None, "these hold values of dtype object"),
        ([[[1, 2]]], None, "these hold rows of rows"),
        ([[[1], [1, 2]]], None, "rows must hold numbers"),
        ([[300]], "uint8", "rows hold numbers that uint8 does not hold"),
        ([[1.5]], "int32", "rows hold numbers that int32 does not hold"),
        ([[2**63, -1]], None, "ints that do not fit in one integer dtype"),
        ([[2**53 + 1, 0.5]], None, "ints that do not fit in one integer dtype, or not among floats"),
    ],
)
def test_rows_of_anything_else_are_refused(rows, dtype, match):
    with pytest.raises(TypeError, match=match):
        Ragged.from_rows(rows, dtype=dtype)
