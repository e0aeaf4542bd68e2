"""Parquet and Arrow files -> columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns
from pyloader.errors import ChunkReadError, FileError, import_optional
from pyloader.files import Room, named_by_content, num_bytes_of, open_bytes, open_packed, suffix_of
from pyloader.part import Part, hint_in_part
from pyloader.read.footer_columns import check_columns
from pyloader.read.nulls import Nulls, with_gaps_filled
from pyloader.read.numbers import NumberError, as_array
from pyloader.read.options import ColumnReader, check_no_name_twice
from pyloader.read.ragged import is_ragged_type, ragged_of_arrow
from pyloader.read.row_groups import KeptFooter, groups_of_part, parts_of_groups
from pyloader.read.text_lists import TextLists, no_text

__all__ = [
    "ParquetReader",
    "check_footer",
    "check_no_name_twice",
    "counted",
    "damaged",
    "read_footer",
    "read_row_groups",
]

_LEAST_ROWS, _MOST_ROWS = 2**10, 2**16  # unpacked at once
_BATCHES_IN_ROOM = 8
_NULL_BYTES, _VALUE_BYTES = 8, 49  # of a place in a list, and of a str or the like without what is in it


class ParquetReader(ColumnReader):
    """Parquet (.parquet) and Arrow (.arrow, .feather) files, by pyarrow.

    Numbers, booleans and dates come as arrays, lists of numbers of a fixed length as two-dimensional arrays; text,
    bytes, other lists and nested values as lists of str, bytes, list, dict.  A column with a null is a list, with None.

    Args:
      columns: The columns to read; others are not touched on disk.  None: all.
      fill: What stands for null, by column: {"score": 0.0}.
      dtypes: The dtypes of number columns, {"score": "float32"}; object for a column that is to stay a list, whatever
        it holds.  A null, or a number that the dtype cannot hold, is an error.
      ragged: The columns that become `Ragged`, in Arrow's memory: lists of numbers, of the dtype that `dtypes` names or
        their own, and bytes (binary).  True for all of these that `dtypes` does not keep.  A null is an error.
    """

    is_thread_safe = True
    finds_by_ranges = True

    # What the DataLoader was told.  Filled here, where it takes no Python for each row.
    nulls: Nulls | None = None

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read the file.

        Returns:
          The columns, and how many rows there are.

        Raises:
          ChunkReadError: the file is cut or damaged, lacks one of `columns` or has two of one name, or has a value that
            its dtype cannot hold.
          MissingDependencyError: pyarrow is not installed.
        """
        read = _read_parquet if suffix_of(path) not in (".arrow", ".feather") else _read_arrow
        return self._read(path, read)

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find runs of row groups of a Parquet file, by its footer; `chunk_bytes` counts what they unpack to.

        Raises:
          ChunkReadError: the footer is damaged.
          MissingDependencyError: pyarrow is not installed.
        """
        if suffix_of(path) in (".arrow", ".feather"):
            return None
        footer, file_bytes = read_footer(path), num_bytes_of(path)
        check_footer(footer, path, file_bytes)
        return parts_of_groups(footer, file_bytes, chunk_bytes, chunk_samples)

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read some row groups.

        Raises:
          ChunkReadError: as `read_file`, or the file has no such row groups.
        """
        try:
            footer = self._footers.of(path, read_footer)
            groups = groups_of_part(footer, path, part)
            return self._read(path, partial(_read_parquet, footer=footer, groups=groups))
        except ChunkReadError as exc:
            cause = exc.__cause__
            if not isinstance(cause, NumberError):
                raise
            what = exc.what.removeprefix(f"row {cause.row + 1:,}: ")
            what = f"row {part.first + cause.row + 1:,}: {what}"
            raise ChunkReadError(path, what, hint_in_part(exc.hint, part)) from cause

    @cached_property
    def _footers(self) -> KeptFooter:
        return KeptFooter()

    def _read(self, path: str, read: Callable[..., Any]) -> tuple[Columns, int]:
        pyarrow = import_optional("pyarrow", wanted_by="ParquetReader")
        texts = TextLists(path, self._stays_list)
        with open_packed(path, packing="") as file:  # whose errors name it
            try:
                table = read(file, self.columns, path, texts)
            except KeyError as exc:
                what = f"has columns {exc.args[1]}, and no {exc.args[0]!r}."
                raise ChunkReadError(path, what) from exc
            except MemoryError as exc:  # sizes are in the file, and damage makes them anything
                what = "asks for more memory than there is, or is damaged."
                raise ChunkReadError(
                    path, what, "Split it into smaller chunks: pyloader split; or fetch it again"
                ) from exc
            except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as exc:  # the last of a column's name
                what = f"is damaged, or of another format ({str(exc).strip().rstrip('.')})."
                error = ChunkReadError(path, what, "Fetch it again, or max_skipped=1 to go on without it")
                raise named_by_content(error) from exc
        return self.columns_of(path, table, texts.found), table.num_rows

    def _stays_list(self, name: str, kind: Any) -> bool:
        """Tell whether a column of text or bytes is asked for as a list, just as it is."""
        is_ragged = self.is_named_ragged(name) or (self.ragged is True and is_ragged_type(kind))
        is_plain = self.nulls is None and name not in self.fill and name not in self.dtypes and not is_ragged
        return is_plain and (self.columns is None or name in self.columns)

    def columns_of(self, path: str, table: Any, made: Mapping[str, Column] = MappingProxyType({})) -> Columns:
        """Return the columns of a table, or of a part of it, that was read from `path`; some are `made` before.

        Raises:
          ChunkReadError: it lacks a column that `dtypes` names, or has a value that its dtype cannot hold.
        """
        names = table.column_names
        check_no_name_twice(path, names)
        if unknown := self.unknown_name(names):
            raise ChunkReadError(path, f"has columns {names}, and {unknown}.")
        try:
            return {
                name: made[name] if name in made else self._column(path, name, table.column(name)) for name in names
            }
        except UnicodeDecodeError as exc:
            raise no_text(path, exc) from exc

    def _column(self, path: str, name: str, column: Any) -> Column:
        from pyarrow import ArrowException

        if _types().is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if name in self.fill:
            try:
                column = column.fill_null(self.fill[name])
            except (ArrowException, TypeError, OverflowError) as exc:
                what = f"has {name!r} as {column.type}, which cannot hold fill's {self.fill[name]!r}."
                raise ChunkReadError(path, what) from exc
        dtype = self.dtypes.get(name)
        is_kept = self.ragged is True and name in self.list_columns
        try:
            if self.is_named_ragged(name) or (self.ragged is True and not is_kept and is_ragged_type(column.type)):
                return ragged_of_arrow(column, dtype)
            filled = None
            if self.nulls is not None and (column.null_count or dtype is None):
                filled = _array_without_nulls(column, self.nulls, name)
            array = filled if filled is not None else None if name in self.list_columns else _array(column)
            if dtype is None:
                return list(column.to_pylist()) if array is None else array
            if array is not None and (array.dtype, array.shape[1:]) == (dtype.base, dtype.shape):
                return array
            return as_array(column.to_pylist() if filled is None else filled.tolist(), dtype)
        except NumberError as exc:
            raise ChunkReadError(path, f"row {exc.row + 1:,}: {name!r} {exc.what}", exc.hint) from exc


