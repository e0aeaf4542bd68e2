"""Lists of numbers become arrays that keep their kind; arrays stay the objects they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import DTypeLike

from pyloader.collate.conversion import as_dtype, as_numbers, holds_numbers
from pyloader.columns import Column, Columns
from pyloader.datacollator import DataCollator
from pyloader.errors import CollateError

__all__ = ["NumpyDataCollator", "check_names"]


class NumpyDataCollator(DataCollator):
    """Makes NumPy arrays of the columns that hold numbers; what the DataLoader uses unless told otherwise.

    An array stays the same object.  A list of int becomes int64, of bool bool, of float float64 (ints and bools among
    them too), of int with bools among them int64; a list of NumPy numbers keeps their dtype.  A list of rows of equal
    shape, which may be lists, tuples or arrays, becomes an array with more dimensions (int64 when the rows are empty).
    A list of anything else (str, bytes, dict, nothing but None) stays a list.  No column is left out.

    The kind goes by the values of each batch: a column of floats in which one batch happens to hold only ints is int64
    there.  `dtypes` settles it.

    Args:
      dtypes: A dict, column -> dtype, for the columns that are to have another one: {"score": "float32"}.
    """

    def __init__(self, *, dtypes: Mapping[str, DTypeLike] | None = None) -> None:
        self.dtypes = {name: np.dtype(dtype) for name, dtype in (dtypes or {}).items()}

    def collate_batch(self, columns: Columns) -> dict[str, Column]:
        """Return a dict, name -> array, or list where there are no numbers.

        Raises:
          CollateError: rows have unequal shapes, None or a str is among numbers, an int does not fit in int64, or
            `dtypes` names a column that is not there or a dtype that cannot hold its numbers.
        """
        check_names("dtypes", self.dtypes, columns)
        batch: dict[str, Column] = {}
        for name, values in columns.items():
            column = as_numbers(name, values) if isinstance(values, list) and holds_numbers(values) else values
            batch[name] = as_dtype(name, column, self.dtypes[name]) if name in self.dtypes else column
        return batch


def check_names(option: str, names: Iterable[str], columns: Columns) -> None:
    """Raise CollateError when the option names a column that is not there: it would silently do nothing."""
    for name in names:
        if name not in columns:
            raise CollateError(f"{option} names the column {name!r}; the batch has {', '.join(map(repr, columns))}.")
