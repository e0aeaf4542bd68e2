"""How a row is laid out in bytes on its way to a chunk: as a JSON line, as packed values, or as the bytes of arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
import numpy as np

from pyloader.columns import Column, Columns, ColumnSpec
from pyloader.write.arrow_form import TableForm
from pyloader.write.kinds import KindsOfColumns, specs_of_kinds
from pyloader.write.record_values import learn_values, text_that_no_file_holds
from pyloader.write.rows import Rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["ArrayForm", "Form", "RecordForm"]


class RecordForm:
    """Each row a record: a JSON line, or packed as MessagePack, which holds bytes too.

    A NaN is null in JSON; in a column of nothing but numbers null is read as NaN again.  Each value comes back as it
    was, or is refused.

    Args:
      name: "json" or "packed".
      kinds: What is known of the columns; what is laid out adds to it.
    """

    def __init__(self, name: str, kinds: KindsOfColumns) -> None:
        self.name, self.kinds = name, kinds

    @property
    def specs(self) -> tuple[ColumnSpec, ...]:
        """What the columns are, over everything laid out so far."""
        return specs_of_kinds(self.kinds)

    def to_rows(self, columns: Columns) -> Rows:
        """Lay out the rows of `columns`.  Raises UnfitColumnsError."""
        values = learn_values(columns, self.kinds, form=self.name)
        names = list(values)
        samples = [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]
        try:
            if self.name == "json":
                return Rows.of_lines(msgspec.json.Encoder().encode_lines(samples))
            return Rows.of_pieces(list(map(msgspec.msgpack.Encoder().encode, samples)))
        except UnicodeEncodeError as exc:
            raise text_that_no_file_holds(dict(values)) from exc

    def to_columns(self, rows: Rows) -> Columns:
        """Return the columns that `rows` were made of."""
        if self.name == "json":
            return _columns_of(msgspec.json.Decoder().decode_lines(rows.data), self.specs)
        return _columns_of(list(map(msgspec.msgpack.Decoder().decode, rows.pieces())), self.specs)


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


def _columns_of(samples: Sequence[dict[str, Any]], specs: Sequence[ColumnSpec]) -> Columns:
    columns: Columns = {}
    for spec in specs:
        values = [sample[spec.name] for sample in samples]
        if spec.kind == "array":
            columns[spec.name] = _array(values, spec)
        else:
            columns[spec.name] = values
    return columns


def _array(values: list[Any], spec: ColumnSpec) -> np.ndarray:
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "mM":
        return np.array(values, np.int64).reshape(len(values), *spec.item_shape).view(dtype)
    if spec.dtype != "<f8" or spec.item_shape:
        return np.array(values, dtype).reshape(len(values), *spec.item_shape)
    array = np.array([math.nan if value is None else value for value in values] if None in values else values, dtype)
    for row in np.flatnonzero(np.abs(array) >= 2**53).tolist():
        if type(values[row]) is int and int(array[row]) != values[row]:
            what = f"has {values[row]} in column {spec.name!r}, among fractions, which float64 cannot hold exactly"
            raise UnfitColumnsError(what, row, hint="Write it as text")
    return array


def _described(name: str, values: Column) -> str:
    if isinstance(values, np.ndarray):
        return str(ColumnSpec(name, "array", values.dtype.str, values.shape[1:]))
    return f"{name}: a list"


Form: TypeAlias = RecordForm | ArrayForm | TableForm