def _array(column: Any) -> np.ndarray | None:
    """Return a column of numbers as an array; None when it holds something else, or a null."""
    fixed = _types().is_fixed_size_list(column.type)
    if not _is_number(_item_type(column.type)):
        return None
    chunks = column.combine_chunks()
    values = chunks.flatten() if fixed else chunks
    if chunks.null_count or values.null_count:
        return None
    array: np.ndarray = values.to_numpy(zero_copy_only=False)
    if not array.flags.writeable:  # it lies in Arrow's memory
        array = array.copy()
    return array.reshape(len(column), column.type.list_size) if fixed else array


def _array_without_nulls(column: Any, nulls: Nulls, name: str) -> np.ndarray | None:
    """Return a column of numbers or dates with what stands for null in its place; None when nothing stands for it."""
    value = nulls.values.get(name, nulls.in_lists)
    if _is_date(column.type) and (nulls.in_dates or value != value):
        dates: np.ndarray = column.to_numpy(zero_copy_only=False)  # null is NaT
        return dates.copy()
    if not isinstance(value, bool | int | float) or not _is_number(column.type) or _is_date(column.type):
        return None
    if _types().is_floating(column.type):
        array = column.to_numpy(zero_copy_only=False).copy()  # null is NaN; Arrow 15 cannot fill float16
    else:
        array = _array(column.fill_null(False if _types().is_boolean(column.type) else 0))
    assert array is not None
    return with_gaps_filled(array, column.is_null().to_numpy() if column.null_count else None, value)


