"""Rows of unequal length are copied out of one array, or of several."""

from __future__ import annotations

import numpy as np
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from products import examples

from pyloader.ragged import Ragged, gathering

DTYPES = ["bool", "uint8", "int16", "float32", "int64", "complex128", "datetime64[s]"]
LENGTHS = st.lists(st.integers(0, 5) | st.just(30), max_size=12)  # up to 12 bytes lie in a view


# The way is that of the test.
same_way = settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])


def of_lengths(lengths, dtype, start=0):
    values = (np.arange(sum(lengths) + 3) + start).astype(dtype)
    return Ragged(values, 2 + np.cumsum([0, *lengths]))


@pytest.fixture(autouse=True, scope="module")
def each_way_is_there():
    assert gathering._arrow() is not None
    assert gathering._views_work() or int(pyarrow.__version__.partition(".")[0]) < 20


@same_way
@given(LENGTHS, st.sampled_from(DTYPES), st.integers(0, 12), st.lists(st.integers(-12, 11), max_size=20))
def test_taking_rows_is_what_lists_do(way, lengths, dtype, start, wanted):
    column = of_lengths(lengths, dtype)[start:]
    rows = [row for row in wanted if -len(column) <= row < len(column)]
    whole = column.to_list()
    taken = column.take(rows)
    assert taken.to_list() == [whole[row] for row in rows]
    assert taken.dtype == column.dtype
    assert taken.lengths.tolist() == [len(whole[row]) for row in rows]
    assert Ragged.concatenate([taken, column]).to_list() == [*taken.to_list(), *whole]


@pytest.mark.slow
@same_way
@given(st.lists(LENGTHS, min_size=1, max_size=4), st.sampled_from(DTYPES), st.data())
def test_rows_of_several_columns_come_in_the_order_wanted(way, lengths, dtype, data):
    columns = [of_lengths(each, dtype, start=100 * number) for number, each in enumerate(lengths)]
    places = [(number, row) for number, column in enumerate(columns) for row in range(len(column))]
    wanted = data.draw(st.lists(st.sampled_from(places), max_size=30)) if places else []
    column_of, rows = np.array([*wanted, (0, 0)], np.int64).T[:, :-1]
    gathered = Ragged.gather(columns, rows, column_of)
    assert gathered.to_list() == [list(columns[number][row]) for number, row in wanted]
    assert gathered.offsets[0] == 0


def test_columns_of_different_kinds_are_not_gathered_together():
    columns = [of_lengths([1], "uint8"), of_lengths([1], "int8")]
    with pytest.raises(TypeError, match="a column of int8 does not continue one of uint8"):
        Ragged.gather(columns, np.array([0]), np.array([1]))


@pytest.mark.parametrize(("rows", "column_of"), [([-1], [0]), ([0], [-1]), ([0], [2]), ([2], [1]), ([3], [0])])
def test_a_row_that_no_column_has_is_an_error(way, rows, column_of):
    columns = [of_lengths([1, 2, 3], "uint8"), of_lengths([1, 2], "uint8")]
    with pytest.raises(IndexError):
        Ragged.gather(columns, np.array(rows), np.array(column_of))
