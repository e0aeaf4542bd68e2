"""Parquet and Arrow files -> columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns
from pyloader.datareader import DataReader
from pyloader.errors import ChunkReadError
from pyloader.files.opening import suffix_of
from pyloader.optional import import_optional

__all__ = ["ParquetReader"]


class ParquetReader(DataReader):
    """Parquet (.parquet) and Arrow (.arrow, .feather) files, by pyarrow.

    Numbers, booleans and dates come as arrays, lists of numbers of a fixed length as two-dimensional arrays; text,
    bytes, other lists and nested values as lists of str, bytes, list, dict.  Where a list has a null, it has None.

    Args:
      columns: The columns to read; others are not touched on disk.  None: all.
      fill: What stands for null, by column: {"score": 0.0}.  Without it, a null in an array column is an error.
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
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        if isinstance(columns, str):
            raise TypeError(f"columns must be a list of names: columns=[{columns!r}]")
        self.columns = None if columns is None else list(columns)
        self.fill = dict(fill or {})

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read the file.

        Returns:
          The columns, and how many rows there are.

        Raises:
          ChunkReadError: the file is cut or damaged, has not all `columns`, or a null in an array column.
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
        names = table.column_names
        return {name: self._column(path, name, table.column(name)) for name in names}, table.num_rows

    def _column(self, path: str, name: str, column: Any) -> Column:
        from pyarrow import types

        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if name in self.fill:
            column = column.fill_null(self.fill[name])
        fixed = types.is_fixed_size_list(column.type)
        if not _is_array(column.type.value_type if fixed else column.type):
            return list(column.to_pylist())
        chunks = column.combine_chunks()
        values = chunks.flatten() if fixed else chunks
        if num_nulls := chunks.null_count + (values.null_count if fixed else 0):
            what = f"{name!r} has {num_nulls:,} nulls, which an array cannot hold."
            raise ChunkReadError(path, what, f"Pass fill={{{name!r}: ...}}, or columns=[...] without it")
        array: np.ndarray = values.to_numpy(zero_copy_only=False)
        if not array.flags.writeable:  # it lies in Arrow's memory
            array = array.copy()
        return array.reshape(len(column), column.type.list_size) if fixed else array


def _is_array(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_timestamp(kind)
        or types.is_date(kind)
        or types.is_duration(kind)
    )


def _read_parquet(file: Any, columns: list[str] | None) -> Any:
    parquet = import_optional("pyarrow.parquet", wanted_by="ParquetReader")
    with parquet.ParquetFile(file) as opened:
        _check(columns, opened.schema_arrow.names)
        # In the calling thread: the loader's own readers work side by side already.
        return opened.read(columns, use_threads=False)


def _read_arrow(file: Any, columns: list[str] | None) -> Any:
    ipc = import_optional("pyarrow.ipc", wanted_by="ParquetReader")
    import pyarrow

    try:
        table = ipc.open_file(file).read_all()
    except pyarrow.ArrowInvalid:  # Hugging Face writes the streaming form
        file.seek(0)
        table = ipc.open_stream(file).read_all()
    _check(columns, table.column_names)
    return table if columns is None else table.select(columns)


def _check(columns: list[str] | None, there: list[str]) -> None:
    for name in columns or ():
        if name not in there:
            raise KeyError(name, there)