def _types() -> Any:
    return import_optional("pyarrow.types", wanted_by="ParquetReader")


def _is_number(kind: Any) -> bool:
    """Tell whether NumPy has a dtype for values of this kind: numbers, booleans, dates and times."""
    types = _types()
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or _is_date(kind))


def _is_date(kind: Any) -> bool:
    types = _types()
    return bool(types.is_timestamp(kind) or types.is_date(kind) or types.is_duration(kind))


def _read_parquet(
    file: Any,
    columns: tuple[str, ...] | None,
    path: str,
    texts: TextLists,
    *,
    footer: Any = None,
    groups: Sequence[int] | None = None,
) -> Any:
    parquet = import_optional("pyarrow.parquet", wanted_by="ParquetReader")
    with parquet.ParquetFile(file, metadata=footer) as opened:
        _check(columns, opened.schema_arrow.names)
        return read_row_groups(opened, path, columns=columns, groups=groups, rest_of=texts.rest_of)


def read_row_groups(
    opened: Any,
    path: str,
    *,
    columns: Sequence[str] | None,
    groups: Sequence[int] | None = None,
    rest_of: Callable[[Any], Any] | None = None,
) -> Any:
    """Return row groups of an open Parquet file as a table; None is all of them.

    Of each batch that is read the table has what `rest_of` returns; None is all.

    Some thousand rows at a time, which is as fast, so that what grows too large is stopped: a value that all rows share
    is there once on disk.

    Raises:
      MemoryBoundError: there is no room for them.
    """
    import pyarrow

    metadata = opened.metadata
    parts = [metadata.row_group(group) for group in (range(metadata.num_row_groups) if groups is None else groups)]
    fields = [field for field in opened.schema_arrow if columns is None or field.name in columns]
    num_rows = sum(part.num_rows for part in parts)
    says = sum(part.total_byte_size for part in parts)
    row_bytes = sum(map(_least_bytes, fields))
    Room(path, says=lambda: max(says, num_rows * row_bytes)).take(num_rows * row_bytes)
    room = Room(path, says=lambda: says)
    batch_rows = min(max(int(room.limit // _BATCHES_IN_ROOM // max(1, says)), _LEAST_ROWS), _MOST_ROWS)
    if all(_is_number(_item_type(field.type)) for field in fields):
        batch_rows = _MOST_ROWS
    batches = []
    # In the calling thread: the loader's own readers work side by side already.
    for batch in opened.iter_batches(
        batch_rows, row_groups=groups, columns=None if columns is None else list(columns), use_threads=False
    ):
        counted(batch, room)
        batches.append(batch if rest_of is None else rest_of(batch))
    if not batches:
        return opened.schema_arrow.empty_table().select([field.name for field in fields])
    return pyarrow.Table.from_batches(batches)


def read_footer(path: str, error: type[FileError] = ChunkReadError, *, wanted_by: str = "ParquetReader") -> Any:
    """Return what the end of a Parquet file says: columns, row groups, counts.

    Raises:
      FileError: it is damaged, or no Parquet file.
      OSError: it is missing or forbidden.
      MissingDependencyError: pyarrow is not installed.
    """
    parquet = import_optional("pyarrow.parquet", wanted_by=wanted_by)
    import pyarrow

    with io.BufferedReader(
        open_bytes(path, goes_on=False)
    ) as file:  # so that a file that is missing or forbidden is an OSError, as everywhere
        try:
            return parquet.read_metadata(file)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as exc:  # the last of what it says is wrong
            if getattr(exc, "errno", None) is not None:
                raise  # the disk's: pyarrow's own have no number
            raise damaged(path, exc, error) from exc


def check_footer(footer: Any, path: str, file_bytes: int, error: type[FileError] = ChunkReadError) -> None:
    """Raise where what a footer says of its columns cannot be looked at.

    Raises:
      FileError: it is damaged.
    """
    import pyarrow

    try:
        check_columns(footer, file_bytes)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise damaged(path, exc, error) from exc


def damaged(path: str, exc: Exception, error: type[FileError] = ChunkReadError) -> FileError:
    """Return the error for what pyarrow raised."""
    what = f"is damaged, or no Parquet file ({str(exc).strip().rstrip('.')})."
    return named_by_content(error(path, what, "Fetch it again, or make it again"))


def counted(batch: Any, room: Room) -> Any:
    """Return a batch, what will become of it having been counted: arrays, or Python's values."""
    objects = sum(
        _NULL_BYTES * batch.num_rows + _VALUE_BYTES * (batch.num_rows - column.null_count)
        for column, field in zip(batch.columns, batch.schema, strict=True)
        if column.null_count or not _is_number(_item_type(field.type))
    )
    num_bytes = sum(map(_plain_bytes, batch.columns))
    room.take(2 * num_bytes + objects, kept=num_bytes + objects)
    return batch


def _plain_bytes(column: Any) -> int:
    """Return the bytes of a column's values; of one with a dictionary, those that it has without."""
    from pyarrow import compute

    if not _types().is_dictionary(column.type):
        return int(column.nbytes)
    values = column.dictionary
    if _is_number(values.type):
        return len(column) * int(values.nbytes) // max(1, len(values))
    try:
        return compute.sum(compute.binary_length(values).take(column.indices)).as_py() or 0
    except NotImplementedError:  # of an Arrow error: neither text nor bytes
        return len(column) * int(values.nbytes) // max(1, len(values))


def _least_bytes(field: Any) -> int:
    """Return the least that a value takes: in an array, or its place in a list."""
    kind = _item_type(field.type)
    if not _is_number(kind):
        return _NULL_BYTES
    return int(max(1, kind.bit_width // 8) * (1 if kind == field.type else field.type.list_size))


def _item_type(kind: Any) -> Any:
    return kind.value_type if _types().is_fixed_size_list(kind) else kind


def _read_arrow(file: Any, columns: tuple[str, ...] | None, path: str, texts: TextLists) -> Any:
    ipc = import_optional("pyarrow.ipc", wanted_by="ParquetReader")
    import pyarrow

    try:
        opened = ipc.open_file(file)
        found = (opened.get_batch(index) for index in range(opened.num_record_batches))
    except pyarrow.ArrowInvalid:  # Hugging Face writes the streaming form
        file.seek(0)
        opened = ipc.open_stream(file)
        found = iter(opened)
    _check(columns, opened.schema.names)
    room = Room(path)  # batches may be packed
    batches = []
    for batch in found:
        batch.validate(full=True)  # places are taken from the file as they are: wrong ones end the process
        batches.append(texts.rest_of(counted(batch, room)))
    table = pyarrow.Table.from_batches(batches) if batches else opened.schema.empty_table()
    if columns is None:
        return table
    # By their places, which can be said of two of one name too: that is an error for them only.
    return table.select([place for name in columns for place, known in enumerate(table.column_names) if known == name])


def _check(columns: tuple[str, ...] | None, there: list[str]) -> None:
    for name in columns or ():
        if name not in there:
            raise KeyError(name, there)
