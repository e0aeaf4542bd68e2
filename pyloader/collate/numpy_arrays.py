"""Lists of numbers become arrays that keep their kind: each value exactly, or an error that says which row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pyloader.columns import Column, Columns
from pyloader.datacollator import DataCollator
from pyloader.errors import CollateError
from pyloader.ragged import Ragged

__all__ = [
    "NumpyDataCollator",
    "as_dtype",
    "as_numbers",
    "check_arrays_alike",
    "check_names",
    "holds_numbers",
    "is_row",
    "unequal_rows",
]

_EXACT_IN_FLOAT64 = 2**53  # below it, float64 holds every int
_INT64 = np.iinfo(np.int64)
_PADDED = "Use PaddingDataCollator(pad_value=0), or cut them in batch_encode"


class NumpyDataCollator(DataCollator):
    """Makes NumPy arrays of the columns that hold numbers; what the DataLoader uses unless told otherwise.

    An array stays the same object.  A list of int becomes int64, of bool bool, of float float64 (ints and bools among
    them too), of int with bools among them int64; a list of NumPy numbers keeps their dtype.  A list of rows of equal
    shape, which may be lists, tuples or arrays, becomes an array with more dimensions (int64 when the rows are empty).
    A list of anything else (str, bytes, dict, nothing but None) stays a list.  A `Ragged` of bytes becomes a list of
    them; one of numbers is an error, since PaddingDataCollator makes an array of it.  No column is left out.

    The kind goes by the values of each batch: a column of floats in which one batch happens to hold only ints is int64
    there.  `dtypes` settles it.

    Args:
      dtypes: A dict, column -> dtype, for the columns that are to have another one: {"score": "float32"}.
    """

    is_thread_safe = True

    def __init__(self, *, dtypes: Mapping[str, DTypeLike] | None = None) -> None:
        self.dtypes = {name: np.dtype(dtype) for name, dtype in (dtypes or {}).items()}

    def collate_batch(self, columns: Columns) -> dict[str, Column]:
        """Return a dict, name -> array, or list where there are no numbers.

        Raises:
          CollateError: rows have unequal shapes, or are ragged; None or a str is among numbers, an int does not fit in
            int64, or `dtypes` names a column that is not there or a dtype that cannot hold its numbers.
        """
        check_names("dtypes", self.dtypes, columns)
        batch: dict[str, Column] = {}
        column: Column
        for name, values in columns.items():
            if isinstance(values, Ragged):
                column = _bytes_of(name, values, has_shapes=f"{name}_shape" in columns)
            else:
                column = as_numbers(name, values) if isinstance(values, list) and holds_numbers(values) else values
            batch[name] = as_dtype(name, column, self.dtypes[name]) if name in self.dtypes else column
        return batch


def check_names(option: str, names: Iterable[str], columns: Columns) -> None:
    """Raise CollateError when the option names a column that is not there: it would silently do nothing."""
    for name in names:
        if name not in columns:
            raise CollateError(f"{option} names the column {name!r}; the batch has {', '.join(map(repr, columns))}.")


def holds_numbers(values: Sequence[Any]) -> bool:
    """Tell, by its first value other than None, whether a list holds numbers, or rows of numbers.

    Rows without any value are taken for rows of numbers.
    """
    first = _first_value(values)
    return any(value is not None for value in values) if first is None else _is_number(first)


def is_row(value: Any) -> bool:
    """Tell whether `value` is a row: a list, a tuple, or an array of at least one dimension."""
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def as_numbers(name: str, values: list[Any], *, rows: Sequence[Any] | None = None) -> np.ndarray:
    """Return the numbers of column `name` as one array.

    Args:
      name: The column.
      values: The numbers, or rows of them.
      rows: The column's rows, when `values` are their items: errors count by them.

    Raises:
      CollateError: the values do not make one array, or not one that holds each of them exactly.
    """
    rows = values if rows is None else rows
    if values and isinstance(values[0], np.ndarray):
        check_arrays_alike(name, values)
        return np.asarray(values)
    try:
        array = np.asarray(values)
    except ValueError as exc:
        raise unequal_rows(name, rows) from exc
    if array.size == 0:
        return array.astype(np.int64)
    # "OSU" is what NumPy makes of numbers mixed with others; uint64 and float64, of ints that int64 cannot hold.
    doubtful = array.dtype.kind in "OSU" or array.dtype == np.uint64
    if array.dtype == np.float64:
        doubtful = bool(np.fmax.reduce(np.abs(array), axis=None) >= _EXACT_IN_FLOAT64)
    if doubtful:
        _check_values(name, rows, as_floats=array.dtype.kind == "f")
    return array


def as_dtype(name: str, values: Column, dtype: np.dtype, *, lengths: np.ndarray | None = None) -> np.ndarray:
    """Return a column of numbers with another dtype: floats may be rounded, ints and bools must stay what they are.

    Args:
      name: The column.
      values: Its numbers.
      dtype: Theirs to be.
      lengths: How many of them each row has, int64 of shape [rows]: errors count by rows.  None where it is one.

    Raises:
      CollateError: the column does not hold numbers, or `dtype` cannot hold one of them.
    """
    if not isinstance(values, np.ndarray) or values.dtype.kind in "OSU":
        raise CollateError(f"dtypes wants {name!r} as {dtype}, and {name!r} does not hold numbers.")
    if values.dtype == dtype:
        return values
    with np.errstate(all="ignore"):  # what overflows is found below
        converted = values.astype(dtype)
        lost = converted != values if dtype.kind in "biu" else np.isinf(converted) & ~np.isinf(values)
    if lost.any():
        place = tuple(int(index[0]) for index in lost.nonzero())
        row = place[0] if lengths is None else int(np.searchsorted(np.cumsum(lengths), place[0], side="right"))
        raise CollateError(f"{name!r} has {values[place]} in row {row}, which {dtype} cannot hold.")
    return converted


def check_arrays_alike(name: str, rows: Sequence[Any], *, first_axis: int = 0) -> None:
    """Raise CollateError unless `rows` are arrays of one dtype and, from `first_axis` on, of one shape."""
    kinds = {row.dtype if isinstance(row, np.ndarray) else type(row) for row in rows}
    if len(kinds) > 1:
        shown = sorted(str(kind) if isinstance(kind, np.dtype) else kind.__name__ for kind in kinds)
        raise CollateError(f"{name!r} has rows of {' and of '.join(shown)}.", "Make them alike in batch_encode")
    if len({row.shape[first_axis:] for row in rows}) > 1:
        raise unequal_rows(name, rows)


def unequal_rows(name: str, rows: Sequence[Any]) -> CollateError:
    """Return the error for rows that do not make one array."""
    _check_values(name, rows)  # when that is the reason, it raises the better error
    hint = _PADDED
    if not all(map(is_row, rows)):
        return CollateError(f"{name!r} has numbers beside rows of numbers.", "Make them alike in batch_encode")
    shapes = sorted({row.shape for row in rows if isinstance(row, np.ndarray)})
    if any(len(shape) != 1 for shape in shapes):
        return CollateError(f"{name!r} has rows of shape {list(shapes[0])} to {list(shapes[-1])}.", hint)
    lengths = [len(row) for row in rows]
    if min(lengths) < max(lengths):
        return CollateError(f"{name!r} has rows of {min(lengths):,} to {max(lengths):,} numbers.", hint)
    return CollateError(f"{name!r} has rows whose parts are of unequal length.", "Make them alike in batch_encode")


def _bytes_of(name: str, column: Ragged, *, has_shapes: bool) -> list[bytes]:
    if column.is_bytes:
        return column.to_list()
    lengths = column.lengths
    found = f", with rows of {lengths.min():,} to {lengths.max():,} numbers" if len(column) else ""
    hint = _PADDED
    if has_shapes:  # images as large as they are: padding would mix up their rows
        apart = f"[row.reshape(shape) for row, shape in zip(columns[{name!r}], columns['{name}_shape'])]"
        hint = f"Write ImageDataset(size=224), or a DataCollator whose collate_batch(columns) makes {apart}"
    raise CollateError(f"{name!r} is ragged{found}.", hint)


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "OSU"
    return isinstance(value, int | float | complex | np.generic) and not isinstance(value, str | bytes)


def _first_value(values: Iterable[Any]) -> Any:
    for value in values:
        found = _first_value(value) if isinstance(value, list | tuple) else value
        if found is not None:
            return found
    return None


def _values_by_row(rows: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    for index, row in enumerate(rows):
        if isinstance(row, list | tuple):
            yield from ((index, value) for _, value in _values_by_row(row))
        else:
            yield index, row


def _check_values(name: str, rows: Sequence[Any], *, as_floats: bool = False) -> None:
    """Raise CollateError for the first value that an array of numbers would not hold, or not exactly."""
    for row, value in _values_by_row(rows):
        if not _is_number(value):
            found = "None" if value is None else f"a value of type {type(value).__name__}"
            hint = "Mend it in read_file or batch_encode"
            if value is None and not any(map(is_row, rows)):
                say = f'DataLoader(nulls="nan") or DataLoader(nulls={{{name!r}: 0}})'
                hint = f"Say what stands for it: {say}; or mend it in read_file or batch_encode"
            raise CollateError(f"{name!r} has {found} among numbers, in row {row}.", hint)
        if type(value) is int and not _INT64.min <= value <= _INT64.max:
            raise CollateError(f"{name!r} has {value} in row {row}, beyond int64.", "Make it smaller in batch_encode")
        if type(value) is int and as_floats and int(float(value)) != value:
            what = f"{name!r} has {value} among floats, in row {row}; float64 cannot hold it."
            raise CollateError(what, "Make them all ints, or all floats, in batch_encode")
