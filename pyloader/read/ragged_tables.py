"""Arrow tables -> columns, with rows of unequal length as Ragged."""

from __future__ import annotations

from typing import Any

from pyloader.columns import Column
from pyloader.errors import import_optional
from pyloader.ragged import Ragged
from pyloader.read.parquet import ParquetReader

__all__ = ["RaggedTableReader"]


class RaggedTableReader(ParquetReader):
    """What readers of Arrow tables share whose lists of numbers and bytes come as Ragged, without a copy.

    A column of them with a null stays a list, with None; `dtypes={"name": object}` makes it a list in every chunk.
    """

    def _column(self, path: str, name: str, column: Any) -> Column:
        is_asked_for = name in self.list_columns or name in self.dtypes or name in self.fill
        if is_asked_for or column.null_count or not _is_unequal(column.type):
            return super()._column(path, name, column)
        try:
            return Ragged.from_arrow(column)
        except ValueError:  # a null within a row
            return super()._column(path, name, column)


def _is_unequal(kind: Any) -> bool:
    """Tell whether a column of this kind holds bytes, or lists of numbers."""
    types = import_optional("pyarrow.types", wanted_by="RaggedTableReader")
    if types.is_binary(kind) or types.is_large_binary(kind):
        return True
    if not (types.is_list(kind) or types.is_large_list(kind)):
        return False
    item = kind.value_type
    return bool(types.is_integer(item) or types.is_floating(item) or types.is_boolean(item))
