"""What stands for a missing column, for null, and for an empty field of a CSV file: `fill`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from pyloader.columns import Column, Columns, row_count
from pyloader.write.number_columns import numbers_in
from pyloader.write.record_values import comes_back

__all__ = ["check_fill_of_lines", "filled_columns", "filled_fields", "filled_table"]


def check_fill_of_lines(fill: Mapping[str, Any]) -> None:
    """Raise ValueError for a value that would not stand in a JSON line as it is; a NaN does, among numbers."""
    for name, value in fill.items():
        if value == value and not comes_back(value, "json"):
            raise ValueError(f"fill: {name} cannot be {value!r}, which JSON cannot hold")


def filled_columns(columns: Columns, fill: Mapping[str, Any], filled: dict[str, int]) -> Columns:
    """Return columns of arrays or texts, which hold no null, with those that are missing; counted in `filled`."""
    missing: Columns = {}
    for name, value in fill.items():
        if name not in columns:
            number = type(value) in (bool, int, float)
            missing[name] = np.full(row_count(columns), value) if number else [value] * row_count(columns)
            _count(filled, name, row_count(columns))
    return columns | missing


def filled_fields(
    columns: Columns, fill: Mapping[str, Any], filled: dict[str, int], *, as_arrays: bool, keeps_gaps: bool
) -> Columns:
    """Return columns of fields with the fields that are empty, or missing, filled in; counted in `filled`.

    Fields are text, and so is what fills them; but no text is a NaN.

    Args:
      columns: Texts.
      fill: Column -> the value.
      filled: Changed in place.
      as_arrays: Whether all columns become arrays: then one with a NaN becomes numbers here.
      keeps_gaps: Whether a NaN is put in later, when it is known which columns are numbers.
    """
    done: Columns = dict(columns)
    for name, value in fill.items():
        texts = columns.get(name) or [""] * row_count(columns)
        if not (num_gaps := list(texts).count("")):
            continue
        _count(filled, name, num_gaps)
        is_nan = isinstance(value, float) and math.isnan(value)
        if is_nan and as_arrays:
            done[name] = [math.nan if number is None else number for number in _numbers(texts)]
        elif is_nan and keeps_gaps:
            done[name] = texts
        else:
            text = value if isinstance(value, str) else "nan" if is_nan else msgspec.json.encode(value).decode()
            done[name] = [field or text for field in texts]
    return done


def filled_table(table: Any, fill: Mapping[str, Any], filled: dict[str, int]) -> Any:
    """Return an Arrow table without nulls in the columns that `fill` names; these are counted in `filled`."""
    import pyarrow

    for name, value in fill.items():
        index = table.column_names.index(name) if name in table.column_names else -1
        if index < 0 or value is None or not (num_gaps := table.column(index).null_count):
            continue
        _count(filled, name, num_gaps)
        field = table.schema.field(index)
        column = table.column(index)
        if pyarrow.types.is_nested(field.type):  # which Arrow cannot fill
            values = [value if found is None else found for found in column.to_pylist()]
            column = pyarrow.chunked_array([pyarrow.array(values, field.type)])
        else:
            column = column.fill_null(pyarrow.scalar(value, field.type))
        table = table.set_column(index, field, column)
    return table


def _numbers(texts: Column) -> list[Any]:
    return numbers_in(texts) if any(texts) else [None] * len(texts)


def _count(filled: dict[str, int], name: str, number: int) -> None:
    filled[name] = filled.get(name, 0) + number
