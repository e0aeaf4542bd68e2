"""Parquet and Arrow files -> columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyloader.columns import Column, Columns
from pyloader.datareader import DataReader
from pyloader.errors import ChunkReadError
from pyloader.files import suffix_of
from pyloader.optional import import_optional
from pyloader.read.numbers import NumberError, as_array
from pyloader.read.options import column_names, number_dtypes

__all__ = ["ParquetReader"]


class ParquetReader(DataReader):
    """Parquet (.parquet) and Arrow (.arrow, .feather) files, by pyarrow.

    Numbers, booleans and dates come as arrays, lists of numbers of a fixed length as two-dimensional arrays; text,
    bytes, other lists and nested values as lists of str, bytes, list, dict.  A column with a null is a list, with None.

    Args:
      columns: The columns to read; others are not touched on disk.  None: all.
      fill: What stands for null, by column: {"score": 0.0}.
      dtypes: The dtypes of number columns, {"score": "float32"}; object for a column that is to stay a list, whatever
        it holds.  A null, or a number that the dtype cannot hold, is an error.
    """

    returns_new_arrays = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        columns: Sequence[str] | None = None,
        fill: Mapping[str, Any] | None = None,
        dtypes: Mapping[str, npt.DTypeLike] | None = None,
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        self.columns = column_names(columns)
        self.fill = dict(fill or {})
        self.dtypes, self.list_columns = number_dtypes(dtypes, stays_list=object)

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read the file.

        Returns:
          The columns, and how many rows there are.

        Raises:
          ChunkReadError: the file is cut or damaged, has not all `columns`, or a value that its dtype cannot hold.
          MissingDependencyError: pyarrow is not installed.
        """
        pyarrow = import_optional("pyarrow", wanted_by="ParquetReader")
        read = _read_parquet if suffix_of(path) not in (".arrow", ".feather") else _read_arrow
        with open(path, "rb") as file:
            try:
                table = read(file, self.columns)
            except KeyError as exc:
                what = f"has columns {exc.args[1]}, and no {exc.args[0]!r}."
                raise ChunkReadError(path, what) from exc
            except (pyarrow.ArrowException, OSError) as exc:
                what = f"is damaged, or of another format ({str(exc).strip().rstrip('.')})."
                raise ChunkReadError(path, what, "Fetch it again, or max_skipped=1 to go on without it") from exc
        return self.columns_of(path, table), table.num_rows

    def columns_of(self, path: str, table: Any) -> Columns:
        """Return the columns of a table, or of a part of it, that was read from `path`.

        Raises:
          ChunkReadError: it lacks a column that `dtypes` names, or has a value that its dtype cannot hold.
        """
        names = table.column_names
        if unknown := {*self.dtypes, *self.list_columns} - set(names):
            raise ChunkReadError(path, f"has columns {names}, and dtypes names {sorted(unknown)}.")
        return {name: self._column(path, name, table.column(name)) for name in names}

    def _column(self, path: str, name: str, column: Any) -> Column:
        from pyarrow import ArrowException, types

        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if name in self.fill:
            try:
                column = column.fill_null(self.fill[name])
            except (ArrowException, TypeError, OverflowError) as exc:
                what = f"has {name!r} as {column.type}, which cannot hold fill's {self.fill[name]!r}."
                raise ChunkReadError(path, what) from exc
        array = None if name in self.list_columns else _array(column)
        dtype = self.dtypes.get(name)
        if dtype is None:
            return list(column.to_pylist()) if array is None else array
        if array is not None and (array.dtype, array.shape[1:]) == (dtype.base, dtype.shape):
            return array
        try:
            return as_array(column.to_pylist(), dtype)
        except NumberError as exc:
            raise ChunkReadError(path, f"row {exc.row + 1:,}: {name!r} {exc.what}", exc.hint) from exc


def _array(column: Any) -> np.ndarray | None:
    """Return a column of numbers as an array; None when it holds something else, or a null."""
    from pyarrow import types

    fixed = types.is_fixed_size_list(column.type)
    if not _is_number(column.type.value_type if fixed else column.type):
        return None
    chunks = column.combine_chunks()
    values = chunks.flatten() if fixed else chunks
    if chunks.null_count or values.null_count:
        return None
    array: np.ndarray = values.to_numpy(zero_copy_only=False)
    if not array.flags.writeable:  # it lies in Arrow's memory
        array = array.copy()
    return array.reshape(len(column), column.type.list_size) if fixed else array


def _is_number(kind: Any) -> bool:
    """Tell whether NumPy has a dtype for values of this kind: numbers, booleans, dates and times."""
    from pyarrow import types

    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_timestamp(kind)
        or types.is_date(kind)
        or types.is_duration(kind)
    )


def _read_parquet(file: Any, columns: tuple[str, ...] | None) -> Any:
    parquet = import_optional("pyarrow.parquet", wanted_by="ParquetReader")
    with parquet.ParquetFile(file) as opened:
        _check(columns, opened.schema_arrow.names)
        # In the calling thread: the loader's own readers work side by side already.
        return opened.read(columns and list(columns), use_threads=False)


def _read_arrow(file: Any, columns: tuple[str, ...] | None) -> Any:
    ipc = import_optional("pyarrow.ipc", wanted_by="ParquetReader")
    import pyarrow

    try:
        table = ipc.open_file(file).read_all()
    except pyarrow.ArrowInvalid:  # Hugging Face writes the streaming form
        file.seek(0)
        table = ipc.open_stream(file).read_all()
    _check(columns, table.column_names)
    return table if columns is None else table.select(list(columns))


def _check(columns: tuple[str, ...] | None, there: list[str]) -> None:
    for name in columns or ():
        if name not in there:
            raise KeyError(name, there)
