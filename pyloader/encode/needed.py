"""What the built-in Datasets need of a batch, and how they say that it is missing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyloader.columns import Column, Columns
from pyloader.errors import BadRowsError, BatchEncodeError

__all__ = ["needed_column", "needed_keys", "refuse_rows"]


def needed_column(columns: Columns, name: str, *, what_for: str, hint: str) -> Column:
    """Return a column.

    Args:
      columns: One batch.
      name: The column.
      what_for: Of what it is, or for what: "of images".
      hint: How to name another.

    Raises:
      BatchEncodeError: there is no such column.
    """
    if name in columns:
        return columns[name]
    found = ", ".join(map(repr, columns))
    raise BatchEncodeError(f"there is no column {name!r} {what_for}, but {found}.", hint)


def needed_keys(keys: np.ndarray | None, *, instead: str) -> np.ndarray:
    """Return the rows' keys, which crop="random" draws from; `instead` is the crop that needs none.

    Raises:
      BatchEncodeError: there are none.
    """
    if keys is None:
        what = "crop='random' draws from the rows' keys, and there are none."
        raise BatchEncodeError(what, f"Use crop={instead!r}")
    return keys


def refuse_rows(bad: Mapping[int, str], column: str, hint: str = "") -> None:
    """Raise BadRowsError if there are bad rows, each with what is said of its value in the column: "is empty"."""
    if bad:
        raise BadRowsError({row: f"{column!r} {reason}" for row, reason in bad.items()}, hint)
