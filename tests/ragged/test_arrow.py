"""Arrow's columns of lists and binaries become ragged ones, and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pyloader.ragged import Ragged

NUMBERS = [[7, 8, 9], [], [1], [2, 3]]
BYTES = [b"to", b"", b"be", b"\0\xff"]

ARROW_LISTS = [pa.list_(pa.int32()), pa.large_list(pa.int32()), pa.list_(pa.float16()), pa.list_(pa.bool_())]
ARROW_BYTES = [pa.binary(), pa.large_binary()]


@pytest.mark.parametrize("kind", [*ARROW_LISTS, *ARROW_BYTES], ids=str)
@pytest.mark.parametrize("cut", [slice(0, 4), slice(1, 3), slice(2, 2)], ids=str)
def test_arrow_columns_come_with_the_same_rows(kind, cut):
    rows = (
        BYTES if kind in ARROW_BYTES else [[bool(v) for v in row] if kind == ARROW_LISTS[3] else row for row in NUMBERS]
    )
    if kind == ARROW_LISTS[2]:
        rows = [np.array(row, np.float16) for row in NUMBERS]
    array = pa.array(rows, kind)[cut]
    column = Ragged.from_arrow(array)
    assert column.is_bytes is (kind in ARROW_BYTES)
    assert column.to_list() == [row if isinstance(row, bytes) else list(row) for row in rows[cut]]
    assert Ragged.from_arrow(pa.chunked_array([array, array])).to_list() == column.to_list() * 2
    assert Ragged.from_arrow(pa.chunked_array([array])) == column
    assert Ragged.from_arrow(column.to_arrow()) == column


def test_arrow_columns_of_equal_rows_come_too():
    pairs = pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int64(), 2))
    assert Ragged.from_arrow(pairs[1:]).to_list() == [[3, 4], [5, 6]]
    hashes = pa.array([b"ab", b"cd", b"ef"], pa.binary(2))
    assert Ragged.from_arrow(hashes[1:]).to_list() == [b"cd", b"ef"]
    assert Ragged.from_arrow(pa.chunked_array([], pa.list_(pa.int16()))).dtype == np.int16


def test_arrow_values_are_not_copied_either_way():
    for array in (pa.array(NUMBERS, pa.list_(pa.int32())), pa.array(BYTES)):
        column = Ragged.from_arrow(array)
        buffer = array.buffers()[-1]
        assert column.values.__array_interface__["data"][0] == buffer.address
        assert column.to_arrow().buffers()[-1].address == buffer.address


@pytest.mark.parametrize(
    ("array", "error", "match"),
    [
        (pa.array([[1], None]), ValueError, "row 1 is null"),
        (pa.array([b"a", b"b", None])[1:], ValueError, "row 1 is null"),
        (pa.chunked_array([pa.array([[1]]), pa.array([None], pa.list_(pa.int64()))]), ValueError, "row 1 is null"),
        (pa.array([[1], [], [2, None]]), ValueError, "row 2 holds null among its values"),
        (pa.array([[None], [], [2, None]])[1:], ValueError, "row 1 holds null among its values"),
        (pa.array(["a"]), TypeError, "an Arrow column of string is not one of lists"),
        (pa.array([1]), TypeError, "an Arrow column of int64 is not one of lists"),
        (pa.array([["a"]]), TypeError, "does not hold lists of numbers"),
        (pa.array([[[1]]]), TypeError, "does not hold lists of numbers"),
    ],
)
def test_arrow_columns_with_nulls_or_of_other_types_are_refused(array, error, match):
    with pytest.raises(error, match=match):
        Ragged.from_arrow(array)
