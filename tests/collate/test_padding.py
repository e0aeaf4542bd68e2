"""PaddingDataCollator: ragged rows become arrays, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.collate import NumpyDataCollator, PaddingDataCollator
from pyloader.errors import CollateError
from pyloader.ragged import Ragged


def pad(rows, *arguments, **options):
    return PaddingDataCollator(*arguments, **options).collate_batch({"x": rows})["x"]


def test_rows_are_filled_up_to_the_longest():
    array = pad([[1, 2, 3], [], [4]])
    assert array.dtype == np.int64
    assert array.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [list, tuple, np.array])
@given(
    rows=st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=6), min_size=1, max_size=6),
    value=st.integers(-9, 9),
)
def test_padding_adds_to_rows_on_the_right_only(kind, rows, value):
    longest = max(map(len, rows))
    assert pad([kind(row) for row in rows], value).tolist() == [row + [value] * (longest - len(row)) for row in rows]


@pytest.mark.parametrize(
    ("rows", "pad_value", "dtype"),
    [
        ([[1], [2, 3]], 0, np.int64),
        ([[1.5], [2, 3]], 0, np.float64),
        ([[1.5], [2, 3]], float("nan"), np.float64),
        ([[True], []], False, np.bool_),
        ([np.zeros(1, np.float16), np.zeros(2, np.float16)], -1, np.float16),
        ([[np.uint8(1)], []], 255, np.uint8),
        ([[], []], 0, np.int64),
        ([[], []], 0.0, np.float64),
    ],
)
def test_rows_keep_their_kind_and_take_that_of_the_padding_only_when_they_have_none(rows, pad_value, dtype):
    assert pad(rows, pad_value).dtype == dtype


@pytest.mark.parametrize(
    ("options", "width"), [({"length": 8}, 8), ({"multiple_of": 4}, 4), ({"multiple_of": 2}, 4), ({}, 3)]
)
def test_the_length_is_given_or_rounded_up_or_that_of_the_longest_row(options, width):
    assert pad([[1, 2, 3], [4]], **options).shape == (2, width)


def test_a_row_longer_than_length_is_an_error_that_names_it():
    with pytest.raises(CollateError, match=r"'x' has 3 numbers in row 1, more than length=2\. truncate=True cuts them"):
        pad([[1], [2, 3, 4]], length=2)


def test_truncate_cuts_rows_at_length():
    assert pad([[1], [2, 3, 4]], length=2, truncate=True).tolist() == [[1, 0], [2, 3]]


def test_rows_may_hold_arrays_of_one_shape():
    frames = [np.ones((2, 80), np.float32), np.ones((5, 80), np.float32)]
    array = pad(frames, -1)
    assert (array.shape, array.dtype) == ((2, 5, 80), np.float32)
    assert (array[0, 2:] == -1).all()
    assert pad([[[1, 2]], [[3, 4], [5, 6]]]).tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]


def test_a_mask_tells_numbers_from_padding():
    batch = PaddingDataCollator(mask=True).collate_batch({"x": [[0, 0], [0]], "label": [1, 2]})
    assert list(batch) == ["x", "x_mask", "label"]
    assert batch["x_mask"].dtype == np.bool_
    assert batch["x_mask"].tolist() == [[True, True], [True, False]]


def test_a_mask_does_not_replace_a_column():
    with pytest.raises(CollateError, match="the mask of 'x' would replace the column 'x_mask'"):
        PaddingDataCollator(mask=True).collate_batch({"x": [[1]], "x_mask": [1]})


def test_padding_differs_by_column_and_pads_only_those_it_names():
    columns = {"ids": [[1], [2, 3]], "labels": [[1], [2, 3]], "other": [[1], [2]]}
    batch = PaddingDataCollator({"ids": 0, "labels": -100}, mask=True).collate_batch(columns)
    assert batch["ids"].tolist() == [[1, 0], [2, 3]]
    assert batch["labels"].tolist() == [[1, -100], [2, 3]]
    assert "other_mask" not in batch
    with pytest.raises(CollateError, match="'labels' has rows of 1 to 2 numbers"):
        PaddingDataCollator({"ids": 0}).collate_batch(columns)


def test_padding_for_a_column_that_is_not_there_is_refused():
    with pytest.raises(CollateError, match="pad_value names the column 'id'; the batch has 'ids'"):
        PaddingDataCollator({"id": 0}).collate_batch({"ids": [[1]]})


def test_all_else_is_as_without_padding():
    columns = {
        "text": ["a", "b"],
        "words": [["a"], ["b", "c"]],
        "n": [1, 2],
        "score": [0.5, 1],
        "l": [True, False],
        "image": np.zeros((2, 3)),
        "missing": [None, None],
    }
    batch = PaddingDataCollator(length=7, mask=True).collate_batch(columns)
    np.testing.assert_equal(batch, NumpyDataCollator().collate_batch(columns))
    assert batch["image"] is columns["image"]
    assert batch["text"] is columns["text"]


def test_dtypes_are_given_by_column_and_the_padding_has_them_too():
    array = pad([[1], [2, 3]], float("nan"), dtypes={"x": "float32"})
    assert array.dtype == np.float32
    np.testing.assert_equal(array.tolist(), [[1, np.nan], [2, 3]])


@pytest.mark.parametrize(
    ("rows", "pad_value"),
    [
        ([[1], [2, 3]], 0.5),
        ([[1], [2, 3]], float("nan")),
        ([[1], [2, 3]], 2**63),
        ([[True], []], -100),
        ([np.zeros(1, np.uint8), np.zeros(2, np.uint8)], -1),
    ],
)
def test_padding_that_the_numbers_cannot_hold_is_refused(rows, pad_value):
    with pytest.raises(CollateError, match=r"pad_value=.* does not fit among the numbers of 'x'"):
        pad(rows, pad_value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1], None], "'x' has None among numbers, in row 1"),
        ([[1, 2], [3, None]], "'x' has None among numbers, in row 1"),
        ([[1, 2], [3, "4"]], "'x' has a value of type str among numbers, in row 1"),
        ([[1, 2], [3, 2**63]], "'x' has 9223372036854775808 in row 1, beyond int64"),
        ([[1], 2], "'x' has numbers beside rows of numbers"),
        ([[1], {}], "'x' has a value of type dict among numbers, in row 1"),
        ([[1], ""], "'x' has a value of type str among numbers, in row 1"),
        ([np.zeros(1), np.array(1.0)], "'x' has numbers beside rows of numbers"),
        ([[[1, 2]], [[1], [2]]], "'x' has rows"),
        ([np.zeros(1), np.zeros(2, np.int8)], "'x' has rows of float64 and of int8"),
        ([np.zeros((1, 2)), np.zeros((1, 3))], r"'x' has rows of shape \[1, 2\] to \[1, 3\]"),
    ],
)
def test_values_that_make_no_array_are_named_with_their_row(rows, message):
    with pytest.raises(CollateError, match=message):
        pad(rows)


@pytest.mark.parametrize("pad_value", ["0", None, {"x": "0"}, [0]])
def test_padding_that_is_no_number_is_refused(pad_value):
    with pytest.raises(TypeError, match=r"pad_value must be a number, or a dict, column -> number; got "):
        PaddingDataCollator(pad_value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"multiple_of": 0}, "multiple_of must be at least 1, got 0"),
        ({"length": 8, "multiple_of": 4}, "give one of them"),
        ({"truncate": True}, "give length="),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PaddingDataCollator(**options)


@pytest.mark.slow
@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.sampled_from([{}, {"length": 4, "truncate": True}, {"length": 40}, {"multiple_of": 8}]),
    st.sampled_from(["uint8", "int64", "float32", "bool"]),
    st.integers(0, 3),
)
def test_ragged_rows_are_padded_as_lists_of_arrays_are(lengths, options, dtype, start):
    column = Ragged(np.arange(1, sum(lengths) + 6).astype(dtype), 3 + np.cumsum([0, *lengths]))[start:]
    collator = PaddingDataCollator(1, mask=True, **options)
    found = collator.collate_batch({"ids": column})
    if not len(column):
        assert found["ids"].shape == (0, options.get("length", 0))
        return
    np.testing.assert_equal(found, collator.collate_batch({"ids": [column[row] for row in range(len(column))]}))
    assert found["ids"].dtype == dtype
    assert found["ids"].flags.writeable
    assert found["ids"].flags.c_contiguous


def test_ragged_rows_get_the_dtype_that_is_wanted_and_are_checked_as_lists_are():
    column = Ragged.from_rows([[1, 2, 3], [], [300]])
    batch = PaddingDataCollator(dtypes={"ids": "uint16"}).collate_batch({"ids": column})
    assert batch["ids"].dtype == np.uint16
    with pytest.raises(CollateError, match=r"'ids' has 300 in row 2, which uint8 cannot hold"):
        PaddingDataCollator(dtypes={"ids": "uint8"}).collate_batch({"ids": column})
    with pytest.raises(CollateError, match=r"'ids' has 300 in row 2, which uint8 cannot hold"):
        PaddingDataCollator(dtypes={"ids": "uint8"}).collate_batch({"ids": column.to_list()})
    with pytest.raises(CollateError, match=r"'ids' has 3 numbers in row 0, more than length=2"):
        PaddingDataCollator(length=2).collate_batch({"ids": column})
    with pytest.raises(CollateError, match=r"pad_value=-1 does not fit among the numbers of 'ids', which are uint8"):
        PaddingDataCollator(-1).collate_batch({"ids": Ragged.from_rows([[1]], dtype="uint8")})
    with pytest.raises(CollateError, match="'ids_mask'"):
        PaddingDataCollator(mask=True).collate_batch({"ids": column, "ids_mask": [1, 2]})


def test_ragged_bytes_are_padded_only_where_they_are_named():
    column = Ragged.from_rows([b"ab", b"c"])
    assert PaddingDataCollator().collate_batch({"image": column}) == {"image": [b"ab", b"c"]}
    batch = PaddingDataCollator({"image": 0}).collate_batch({"image": column, "ids": Ragged.from_rows([b"", b""])})
    assert batch["image"].tolist() == [[97, 98], [99, 0]]
    assert batch["ids"] == [b"", b""]
