"""Columns -> rows, in the form that suits the chunk format; the first columns decide what is left open."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from pyloader.collate.numpy_arrays import is_row
from pyloader.columns import Column, Columns, ColumnSpec, column_specs, row_count
from pyloader.errors import import_optional
from pyloader.ragged import Ragged
from pyloader.read.numbers import NumberError, as_column
from pyloader.write.array_form import ArrayForm
from pyloader.write.arrow_form import TableForm
from pyloader.write.formats import FORMATS, ChunkFormat, format_of_tokens
from pyloader.write.forms import Form, RecordForm
from pyloader.write.kinds import KindsOfColumns, array_kind
from pyloader.write.number_columns import numbers_in
from pyloader.write.ragged_form import RaggedForm, are_uneven, as_ragged
from pyloader.write.rows import Rows, join_rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["Layout", "spans_of_rows"]

_ARRAY_BYTES = 2**19  # of arrays, that are laid out at a time
_ARROW_KINDS = "biufmM"  # of NumPy's dtypes

_OTHER = "keep other columns (--columns), encode them (--encode), or write another format (--to jsonl.zst)"


class Layout(msgspec.Struct):
    """How rows are laid out, as far as the rows so far have decided it.

    Attributes:
      format_name: One of FORMATS.  Left open, it becomes "columns" for arrays, "parquet" when there are bytes, or
        numbers that JSON does not give back as they are, and "jsonl.zst" for everything else.
      form_name: "json", "packed", "array", "ragged" or "table"; None until the first rows came.
      kinds: What the columns of records are.
      arrays: What the columns of arrays, and of ragged rows, are.
      ragged: The dtypes that the values of ragged columns have had.
      narrows: Whether rows of integers in lists are ragged without being asked for, in the smallest dtype.
      schema: What the columns of Arrow tables are, as Arrow writes a schema.
      gaps: The columns of Arrow tables in which there has been a null.
      why: Why it is Parquet, where nobody said so.
      stride: Of windows of tokens that overlap, and follow one another in every chunk; 0 for all other rows.
    """

    format_name: str | None = None
    form_name: str | None = None
    kinds: KindsOfColumns = msgspec.field(default_factory=dict)
    arrays: tuple[ColumnSpec, ...] = ()
    ragged: dict[str, set[str]] = msgspec.field(default_factory=dict)
    narrows: bool = False
    schema: bytes = b""
    gaps: set[str] = msgspec.field(default_factory=set)
    why: str = ""
    stride: int = 0

    def __post_init__(self) -> None:
        if self.format_name is not None and self.format_name not in FORMATS:
            raise ValueError(f"there is no chunk format {self.format_name!r}; there are {', '.join(FORMATS)}")

    @property
    def format(self) -> ChunkFormat:
        """The chunks' format, once there have been rows."""
        assert self.format_name is not None
        if self.format_name == "tokens" and self.arrays:
            return format_of_tokens(self.arrays[0], self.stride)
        return FORMATS[self.format_name]

    @property
    def form(self) -> Form:
        """The rows' form, once there have been any."""
        assert self.form_name is not None
        if self.form_name == "table":
            return TableForm(self.schema, self.gaps)
        if self.form_name == "ragged":
            return RaggedForm(self.arrays, self.ragged, narrows=self.narrows)
        return ArrayForm(self.arrays) if self.form_name == "array" else RecordForm(self.form_name, self.kinds)

    @property
    def takes_json(self) -> bool:
        """Whether JSON lines can stay as they are."""
        return self.format_name is None or "json" in self.format.forms

    @property
    def wants_arrays(self) -> bool:
        """Whether every column must be an array."""
        return self.format_name in ("columns", "tokens")

    def keep_json(self) -> None:
        """Decide that rows are JSON lines as they came."""
        self.format_name, self.form_name = self.format_name or "jsonl.zst", "json"

    def rows(self, parts: Sequence[Columns]) -> Rows:
        """Return the rows of all `parts`, one after another.

        Raises:
          UnfitColumnsError: the format cannot hold them, or they are not like the ones before.
        """
        laid_out: list[Rows] = []
        before = 0
        for part in parts:
            try:
                laid_out.append(self._rows_of(part))
            except UnfitColumnsError as exc:
                raise (exc if exc.row is None else exc.at(before + exc.row)) from exc
            before += len(laid_out[-1])
        return join_rows(laid_out)

    def _rows_of(self, columns: Columns) -> Rows:
        if self.form_name is None and self.format_name is None and self.narrows:
            columns = _with_ragged(columns)
        if self.wants_arrays:
            columns = {name: self._as_array(name, values) for name, values in columns.items()}
        _check_arrays(columns)
        if self.form_name is None:
            self._choose(columns)
        return self.form.to_rows(columns)

    def _as_array(self, name: str, values: Column) -> np.ndarray | Ragged:
        """Return a column of numbers as an array, or, where it is to be ragged, as that or as it is."""
        spec = next((spec for spec in self.arrays if spec.name == name), None)
        if self.format_name == "columns":
            if spec is not None and spec.kind == "ragged":
                return as_ragged(name, values, narrows=self.narrows)
            if isinstance(values, Ragged) or (spec is None and are_uneven(values)):
                return as_ragged(name, values, narrows=self.narrows)
        return _as_array(name, values, is_float=spec is not None and spec.dtype == "<f8")

    def written_specs(self, form: Form) -> tuple[ColumnSpec, ...]:
        """Return what a reader finds in chunks of rows of `form`."""
        if self.format_name == "arrayrecord" and form.name != "array":
            return (ColumnSpec("record", "bytes"),)
        return form.specs

    def _choose(self, columns: Columns) -> None:
        specs = column_specs(columns)
        has_bytes = any(spec.kind == "bytes" or spec.dtype == "|S0" for spec in specs)
        are_arrays = all(spec.kind == "array" for spec in specs)
        are_columns = all(spec.kind in ("array", "ragged") for spec in specs)
        deep = [spec for spec in specs if len(spec.item_shape) > 1]
        if self.format_name is None:
            # Beside rows of several dimensions, which Parquet has not, numbers are those of JSON.
            odd = next(
                (s for s in specs if s.kind == "bytes" or s.dtype == "|S0" or (not deep and _only_parquet_holds(s))),
                None,
            )
            self.format_name = "columns" if are_columns else "jsonl.zst" if odd is None else "parquet"
            if odd is not None and not are_columns:
                self.why = f"JSON cannot hold {odd}"
        if self.format_name == "parquet":
            import_optional("pyarrow", wanted_by="The format parquet")
        if self.format_name == "columns":
            _check_file_names(columns)
            if not are_arrays and are_columns:
                self.form_name, self.arrays = "ragged", _in_order(specs, columns)
                return
        if deep and self.format_name == "parquet":
            raise UnfitColumnsError(f"has {deep[0]}, and Parquet's rows have one dimension at most; write columns")
        if self.format_name == "tokens" and not _are_tokens(specs):
            found = ", ".join(map(str, specs))
            what = f"has {found}, and chunks of tokens hold one column of whole numbers, as many in each row"
            raise UnfitColumnsError(f"{what}; {_OTHER}")
        is_one = len(specs) == 1 or self.format_name != "arrayrecord"  # a record is the bytes of one column
        fits = are_arrays and is_one and "array" in self.format.forms
        if fits and self.format_name == "parquet":
            fits = all(np.dtype(spec.dtype).kind in _ARROW_KINDS for spec in specs)
        if fits:
            self.form_name, self.arrays = "array", _in_order(specs, columns)
        elif self.format_name == "parquet" or (self.format_name == "arrayrecord" and has_bytes and is_one):
            self.form_name = "packed"
        else:
            self.form_name = "json"


