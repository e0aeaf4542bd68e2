"""How a row is laid out in bytes on its way to a chunk: as a JSON line or as packed values here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np

from pyloader.columns import Columns, ColumnSpec
from pyloader.write.array_form import ArrayForm
from pyloader.write.arrow_form import TableForm
from pyloader.write.kinds import KindsOfColumns, specs_of_kinds
from pyloader.write.ragged_form import RaggedForm
from pyloader.write.record_values import learn_values, text_that_no_file_holds
from pyloader.write.rows import Rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["Form", "RecordForm"]


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


Form: TypeAlias = RecordForm | ArrayForm | RaggedForm | TableForm
