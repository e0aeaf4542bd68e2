"""Rows of Arrow tables in bytes, to the bit: what goes from Parquet to Parquet keeps its types."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from pyloader.columns import Columns, ColumnSpec
from pyloader.write.arrow_types import is_number_type, spec_of_type
from pyloader.write.rows import Rows, join_rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["TableForm", "check_gaps", "columns_of_table"]


_TABLE_BYTES = 2**19  # laid out at a time: as Python's objects values take several times the memory


class TableForm:
    """Each row its values as MessagePack, laid out as Arrow lays them out: a date is the number of its days.

    Args:
      schema: What the columns are, an Arrow schema in bytes.
      gaps: The columns in which there has been a null; what is laid out adds to it.
    """

    name = "table"

    def __init__(self, schema: bytes, gaps: set[str]) -> None:
        import pyarrow

        self.schema, self._gaps = pyarrow.ipc.read_schema(pyarrow.py_buffer(schema)), gaps

    @property
    def specs(self) -> tuple[ColumnSpec, ...]:
        """What the columns are, over everything laid out so far."""
        return tuple(spec_of_type(field.name, field.type, has_null=field.name in self._gaps) for field in self.schema)

    def to_rows(self, table: Any) -> Rows:
        """Lay out the rows of an Arrow table of the schema.  Raises UnfitColumnsError."""
        import pyarrow

        if not table.schema.equals(self.schema):
            try:
                table = table.cast(self.schema)
            except pyarrow.ArrowException as exc:
                raise UnfitColumnsError(f"has a value that Parquet cannot hold ({exc})") from exc
        step = max(1, len(table) * _TABLE_BYTES // max(1, table.nbytes))
        return join_rows([self._some_rows(table.slice(start, step)) for start in range(0, max(1, len(table)), step)])

    def _some_rows(self, table: Any) -> Rows:
        values = []
        for name, column in zip(table.column_names, map(_one_array, table.columns), strict=True):
            if column.null_count or (_is_fixed(column.type) and column.flatten().null_count):
                self._gaps.add(name)
            values.append(_storage(column).view(_plain_type(column.type)).to_pylist())
        return Rows.of_pieces(list(map(msgspec.msgpack.Encoder().encode, zip(*values, strict=True))))

    def to_table(self, rows: Rows) -> Any:
        """Return the Arrow table that `rows` were made of."""
        import pyarrow

        values = zip(*map(msgspec.msgpack.Decoder().decode, rows.pieces()), strict=True)
        arrays = []
        for field, column in zip(self.schema, values, strict=True):
            is_extension = isinstance(field.type, pyarrow.BaseExtensionType)
            array = pyarrow.array(column, _plain_type(field.type), memory_pool=pyarrow.system_memory_pool())
            array = array.view(field.type.storage_type if is_extension else field.type)
            arrays.append(field.type.wrap_array(array) if is_extension else array)
        return pyarrow.Table.from_arrays(arrays, schema=self.schema)

    def to_columns(self, rows: Rows) -> Columns:
        """Return the rows as a reader gives them."""
        return columns_of_table(self.to_table(rows))


def columns_of_table(table: Any) -> Columns:
    """Return the rows of an Arrow table as a reader gives them."""
    from pyloader.read.parquet import ParquetReader

    return ParquetReader().columns_of("", table)


def _plain_type(kind: Any) -> Any:
    """Return the type of whole numbers and bytes that has the layout of `kind`.

    Fractions too: not every NaN stays the same on its way through Python.
    """
    import pyarrow
    from pyarrow import types

    if isinstance(kind, pyarrow.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if types.is_struct(kind):
        return pyarrow.struct([field.with_type(_plain_type(field.type)) for field in kind])
    if types.is_map(kind):
        entry = [
            pyarrow.field("key", _plain_type(kind.key_type), nullable=False),
            ("value", _plain_type(kind.item_type)),
        ]
        return pyarrow.list_(pyarrow.field("entries", pyarrow.struct(entry), nullable=False))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = kind.value_field.with_type(_plain_type(kind.value_type))
        if types.is_fixed_size_list(kind):
            return pyarrow.list_(inner, kind.list_size)
        return pyarrow.list_(inner) if types.is_list(kind) else pyarrow.large_list(inner)
    if types.is_string(kind) or types.is_large_string(kind):
        return pyarrow.binary() if types.is_string(kind) else pyarrow.large_binary()
    if types.is_decimal(kind) or types.is_fixed_size_binary(kind):
        return pyarrow.binary(kind.byte_width)
    if types.is_floating(kind) or types.is_temporal(kind):
        return {16: pyarrow.int16(), 32: pyarrow.int32(), 64: pyarrow.int64()}[kind.bit_width]
    return kind


def _is_fixed(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_fixed_size_list(kind))


def _one_array(column: Any) -> Any:
    import pyarrow

    if column.num_chunks == 1:
        return column.chunk(0)
    return pyarrow.concat_arrays(column.chunks) if column.num_chunks else pyarrow.array([], column.type)


def _storage(array: Any) -> Any:
    import pyarrow

    return array.storage if isinstance(array, pyarrow.ExtensionArray) else array


def check_gaps(schema: Any, columns: Columns) -> None:
    """Refuse a null in a table of nothing but numbers: arrays hold none, and JSON not every kind of number."""
    for name, values in columns.items() if all(map(is_number_type, schema.types)) else ():
        if not isinstance(values, np.ndarray):
            gap = next(
                row for row, value in enumerate(values) if value is None or (type(value) is list and None in value)
            )
            what = f"has null in column {name!r}, which no array holds"
            raise UnfitColumnsError(what, gap, parquet_holds=True, hint=f"Fill it: --fill {name}=0")
