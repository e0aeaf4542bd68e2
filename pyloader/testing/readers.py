"""The contract of a DataReader, to be tested on one's own."""

from __future__ import annotations

import os
import pickle

import numpy as np

from pyloader.columns import Column, Columns, column_specs, difference
from pyloader.datareader import DataReader, read_chunk
from pyloader.testing.parts import check_parts_of_file

__all__ = ["assert_same_columns", "check_reader"]


def check_reader(reader: DataReader, path: str | os.PathLike[str]) -> Columns:
    """Assert that a reader keeps its contract on one chunk file, and return what it read.

    The file is read three times: twice by `reader`, and once by a copy of it that has been through pickle.  Each time
    `read_file` must give the same columns in the same order, with the same dtypes and values, all of one length; and if
    the reader says `returns_new_arrays`, writable arrays that share no memory with those of an earlier answer.

    A reader with `find_parts` and `read_part` is asked for parts of a third and of a tenth of the file, by bytes and by
    rows, twice.  The parts must be the same again, also after a trip through JSON; joined, they must be what
    `read_file` reads; and in a copy of the file where all but a part's ranges are zeros, that part must read the same.

    Raises:
      AssertionError: it does not; the message says what differs, and where.
      ReadFileError: the answer is no set of columns.
    """
    name, place = type(reader).__name__, os.fspath(path)
    first = read_chunk(reader, place)
    second = read_chunk(reader, place)
    assert_same_columns(first, second, f"{name} read {place} twice")
    if reader.returns_new_arrays:
        _assert_new(first, second, name)
    try:
        copy = pickle.loads(pickle.dumps(reader))
    except Exception as exc:
        raise AssertionError(f"{name} cannot be pickled, so it cannot go to another process: {exc}") from exc
    assert_same_columns(first, read_chunk(copy, place), f"{name} and its copy by pickle read {place}")
    check_parts_of_file(reader, place, first)
    return first


def assert_same_columns(columns: Columns, others: Columns, what_happened: str) -> None:
    """Assert that two answers are the same, to the last value and dtype; the message begins with what happened."""
    found = difference(column_specs(others), column_specs(columns))
    assert not found, f"{what_happened}, and the second answer {found}"
    assert list(columns) == list(others), f"{what_happened}: columns {list(columns)}, then {list(others)}"
    for name, values in columns.items():
        assert len(values) == len(others[name]), (
            f"{what_happened}: {len(values):,} rows in {name!r}, then {len(others[name]):,}"
        )
        row = _first_difference(values, others[name])
        assert row is None, f"{what_happened}: row {row:,} of {name!r} is {values[row]!r}, then {others[name][row]!r}"


def _first_difference(values: Column, others: Column) -> int | None:
    for row, (value, other) in enumerate(zip(values, others, strict=True)):
        try:
            np.testing.assert_equal(value, other)  # NaN equals NaN, at any depth
        except AssertionError:
            return row
    return None


def _assert_new(columns: Columns, others: Columns, name: str) -> None:
    says = f"{name} says returns_new_arrays, but"
    for column, array in columns.items():
        if not isinstance(array, np.ndarray):
            continue
        assert array.flags.writeable, f"{says} {column!r} is read-only"
        for other_column, other in others.items():
            shared = isinstance(other, np.ndarray) and np.may_share_memory(array, other)
            assert not shared, f"{says} {column!r} shares memory with {other_column!r} of the second read"
