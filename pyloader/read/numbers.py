"""Lists of Python numbers -> arrays, exactly: a number that would change is an error, not another number."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyloader.columns import Column

__all__ = ["NumberError", "as_array", "as_column"]

_LARGEST_EXACT = 2**53  # in float64
_WIDER = "Name a wider dtype for it: dtypes={...}"


class NumberError(ValueError):
    """A value does not fit its column's dtype.

    Args:
      row: Its row, counted from 0.
      what: What it is, as the rest of a sentence that begins with the column's name.
      hint: What to do about it.
    """

    def __init__(self, row: int, what: str, hint: str = "") -> None:
        super().__init__(row, what, hint)
        self.row, self.what, self.hint = row, what, hint


def as_column(values: list[Any]) -> Column:
    """Return an array if all `values` are numbers, else `values` themselves.

    All int: int64.  All float, or int and float: float64.  All bool: bool.

    Raises:
      NumberError: an int is beyond int64, or among floats and not exact in float64.
    """
    types = set(map(type, values))
    if types == {bool}:
        return np.array(values, np.bool_)
    if types == {int}:
        return as_array(values, np.dtype(np.int64))
    if types == {float}:
        return np.array(values, np.float64)
    if types == {int, float}:
        for row, value in enumerate(values):
            if type(value) is int and abs(value) > _LARGEST_EXACT and float(value) != value:
                raise NumberError(row, f"is {value}, among floats, and float64 cannot hold it exactly.", _WIDER)
        return np.array(values, np.float64)
    return values


_WRAPS = np.lib.NumpyVersion(np.__version__) < "2.0.0"  # NumPy 1 makes 2**64 - 1 of -1, and only warns


def as_array(values: list[Any], dtype: np.dtype[Any]) -> np.ndarray:
    """Return numbers, or lists of them of equal lengths, as an array of `dtype`.

    A float dtype may round them, though not to infinity; nothing else may change.

    Raises:
      NumberError: a value is no number, does not fit, or is a list of another length than the first row's.
    """
    base, row_shape = dtype.base, dtype.shape
    if not values:
        return np.empty((0, *row_shape), base)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            wide = _widest(values, base)
            array = wide.astype(base, copy=False)
            if base.kind == "f":  # rounded is well, but not to infinity
                exact = np.isfinite(array) | ~np.isfinite(wide)
            elif wide.dtype.kind == "f":  # ints among floats have been rounded to floats already, if they are large
                exact = (array == wide) & (np.abs(wide) < _LARGEST_EXACT)
            else:
                exact = array == wide
    except (ValueError, TypeError, OverflowError) as exc:
        raise _culprit(values, dtype) from exc
    if row_shape and array.shape[1:] != row_shape:
        raise NumberError(0, f"has rows of shape {list(array.shape[1:])}, not {list(row_shape)}.")
    if not exact.all():
        row = int(np.argmin(exact.reshape(len(values), -1).all(axis=1)))
        raise NumberError(row, f"is {_short(values[row])}, which {base} cannot hold.", _WIDER)
    return array


def _widest(values: list[Any], base: np.dtype[Any]) -> np.ndarray:
    """Return `values` in the dtype that holds them as they are."""
    types = set(map(type, values))
    if types == {int}:
        if _WRAPS and base.kind == "u" and min(values) < 0:
            raise OverflowError("a number below 0 is not unsigned")
        return np.array(values, np.uint64 if base.kind == "u" else np.float64 if base.kind == "f" else np.int64)
    if types <= {int, float, bool, list}:
        wide = np.array(values)
        if wide.dtype.kind in "biuf":
            return wide
    raise TypeError("not all of them are numbers")


def _culprit(values: list[Any], dtype: np.dtype[Any]) -> NumberError:
    """Return the error for the first row that keeps `values` from being an array, found one by one."""
    length = len(values[0]) if isinstance(values[0], list) else None
    for row, value in enumerate(values):
        if type(value) not in (int, float, bool, list):
            kind = "null" if value is None else f"a {type(value).__name__}"
            return NumberError(row, f"is {kind} ({_short(value)}), not a number.")
        if (len(value) if isinstance(value, list) else None) != length:
            return NumberError(row, f"is {_short(value)}; the first row's is {_short(values[0])}.")
        if len(values) > 1:
            try:
                as_array([value], dtype)
            except NumberError as exc:
                return NumberError(row, exc.what, exc.hint)
    return NumberError(0, f"is {_short(values[0])}, which {dtype.base} cannot hold.", _WIDER)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
