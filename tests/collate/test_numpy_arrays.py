"""NumpyDataCollator: kinds are kept, arrays are not touched, nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.collate import NumpyDataCollator
from pyloader.errors import CollateError
from pyloader.ragged import Ragged


def collate(values, **options):
    return NumpyDataCollator(**options).collate_batch({"x": values})["x"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, -2, 3], np.int64),
        ([2**63 - 1, -(2**63)], np.int64),
        ([1.5, 2.5], np.float64),
        ([1, 2.5], np.float64),
        ([2**53 - 1, 0.5], np.float64),
        ([1e300, float("nan"), float("inf")], np.float64),
        ([float("nan"), float("nan")], np.float64),
        ([True, False], np.bool_),
        ([True, 2], np.int64),
        ([1j, 2], np.complex128),
        ([np.int32(1), np.int32(2)], np.int32),
        ([np.uint8(1)], np.uint8),
        ([np.uint64(2**64 - 1)], np.uint64),
        ([np.float32(1)], np.float32),
        ([np.bool_(True)], np.bool_),
        ([np.datetime64("2026-01-01")], "datetime64[D]"),
        ([[1, 2], [3, 4]], np.int64),
        ([(1, 2), (3, 4)], np.int64),
        ([[1, 2.5], [3, 4]], np.float64),
        ([[True], [False]], np.bool_),
        ([[[1], [2]], [[3], [4]]], np.int64),
        ([[], []], np.int64),
        ([np.zeros(3, np.float16)] * 2, np.float16),
        ([np.zeros((2, 2), np.uint8)] * 2, np.uint8),
        ([np.array(1), np.array(2)], np.int64),
    ],
)
def test_numbers_become_arrays_that_hold_exactly_them(values, dtype):
    array = collate(values)
    assert isinstance(array, np.ndarray)
    assert array.dtype == dtype
    np.testing.assert_equal(array.tolist(), [np.asarray(value).tolist() for value in values])


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b"],
        [b"a", b"b"],
        ["a", None],
        [None, "a"],
        [None, None],
        [{"a": 1}, {"a": 2}],
        [["a"], ["b", "c"]],
        [np.str_("a")],
        [object(), object()],
        [],
    ],
)
def test_what_is_no_number_stays_the_same_list(values):
    assert collate(values) is values


@pytest.mark.parametrize("array", [np.zeros((2, 3), ">i2"), np.array(["a", "b"]), np.array([None, 1])])
def test_an_array_stays_the_same_object(array):
    assert collate(array) is array


@pytest.mark.parametrize("name", ["l", "a", "be", "lab", "label", "", "ids"])
def test_no_column_is_left_out_whatever_its_name(name):
    batch = NumpyDataCollator().collate_batch({name: [1, 2], "text": ["a", "b"]})
    assert list(batch) == [name, "text"]
    assert batch[name].tolist() == [1, 2]


@pytest.mark.slow
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_ints_never_become_floats(values):
    array = collate(values)
    assert array.dtype == np.int64
    assert array.tolist() == values


@pytest.mark.slow
@given(st.lists(st.integers(-(2**70), 2**70) | st.floats(allow_nan=False), min_size=1))
def test_a_number_is_held_exactly_or_refused(values):
    try:
        array = collate(values)
    except CollateError:
        assert any(isinstance(value, int) and abs(value) > 2**53 for value in values)
    else:
        assert array.tolist() == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [1, None],
            "'x' has None among numbers, in row 1. Say what stands for it: DataLoader.nulls=.nan.. or .*'x': 0",
        ),
        ([None, 1.5], "'x' has None among numbers, in row 0. .* or mend it in read_file or batch_encode$"),
        ([[1], [None]], "'x' has None among numbers, in row 1. Mend it in read_file or batch_encode$"),
        ([[1, 2], None], "'x' has None among numbers, in row 1. Mend it in read_file or batch_encode$"),
        ([1, "2"], "'x' has a value of type str among numbers, in row 1."),
        ([[1, 2], [3, b"4"]], "'x' has a value of type bytes among numbers, in row 1."),
        ([1, {}], "'x' has a value of type dict among numbers, in row 1."),
        ([1, 2**63], "'x' has 9223372036854775808 in row 1, beyond int64."),
        ([2**63, 2**63], "'x' has 9223372036854775808 in row 0, beyond int64."),
        ([1, 2**64], "'x' has 18446744073709551616 in row 1, beyond int64."),
        ([0.5, 2**53 + 1], "'x' has 9007199254740993 among floats, in row 1; float64 cannot hold it."),
        ([float("nan"), 2**53 + 1], "'x' has 9007199254740993 among floats, in row 1"),
        ([np.zeros(1), np.array(1.0)], "'x' has numbers beside rows of numbers."),
        ([1, [2]], "'x' has numbers beside rows of numbers. Make them alike in batch_encode"),
        ([np.zeros(2), np.zeros(2, np.int8)], "'x' has rows of float64 and of int8."),
        ([np.zeros(2), [1, 2]], "'x' has rows of float64 and of list."),
        ([[[1], [2]], [[3], [4, 5]]], "'x' has rows whose parts are of unequal length."),
    ],
)
def test_values_that_make_no_array_are_named_with_their_row(values, message):
    with pytest.raises(CollateError, match=message):
        collate(values)


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_rows_of_unequal_length_point_to_padding(kind):
    rows = [kind([0] * length) for length in (188, 41, 60)]
    message = (
        r"^'ids' has rows of 41 to 188 numbers\. Use PaddingDataCollator\(pad_value=0\), or cut them in batch_encode$"
    )
    with pytest.raises(CollateError, match=message):
        NumpyDataCollator().collate_batch({"ids": rows})


def test_arrays_of_unequal_shape_are_told_by_their_shapes():
    with pytest.raises(CollateError, match=r"'x' has rows of shape \[28, 28\] to \[30, 28\]"):
        collate([np.zeros((30, 28)), np.zeros((28, 28))])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "int32"),
        ([1, 255], np.uint8),
        ([0, 1], bool),
        ([1.0, 2.0], "int16"),
        ([0.1, float("inf"), float("nan")], "float32"),
        ([1, 2], "float32"),
        ([True, False], "int8"),
        (np.arange(3), "int32"),
        ([[1, 2], [3, 4]], "float16"),
    ],
)
def test_dtypes_are_given_by_column(values, dtype):
    array = collate(values, dtypes={"x": dtype})
    assert array.dtype == dtype
    np.testing.assert_allclose(array.astype(np.float64), np.asarray(values, np.float64), rtol=1e-7)


def test_an_array_that_has_the_dtype_already_stays_the_same_object():
    array = np.zeros(3, np.int32)
    assert collate(array, dtypes={"x": "int32"}) is array


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([1, 300], "uint8", "'x' has 300 in row 1, which uint8 cannot hold"),
        ([1, -1], "uint64", "'x' has -1 in row 1, which uint64 cannot hold"),
        ([[0, 0], [0, 2**31]], "int32", "'x' has 2147483648 in row 1, which int32 cannot hold"),
        ([1.0, 1.5], "int64", "'x' has 1.5 in row 1, which int64 cannot hold"),
        ([1.0, float("nan")], "int64", "'x' has nan in row 1, which int64 cannot hold"),
        ([1, 2], bool, "'x' has 2 in row 1, which bool cannot hold"),
        ([1.0, 1e39], "float32", r"'x' has 1e\+39 in row 1, which float32 cannot hold"),
        (["a"], "int64", "dtypes wants 'x' as int64, and 'x' does not hold numbers"),
    ],
)
def test_a_dtype_that_cannot_hold_a_number_is_refused_with_the_row(values, dtype, message):
    with pytest.raises(CollateError, match=message):
        collate(values, dtypes={"x": dtype})


def test_a_dtype_for_a_column_that_is_not_there_is_refused():
    with pytest.raises(CollateError, match="dtypes names the column 'lable'; the batch has 'x'"):
        collate([1], dtypes={"lable": "int32"})


def test_ragged_rows_of_numbers_are_an_error_that_names_what_pads_them():
    column = Ragged.from_rows([[1, 2, 3], [4]])
    with pytest.raises(CollateError, match=r"'x' is ragged, with rows of 1 to 3 numbers\. Use PaddingDataCollator"):
        collate(column)
    with pytest.raises(CollateError, match=r"'x' is ragged\. Use PaddingDataCollator"):
        collate(column[:0])


def test_images_of_unequal_shapes_are_an_error_that_says_how_they_are_taken_apart():
    columns = {"image": Ragged.from_rows([[1, 2], [1, 2, 3]]), "image_shape": np.array([[1, 2, 1], [1, 3, 1]])}
    with pytest.raises(CollateError, match=r"row\.reshape\(shape\) .* columns\['image_shape'\]"):
        NumpyDataCollator().collate_batch(columns)


def test_ragged_rows_of_bytes_become_a_list_of_them():
    assert collate(Ragged.from_rows([b"ab", b""])) == [b"ab", b""]
