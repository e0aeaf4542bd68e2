"""Columns -> rows, in the form that suits the chunk format; the first columns decide what is left open."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from pyloader.columns import Column, Columns, ColumnSpec, column_specs
from pyloader.errors import import_optional
from pyloader.ragged import Ragged
from pyloader.read.numbers import NumberError, as_column
from pyloader.write.arrow_form import TableForm
from pyloader.write.formats import FORMATS, ChunkFormat, format_of_tokens
from pyloader.write.forms import ArrayForm, Form, RecordForm
from pyloader.write.kinds import KindsOfColumns, array_kind
from pyloader.write.number_columns import numbers_in
from pyloader.write.rows import Rows, join_rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["Layout"]

_ARROW_KINDS = "biufmM"  # of NumPy's dtypes

_OTHER = "keep other columns (--columns), encode them (--encode), or write another format (--to jsonl.zst)"


class Layout(msgspec.Struct):
    """How rows are laid out, as far as the rows so far have decided it.

    Attributes:
      format_name: One of FORMATS.  Left open, it becomes "columns" for arrays, "parquet" when there are bytes, or
        numbers that JSON does not give back as they are, and "jsonl.zst" for everything else.
      form_name: "json", "packed", "array" or "table"; None until the first rows came.
      kinds: What the columns of records are.
      arrays: What the columns of arrays are.
      schema: What the columns of Arrow tables are, as Arrow writes a schema.
      gaps: The columns of Arrow tables in which there has been a null.
      why: Why it is Parquet, where nobody said so.
      stride: Of windows of tokens that overlap, and follow one another in every chunk; 0 for all other rows.
    """

    format_name: str | None = None
    form_name: str | None = None
    kinds: KindsOfColumns = msgspec.field(default_factory=dict)
    arrays: tuple[ColumnSpec, ...] = ()
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
        if self.wants_arrays:
            fractions = {spec.name for spec in self.arrays if spec.dtype == "<f8"}
            parts = [
                {name: _as_array(name, values, is_float=name in fractions) for name, values in part.items()}
                for part in parts
            ]
        for part in parts:
            _check_arrays(part)
        if self.form_name is None:
            self._choose(parts[0])
        form, laid_out, before = self.form, [], 0
        for part in parts:
            try:
                laid_out.append(form.to_rows(part))
            except UnfitColumnsError as exc:
                raise (exc if exc.row is None else exc.at(before + exc.row)) from exc
            before += len(laid_out[-1])
        return join_rows(laid_out)

    def written_specs(self, form: Form) -> tuple[ColumnSpec, ...]:
        """Return what a reader finds in chunks of rows of `form`."""
        if self.format_name == "arrayrecord" and form.name != "array":
            return (ColumnSpec("record", "bytes"),)
        return form.specs

    def _choose(self, columns: Columns) -> None:
        specs = column_specs(columns)
        has_bytes = any(spec.kind == "bytes" for spec in specs)
        are_arrays = all(spec.kind == "array" for spec in specs)
        deep = [spec for spec in specs if len(spec.item_shape) > 1]
        if self.format_name is None:
            # Beside rows of several dimensions, which Parquet has not, numbers are those of JSON.
            odd = next(
                (spec for spec in specs if spec.kind == "bytes" or (not deep and _only_parquet_holds(spec))), None
            )
            self.format_name = "columns" if are_arrays else "jsonl.zst" if odd is None else "parquet"
            if odd is not None and not are_arrays:
                self.why = f"JSON cannot hold {odd}"
        if self.format_name == "parquet":
            import_optional("pyarrow", wanted_by="The format parquet")
        if self.format_name == "columns":
            _check_file_names(columns)
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
            self.form_name, self.arrays = "array", tuple(sorted(specs, key=lambda spec: list(columns).index(spec.name)))
        elif self.format_name == "parquet" or (self.format_name == "arrayrecord" and has_bytes and is_one):
            self.form_name = "packed"
        else:
            self.form_name = "json"


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
    for name in columns:
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
