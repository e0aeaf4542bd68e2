"""Rows of numbers in bytes: as many for each row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pyloader.columns import Column, Columns, ColumnSpec
from pyloader.write.rows import Rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["ArrayForm"]


class ArrayForm:
    """Each row the bytes of its numbers, column after column: of the same width for all rows.

    Args:
      specs: What the columns are, all of kind "array".
    """

    name = "array"

    def __init__(self, specs: Sequence[ColumnSpec]) -> None:
        self.specs = tuple(replace(spec, dtype=np.dtype(spec.dtype).newbyteorder("=").str) for spec in specs)
        self._places: dict[str, tuple[int, int]] = {}  # column -> its first byte in a row, and how many it has
        self._width = 0
        for spec in self.specs:
            width = np.dtype(spec.dtype).itemsize * math.prod(spec.item_shape)
            self._places[spec.name] = self._width, width
            self._width += width

    def to_rows(self, columns: Columns) -> Rows:
        if columns.keys() != {spec.name for spec in self.specs}:
            known = sorted(spec.name for spec in self.specs)
            raise UnfitColumnsError(f"has columns {sorted(columns)}, but the rows before it have {known}")
        tables = []
        for spec in self.specs:
            values, dtype = columns[spec.name], np.dtype(spec.dtype)
            if isinstance(values, np.ndarray):
                values = values.astype(values.dtype.newbyteorder("="), copy=False)  # as readers give it
            if not isinstance(values, np.ndarray) or (values.dtype, values.shape[1:]) != (dtype, spec.item_shape):
                raise UnfitColumnsError(f"has {_described(spec.name, values)}, but the rows before it are {spec}")
            flat = np.ascontiguousarray(values).reshape(len(values), -1)
            tables.append(flat.view(np.uint8).reshape(len(values), -1))
        return Rows.of_width((tables[0] if len(tables) == 1 else np.concatenate(tables, axis=1)).tobytes(), self._width)

    def to_columns(self, rows: Rows) -> Columns:
        return {spec.name: self.column(rows, spec) for spec in self.specs}

    def column(self, rows: Rows, spec: ColumnSpec) -> np.ndarray:
        """Return one of the columns that `rows` were made of."""
        start, width = self._places[spec.name]
        table = np.frombuffer(rows.data, np.uint8).reshape(len(rows), self._width)
        part = np.ascontiguousarray(table[:, start : start + width])
        return part.reshape(-1).view(spec.dtype).reshape(len(rows), *spec.item_shape)


def _described(name: str, values: Column) -> str:
    if isinstance(values, np.ndarray):
        return str(ColumnSpec(name, "array", values.dtype.str, values.shape[1:]))
    return f"{name}: a list"