def spans_of_rows(columns: Columns) -> list[slice]:
    """Return what is laid out at a time: as Python's objects, and as JSON, arrays take several times the memory."""
    num_rows = row_count(columns)
    num_bytes = sum(values.nbytes for values in columns.values() if isinstance(values, np.ndarray))
    step = max(1, num_rows * _ARRAY_BYTES // num_bytes) if num_bytes else num_rows
    return [slice(start, start + step) for start in range(0, num_rows, step)]


def _in_order(specs: Sequence[ColumnSpec], columns: Columns) -> tuple[ColumnSpec, ...]:
    return tuple(sorted(specs, key=lambda spec: list(columns).index(spec.name)))


def _with_ragged(columns: Columns) -> Columns:
    """Return columns with their rows of integers ragged, where one is uneven and all others can be arrays too."""
    if not any(are_uneven(values) and not isinstance(values[0], bytes) for values in columns.values()):
        return columns
    try:
        return {
            name: as_ragged(name, values, narrows=True)
            if isinstance(values, Ragged) or (isinstance(values, list) and is_row(values[0]))
            else _as_array(name, values)
            for name, values in columns.items()
        }
    except UnfitColumnsError:
        return columns  # JSON lines, or Parquet, hold them


def _are_tokens(specs: Sequence[ColumnSpec]) -> bool:
    return [(spec.kind, len(spec.item_shape)) for spec in specs] == [("array", 1)] and (
        np.dtype(specs[0].dtype).kind in "iu"
    )


def _only_parquet_holds(spec: ColumnSpec) -> bool:
    """Tell whether an array comes back from Parquet as it is, and from JSON as numbers of 64 bits, or as lists."""
    if spec.kind != "array" or len(spec.item_shape) > 1 or np.dtype(spec.dtype).kind not in _ARROW_KINDS:
        return False
    return bool(array_kind(np.empty((0, *spec.item_shape), spec.dtype)))


def _check_arrays(columns: Columns) -> None:
    for name, values in columns.items():
        if not isinstance(values, np.ndarray):
            continue
        if values.dtype.hasobject or values.dtype.fields is not None:
            found = "Python objects" if values.dtype.hasobject else "named fields"
            raise UnfitColumnsError(f"has an array of {found} in column {name!r}; give a list, or an array of numbers")
        if len(values) and not values.nbytes:
            shape = list(values.shape[1:])
            raise UnfitColumnsError(f"has rows of no bytes in column {name!r}, of shape {shape}; leave that column out")


def _check_file_names(columns: Columns) -> None:
    files = [
        file for name, values in columns.items()
        for file in ([f"{name}.values", f"{name}.offsets"] if isinstance(values, Ragged) else [name])
    ]  # fmt: skip
    ends = {name.removesuffix(".values") for name in columns if name.endswith(".values")}
    if both := next((name for name in sorted(ends) if f"{name}.offsets" in columns), None):
        what = f"has the columns {f'{both}.values'!r} and {f'{both}.offsets'!r}, which are the files of a ragged one"
        raise UnfitColumnsError(f"{what}; rename one, or write another format")
    for name in files:
        if name.startswith(".") or not {"/", "\0"}.isdisjoint(name) or len(name.encode(errors="replace")) > 200:
            what = f"has the column {name!r:.60}, and columns are files, for which that is no name"
            raise UnfitColumnsError(f"{what}; rename it, or write another format")


def _as_array(name: str, values: Column, *, is_float: bool = False) -> np.ndarray:
    """Return a column as an array; with `is_float` whole numbers, as far as float64 holds them, are fractions."""
    if isinstance(values, np.ndarray):
        return _as_fractions(values) if is_float else values
    values = values.to_list() if isinstance(values, Ragged) else values
    plain = numbers_in(values) if values and type(values[0]) is str else values
    if (gap := next((row for row, value in enumerate(plain) if value is None), None)) is not None:
        what = f"has null in column {name!r}, which no array holds"
        raise UnfitColumnsError(what, gap, parquet_holds=True, hint=f"Fill it: --fill {name}=0")
    try:
        column = as_column(plain)
        array = column if isinstance(column, np.ndarray) else np.array(plain)
    except NumberError as exc:
        raise UnfitColumnsError(f"has column {name!r}, which {exc.what}", exc.row) from exc
    except ValueError as exc:
        raise UnfitColumnsError(f"has rows of unequal length in {name!r}, which no array holds; {_OTHER}") from exc
    if array.dtype.kind not in "biuf":
        raise UnfitColumnsError(f"has {name!r} as {column_specs({name: values})[0].kind}, not numbers; {_OTHER}")
    if array is not column and not _is_exact(plain, array):
        what = f"has lists in column {name!r} whose numbers would change in one array of {array.dtype}"
        raise UnfitColumnsError(f"{what}: give all of them the same kind; {_OTHER}")
    return _as_fractions(array) if is_float else array


def _as_fractions(array: np.ndarray) -> np.ndarray:
    is_exact = array.dtype == np.int64 and (np.abs(array) <= 2**53).all()
    return array.astype(np.float64) if is_exact else array


def _is_exact(values: list[Any], array: np.ndarray) -> bool:
    """Tell whether an array holds the numbers of lists of lists as they are; whole ones among fractions may get one."""
    if any(isinstance(value, np.ndarray) for value in values):
        return len({value.dtype if isinstance(value, np.ndarray) else None for value in values}) == 1
    for _ in range(array.ndim - 1):
        values = list(itertools.chain.from_iterable(values))
    types = set(map(type, values))
    if types == {int, float}:
        return max(abs(value) for value in values if type(value) is int) <= 2**53
    return len(types) == 1
