"""The values of records: taken only when JSON, or MessagePack on the way to Parquet, gives them back as they were."""

from __future__ import annotations

import marshal
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from pyloader.columns import Column, Columns, row_count
from pyloader.ragged import Ragged
from pyloader.write.kinds import INT64, KindsOfColumns, array_kind, kind_of
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["comes_back", "learn_values", "text_that_no_file_holds", "unfit_together"]

_ENCODE = {"json": msgspec.json.Encoder().encode, "packed": msgspec.msgpack.Encoder().encode}
_DECODE = {"json": msgspec.json.Decoder().decode, "packed": msgspec.msgpack.Decoder().decode}
_NUMBERS = {"int", "float"}
_LARGEST_EXACT = 2**53  # in float64


def learn_values(columns: Columns, kinds: KindsOfColumns, *, form: str) -> dict[str, list[Any]]:
    """Add the kinds of the values in `columns` to `kinds`; return the columns as lists of plain values.

    Beside what `kind_of` gives there are "nan"; "wide", a whole number that float64 would round; and, on the way to
    Parquet, the dtype of arrays.

    Args:
      columns: The rows.
      kinds: What is known of the columns; changed in place.
      form: "json" or "packed".

    Raises:
      UnfitColumnsError: a value would come back as another one; the text names it, and its column.
    """
    if kinds and columns.keys() != kinds.keys():
        raise UnfitColumnsError(f"has columns {sorted(columns)}, but the rows before it have {sorted(kinds)}")
    if not row_count(columns):
        return {name: [] for name in columns}
    plain = {}
    for name, column in columns.items():
        plain[name], found = _plain_numbers(name, column, form) or _plain_values(name, column, form)
        before = kinds.setdefault(name, set())
        _check_together(name, plain[name], before | found, form)
        before |= found
    return plain


def comes_back(value: Any, form: str) -> bool:
    """Tell whether a value is the same, type by type and bit by bit, when it has been laid out and read again."""
    try:
        # Version 2 tells every type from every other, and has no references: the same bytes, the same value.
        return marshal.dumps(_DECODE[form](_ENCODE[form](value)), 2) == marshal.dumps(value, 2)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return False


def text_that_no_file_holds(columns: Columns) -> UnfitColumnsError:
    """Return the error for the half of a surrogate pair that kept `columns` from being encoded."""
    for name, values in columns.items():
        if not _is_unicode(name):
            return UnfitColumnsError(f"has the column {name!r}, a name with half of a surrogate pair")
        for row, value in enumerate(values):
            if type(value) is str and not _is_unicode(value):
                what = f"has {_short(value)} in column {name!r}, with half of a surrogate pair, which UTF-8 cannot hold"
                return UnfitColumnsError(what, row)
    return UnfitColumnsError("has text that UTF-8 cannot hold")


def _plain_numbers(name: str, column: Column, form: str) -> tuple[list[Any], set[str]] | None:
    """Return an array of numbers as plain values, and their kinds; None for any other column."""
    if not isinstance(column, np.ndarray) or column.dtype.kind not in "biufmM" or column.dtype.itemsize > 8:
        return None
    kind = column.dtype.kind
    if form == "packed" and (own := array_kind(column)):
        if kind in "mM":
            if np.isnat(column).any():
                raise UnfitColumnsError(
                    f"has NaT in column {name!r}, which Parquet cannot hold", _first(np.isnat(column))
                )
            column = column.astype(column.dtype.newbyteorder("="), copy=False).view(np.int64)
        return column.tolist(), {own}
    if kind in "mM":
        raise _refused(name, column[0], 0, form)
    kinds = {{"b": "bool", "f": "float"}.get(kind, "int")} if column.ndim == 1 else {"list"}
    if kind == "f" and form == "json" and not np.isfinite(column).all():
        bad = np.isinf(column) if column.ndim == 1 else ~np.isfinite(column)
        if bad.any():
            raise _refused(name, column[_first(bad)], _first(bad), form)
        kinds.add("nan")
    if kind in "iu" and column.ndim == 1:
        kinds |= _whole_kinds(name, column.tolist(), parquet_holds=True)
    return column.tolist(), kinds


def _plain_values(name: str, column: Column, form: str) -> tuple[list[Any], set[str]]:
    values = _plain(column)
    types = set(map(type, values))
    kinds = {kind_of(kind) for kind in types}
    if "" in kinds or ("bytes" in kinds and form == "json"):
        row = next(row for row, value in enumerate(values) if kind_of(type(value)) in ("", "bytes"))
        raise _refused(name, values[row], row, form)
    if int in types:
        kinds |= _whole_kinds(name, values)
    if float in types:
        fractions = [value for value in values if type(value) is float]
        if not all(map(math.isfinite, fractions)):
            if form == "json" and any(map(math.isinf, fractions)):
                row = next(row for row, value in enumerate(values) if type(value) is float and math.isinf(value))
                raise _refused(name, values[row], row, form)
            kinds |= {"nan"} if form == "json" else set()
    if types & {list, dict}:
        nested = values if types <= {list, dict} else [value for value in values if type(value) in (list, dict)]
        if not comes_back(nested, form):
            row = next(row for row, value in enumerate(values) if not comes_back(value, form))
            raise _refused(name, values[row], row, form)
    return values, kinds


