"""How a row is laid out in bytes on its way to a chunk: as a JSON line, as packed values, or as the bytes of arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
import numpy as np

from pyloader.columns import Column, Columns, ColumnSpec, row_count
from pyloader.write.kinds import KindsOfColumns, kind_of, specs_of_kinds
from pyloader.write.rows import Rows

__all__ = ["ArrayForm", "Form", "RecordForm", "UnfitColumnsError"]


class UnfitColumnsError(ValueError):
    """These columns cannot be laid out like this; the text says which and why."""


class RecordForm:
    """Each row a record: a JSON line, or packed as MessagePack, which holds bytes too.

    A NaN is null in JSON; in a column of numbers null is read as NaN again.

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
        values = _learn(columns, self.kinds, allow_bytes=self.name == "packed")
        names = list(values)
        samples = [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]
        if self.name == "json":
            return Rows.of_lines(msgspec.json.Encoder().encode_lines(samples))
        return Rows.of_pieces(list(map(msgspec.msgpack.Encoder().encode, samples)))

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
        self._widths = [np.dtype(spec.dtype).itemsize * math.prod(spec.item_shape) for spec in self.specs]
        self._width = sum(self._widths)

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
        table = np.frombuffer(rows.data, np.uint8).reshape(len(rows), self._width)
        columns: Columns = {}
        start = 0
        for spec, width in zip(self.specs, self._widths, strict=True):
            part = np.ascontiguousarray(table[:, start : start + width])
            columns[spec.name] = part.reshape(-1).view(spec.dtype).reshape(len(rows), *spec.item_shape)
            start += width
        return columns


def _learn(columns: Columns, kinds: KindsOfColumns, *, allow_bytes: bool) -> dict[str, list[Any]]:
    """Add the kinds of the values in `columns` to `kinds`; return the columns as lists of plain values."""
    if kinds and columns.keys() != kinds.keys():
        raise UnfitColumnsError(f"has columns {sorted(columns)}, but the rows before it have {sorted(kinds)}")
    plain = {name: _plain(values) for name, values in columns.items()}
    if not row_count(columns):
        return {name: [] for name in columns}
    for name, values in plain.items():
        kinds.setdefault(name, set()).update(_kinds_of(name, values, columns[name], allow_bytes=allow_bytes))
    return plain


def _kinds_of(name: str, values: list[Any], column: Column, *, allow_bytes: bool) -> set[str]:
    if isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind in "bf":
        return {"bool" if column.dtype.kind == "b" else "float"}
    kinds = set(map(kind_of, values)) if int in set(map(type, values)) else {kind_of(v) for v in _one_of_each(values)}
    if "" in kinds:
        odd = next(value for value in values if not kind_of(value))
        raise UnfitColumnsError(f"has a {type(odd).__name__} in column {name!r}, which a record cannot hold")
    if kinds & {"list", "dict"} and not all(map(_is_plain, values)):
        raise UnfitColumnsError(f"has lists or dicts in column {name!r} with values that JSON cannot hold")
    if "bytes" in kinds and not allow_bytes:
        raise UnfitColumnsError(f"has bytes in column {name!r}, which JSON cannot hold; write parquet instead")
    return kinds


def _is_plain(value: Any) -> bool:
    """Tell whether all that a list or dict holds has a JSON form that reads back the same."""
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_is_plain, value.values()))
    return value is None or type(value) in (bool, int, float, str)


def _one_of_each(values: list[Any]) -> list[Any]:
    return list({type(value): value for value in values}.values())


def _plain(values: Column) -> list[Any]:
    if isinstance(values, np.ndarray):
        plain: list[Any] = values.tolist()
        return plain
    if any(isinstance(value, np.generic | np.ndarray) for value in values):
        return [value.tolist() if isinstance(value, np.generic | np.ndarray) else value for value in values]
    return [list(value) if isinstance(value, tuple) else value for value in values]


def _columns_of(samples: Sequence[dict[str, Any]], specs: Sequence[ColumnSpec]) -> Columns:
    columns: Columns = {}
    for spec in specs:
        values = [sample[spec.name] for sample in samples]
        if spec.kind == "array":
            nan = spec.dtype == "<f8" and None in values
            values = [math.nan if value is None else value for value in values] if nan else values
            columns[spec.name] = np.array(values, spec.dtype)
        else:
            columns[spec.name] = values
    return columns


def _described(name: str, values: Column) -> str:
    if isinstance(values, np.ndarray):
        return str(ColumnSpec(name, "array", values.dtype.str, values.shape[1:]))
    return f"{name}: a list"


Form: TypeAlias = RecordForm | ArrayForm
