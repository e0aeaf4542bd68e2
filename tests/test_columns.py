"""Columns: what is one, how two sets differ, cutting and joining them, and their size."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections import UserDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.columns import (
    ColumnSpec,
    column_specs,
    columns_bytes,
    concatenate_columns,
    content_bytes,
    difference,
    problem_with_columns,
    row_count,
    slice_columns,
    take_rows,
    with_tuples_as_lists,
)
from pyloader.ragged import Ragged


@pytest.mark.parametrize(
    "columns",
    [{"text": ["a", "b"]}, {"x": np.zeros((2, 3)), "y": [1, 2]}, {"x": []}, {"x": np.zeros((0, 3)), "y": []}],
)
def test_lists_and_arrays_of_one_length_are_columns(columns):
    assert problem_with_columns(columns) == ""


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (["a"], "a list, not a dict of columns"),
        (None, "a NoneType, not a dict of columns"),
        ({}, "a dict without columns"),
        ({3: [1]}, "the key 3, which is not a str"),
        ({"x": {1, 2}}, "'x' as a set; a column is a list, a NumPy array or a Ragged"),
        ({"x": "ab"}, "'x' as a str; a column is a list, a NumPy array or a Ragged"),
        ({"x": np.float64(3)}, "'x' as a float64; a column is a list, a NumPy array or a Ragged"),
        ({"x": np.array(3)}, "'x' as a 0-dimensional array; a column has one row per sample"),
        ({"text": ["a"] * 2280, "label": [0] * 227}, "'text' with 2,280 rows and 'label' with 227"),
    ],
)
def test_what_is_no_set_of_columns_is_described(columns, problem):
    assert problem_with_columns(columns) == problem


def test_tuples_become_lists_and_any_mapping_a_dict():
    columns = with_tuples_as_lists(UserDict({"x": (1, 2), "y": [3, 4]}))
    assert columns == {"x": [1, 2], "y": [3, 4]}
    assert type(columns) is dict


def test_what_is_no_mapping_is_left_for_the_check():
    assert with_tuples_as_lists([1, 2]) == [1, 2]


def test_specs_tell_kind_dtype_and_shape_sorted_by_name():
    columns = {"x": np.zeros((2, 28, 28), "<f4"), "text": [None, "a"], "ids": [[1], [2]], "none": [None, None]}
    assert column_specs(columns) == (
        ColumnSpec("ids", "list"),
        ColumnSpec("none", ""),
        ColumnSpec("text", "str"),
        ColumnSpec("x", "array", "<f4", (28, 28)),
    )
    assert column_specs({"mixed": [None, 1, "a"], "fractions": [1, 0.5]}) == (
        ColumnSpec("fractions", "object"),
        ColumnSpec("mixed", "object"),
    )
    assert [str(spec) for spec in column_specs(columns)] == [
        "ids: list",
        "none: empty",
        "text: str",
        "x: float32 [28, 28]",
    ]


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        ({"a": [1]}, {"a": [2, 3]}, ""),
        ({"a": [None]}, {"a": ["x"]}, ""),
        ({"a": [1, None]}, {"a": [2]}, ""),
        ({"a": [1, "x"]}, {"a": ["x", 1]}, ""),
        ({"a": [1]}, {"b": [1]}, "has columns ['a'], not ['b']"),
        ({"a": [1]}, {"a": ["x"]}, "has 'a' as a list of int, not 'a' as a list of str"),
        ({"a": [None]}, {"a": np.zeros(1)}, "has 'a' as a list of nothing, not 'a' as float64"),
        (
            {"a": np.zeros((1, 2), np.float32)},
            {"a": np.zeros((1, 3), np.float32)},
            "has 'a' as float32 rows of shape [2], not 'a' as float32 rows of shape [3]",
        ),
    ],
)
def test_sets_of_columns_that_differ_are_told_apart_in_words(mine, theirs, words):
    assert difference(column_specs(mine), column_specs(theirs)) == words


def test_byte_order_is_part_of_a_column():
    assert difference(column_specs({"a": np.zeros(1, "<i4")}), column_specs({"a": np.zeros(1, ">i4")})) != ""


@st.composite
def columns_and_cuts(draw):
    num_rows = draw(st.integers(0, 30))
    columns = {
        "text": draw(st.lists(st.text(max_size=3), min_size=num_rows, max_size=num_rows)),
        "x": np.arange(num_rows * 2, dtype=np.float32).reshape(num_rows, 2),
        "ids": [[row] * (row % 3) for row in range(num_rows)],
    }
    cuts = sorted(draw(st.lists(st.integers(0, num_rows), max_size=4)))
    return columns, [0, *cuts, num_rows]


@pytest.mark.slow
@given(columns_and_cuts())
def test_joining_undoes_cutting(case):
    columns, cuts = case
    parts = [slice_columns(columns, start, stop) for start, stop in itertools.pairwise(cuts)]
    assert [row_count(part) for part in parts] == list(np.diff(cuts))
    joined = concatenate_columns(parts)
    np.testing.assert_equal(joined, columns)
    assert column_specs(joined) == column_specs(columns)


def test_cutting_an_array_does_not_copy_it():
    x = np.zeros((4, 2))
    assert slice_columns({"x": x}, 1, 3)["x"].base is x


def test_no_columns_have_no_rows():
    assert row_count({}) == 0


def text_of(row: int) -> str:
    return f"{row} " * (1 + row * 7919 % 60)


MADE = {
    "str": lambda: [text_of(row) for row in range(3000)],
    "str beyond latin-1": lambda: [text_of(row) + "ж" for row in range(3000)],
    "bytes": lambda: [text_of(row).encode() for row in range(3000)],
    "int": lambda: [row * 1_000_003 for row in range(3000)],
    "small ints": lambda: [row % 200 for row in range(3000)],
    "bool": lambda: [row % 2 == 0 for row in range(3000)],
    "float": lambda: [row / 7 for row in range(3000)],
    "lists of ids": lambda: [[row * 1000 + item for item in range(row % 90)] for row in range(1000)],
    "lists of bytes' values": lambda: [list(text_of(row).encode()) for row in range(1000)],
    "lists of words": lambda: [text_of(row).split() for row in range(1000)],
    "dicts": lambda: [{"a": row * 1001, "b": text_of(row), "c": None} for row in range(1000)],
    "small arrays": lambda: [np.arange(row % 50) for row in range(1000)],
    "array": lambda: np.zeros((1000, 28), np.float32),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_the_size_of_columns_is_within_a_quarter_of_what_they_take(kind):
    gc.collect()
    tracemalloc.start()
    try:
        columns = {"x": MADE[kind]()}
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert columns_bytes(columns) == pytest.approx(taken, rel=0.25)


def test_the_size_of_no_rows_is_next_to_nothing():
    assert columns_bytes({"x": [], "y": np.zeros((0, 3))}) < 100


def test_a_list_is_measured_on_a_few_rows_only():
    class Counted(str):
        asked = 0

        def __sizeof__(self) -> int:
            Counted.asked += 1
            return super().__sizeof__()

    columns_bytes({"x": [Counted(row) for row in range(10_000)]}, sample_rows=64)
    assert Counted.asked <= 128


def test_a_batch_is_measured_whatever_it_is_made_of():
    class Tensor:
        nbytes = 4000

    array = np.zeros((10, 100), np.float32)
    assert content_bytes({"a": array, "b": (Tensor(), array)}) == pytest.approx(12_000, rel=0.1)
    assert content_bytes([array] * 100) == pytest.approx(400_000, rel=0.1)
    assert content_bytes({"text": ["x" * 1000] * 300}) == pytest.approx(300_000, rel=0.1)
    assert content_bytes(7) < 100


def test_ragged_columns_are_columns_with_a_kind_and_dtype_of_their_own():
    columns = {"ids": Ragged.from_rows([[1, 2], []], dtype="uint16"), "image": Ragged.from_rows([b"a", b""])}
    assert problem_with_columns(columns) == ""
    specs = column_specs(columns)
    assert specs == (ColumnSpec("ids", "ragged", "<u2"), ColumnSpec("image", "ragged", "|S0"))
    assert [str(spec) for spec in specs] == ["ids: ragged uint16", "image: ragged bytes"]
    wider = column_specs({**columns, "ids": Ragged.from_rows([[1]])})
    assert difference(wider, specs) == "has 'ids' as ragged rows of int64, not 'ids' as ragged rows of uint16"
    lists = column_specs({"ids": [[1, 2]], "image": [b"a"]})
    assert difference(lists, specs) == "has 'ids' as a list of list, not 'ids' as ragged rows of uint16"
    assert difference([ColumnSpec("ids", "object")], specs[:1]).startswith("has 'ids' as a list of values of several")


def test_ragged_columns_are_cut_taken_joined_and_measured():
    column = Ragged.from_rows([[1, 2], [], [3]], dtype="int32")
    assert slice_columns({"ids": column}, 1, 3) == {"ids": column[1:]}
    assert take_rows({"ids": column}, np.array([2, 0])) == {"ids": column[[2, 0]]}
    joined = concatenate_columns([{"ids": column[1:]}, {"ids": column}])
    assert joined == {"ids": column[[1, 2, 0, 1, 2]]}
    assert columns_bytes({"ids": column[2:]}) == 4 + 2 * 8
    assert 4 + 2 * 8 <= content_bytes({"ids": column[2:]}) < 200