def _whole_kinds(name: str, values: list[Any], *, parquet_holds: bool = False) -> set[str]:
    """Return {"wide"} when float64 would round one of the whole numbers in `values`, which may hold other values."""
    whole = [value for value in values if type(value) is int]
    if max(whole) not in INT64 or min(whole) not in INT64:
        row = next(row for row, value in enumerate(values) if type(value) is int and value not in INT64)
        what = f"has {_short(values[row])} in column {name!r}, which int64 cannot hold"
        raise UnfitColumnsError(what, row, parquet_holds=parquet_holds, hint="Write it as text")
    large = max(max(whole), -min(whole)) > _LARGEST_EXACT
    return {"wide"} if large and any(map(_is_wide, whole)) else set()


def unfit_together(kinds: set[str]) -> bool:
    """Tell whether values of these kinds cannot stand in one column of records."""
    if any(kind.startswith("array") for kind in kinds) and len(kinds) > 1:
        return True
    return {"wide", "float"} <= kinds or ("nan" in kinds and bool(kinds - _NUMBERS - {"nan", "wide"}))


def _check_together(name: str, values: list[Any], kinds: set[str], form: str) -> None:
    """Refuse kinds of values that cannot stand in one column; one of them is in `values`."""
    if not unfit_together(kinds):
        return
    arrays = {kind for kind in kinds if kind.startswith("array")}
    if arrays and len(kinds) > 1:
        dtypes = sorted(kind.split(" ", 1)[-1] for kind in kinds)
        raise UnfitColumnsError(f"has column {name!r} as {dtypes[0]} and {dtypes[1]}; give all rows the same dtype")
    if {"wide", "float"} <= kinds:
        row = _row_where(values, _is_wide, otherwise=lambda value: type(value) is float)
        what = f"has {_short(values[row])} in column {name!r}, where fractions and whole numbers above 2**53 meet"
        raise UnfitColumnsError(f"{what}, and float64 cannot hold these exactly", row, hint="Write them as text")
    others = kinds - _NUMBERS - {"nan", "wide"}
    if "nan" in kinds and others:
        row = _row_where(values, lambda value: value != value, otherwise=lambda value: type(value) not in (int, float))
        beside = " and ".join(sorted(others))
        what = (
            f"has {_short(values[row])} in column {name!r}, where NaN and {beside} meet, and JSON has one null for both"
        )
        raise UnfitColumnsError(what, row, parquet_holds=others == {"null"})


def _refused(name: str, value: Any, row: int, form: str) -> UnfitColumnsError:
    if form == "json":
        is_flat = not isinstance(value, np.ndarray) or value.ndim < 2
        holds = is_flat and (isinstance(value, np.ndarray | np.generic | bytes | float) or _parquet_holds(value))
        what = f"has {_described(value)} in column {name!r}, which JSON cannot hold"
        return UnfitColumnsError(what, row, parquet_holds=holds)
    return UnfitColumnsError(f"has {_described(value)} in column {name!r}, which no record can hold", row)


def _parquet_holds(value: Any) -> bool:
    """Tell whether a list or dict that JSON cannot hold is the same in Parquet; for the advice in an error."""
    try:
        import pyarrow

        return comes_back(value, "packed") and marshal.dumps(pyarrow.array([value])[0].as_py(), 2) == marshal.dumps(
            value, 2
        )
    except (ImportError, TypeError, ValueError, OverflowError):
        return False


def _plain(values: Column) -> list[Any]:
    if isinstance(values, np.ndarray):
        plain: list[Any] = values.tolist()
        return plain
    if isinstance(values, Ragged):
        return values.to_list()
    types = set(map(type, values))
    if any(issubclass(kind, np.generic | np.ndarray) for kind in types):
        values = [value.tolist() if isinstance(value, np.generic | np.ndarray) else value for value in values]
    return [list(value) if type(value) is tuple else value for value in values] if tuple in types else values


def _is_wide(value: Any) -> bool:
    return type(value) is int and abs(value) > _LARGEST_EXACT and int(float(value)) != value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _first(bad: np.ndarray) -> int:
    return int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))


def _row_where(values: list[Any], test: Callable[[Any], bool], *, otherwise: Callable[[Any], bool]) -> int:
    for wanted in (test, otherwise):
        for row, value in enumerate(values):
            if wanted(value):
                return row
    return 0


def _described(value: Any) -> str:
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind == "f":
        value = value.tolist()
    if type(value) in (float, list, dict) or value is None:
        return _short(value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return str(value)
    noun = type(value).__name__
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun} ({_short(value)})"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # a value of any class
        return "a value without a repr"
    return text if len(text) <= 60 else f"{text[:57]}..."
