"""Columns -> rows, in the form that suits the chunk format; the first columns decide what is left open."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from pyloader.columns import Column, Columns, ColumnSpec, column_specs
from pyloader.write.formats import FORMATS, ChunkFormat
from pyloader.write.forms import ArrayForm, Form, RecordForm, UnfitColumnsError
from pyloader.write.kinds import KindsOfColumns
from pyloader.write.number_columns import numbers_in
from pyloader.write.rows import Rows, join_rows

__all__ = ["Layout"]

_OTHER = "keep other columns (--columns), encode them (--encode), or write another format (--to jsonl.zst)"


class Layout(msgspec.Struct):
    """How rows are laid out, as far as the rows so far have decided it.

    Attributes:
      format_name: One of FORMATS.  Left open, it becomes "columns" for arrays, "parquet" when there are bytes, and
        "jsonl.zst" for everything else.
      form_name: "json", "packed" or "array"; None until the first rows came.
      kinds: What the columns of records are.
      arrays: What the columns of arrays are.
    """

    format_name: str | None = None
    form_name: str | None = None
    kinds: KindsOfColumns = msgspec.field(default_factory=dict)
    arrays: tuple[ColumnSpec, ...] = ()

    def __post_init__(self) -> None:
        if self.format_name is not None and self.format_name not in FORMATS:
            raise ValueError(f"there is no chunk format {self.format_name!r}; there are {', '.join(FORMATS)}")

    @property
    def format(self) -> ChunkFormat:
        """The chunks' format, once there have been rows."""
        assert self.format_name is not None
        return FORMATS[self.format_name]

    @property
    def form(self) -> Form:
        """The rows' form, once there have been any."""
        assert self.form_name is not None
        return ArrayForm(self.arrays) if self.form_name == "array" else RecordForm(self.form_name, self.kinds)

    @property
    def takes_json(self) -> bool:
        """Whether JSON lines can stay as they are."""
        return self.format_name is None or "json" in self.format.forms

    @property
    def wants_arrays(self) -> bool:
        """Whether every column must be an array."""
        return self.format_name == "columns"

    def keep_json(self) -> None:
        """Decide that rows are JSON lines as they came."""
        self.format_name, self.form_name = self.format_name or "jsonl.zst", "json"

    def rows(self, parts: Sequence[Columns]) -> Rows:
        """Return the rows of all `parts`, one after another.

        Raises:
          UnfitColumnsError: the format cannot hold them, or they are not like the ones before.
        """
        if self.wants_arrays:
            parts = [{name: _as_array(name, values) for name, values in part.items()} for part in parts]
        if self.form_name is None:
            self._choose(parts[0])
        form = self.form
        return join_rows([form.to_rows(part) for part in parts])

    def written_specs(self, form: Form) -> tuple[ColumnSpec, ...]:
        """Return what a reader finds in chunks of rows of `form`."""
        if self.format_name == "arrayrecord" and form.name != "array":
            return (ColumnSpec("record", "bytes"),)
        return form.specs

    def _choose(self, columns: Columns) -> None:
        specs = column_specs(columns)
        has_bytes = any(spec.kind == "bytes" for spec in specs)
        are_arrays = all(spec.kind == "array" for spec in specs)
        if self.format_name is None:
            self.format_name = "columns" if are_arrays else "parquet" if has_bytes else "jsonl.zst"
        deep = [spec for spec in specs if len(spec.item_shape) > 1]
        if deep and self.format_name == "parquet":
            raise UnfitColumnsError(f"has {deep[0]}, and Parquet's rows have one dimension at most; write columns")
        is_one = len(specs) == 1 or self.format_name != "arrayrecord"  # a record is the bytes of one column
        if are_arrays and is_one and "array" in self.format.forms:
            self.form_name, self.arrays = "array", tuple(sorted(specs, key=lambda spec: list(columns).index(spec.name)))
        elif self.format_name == "parquet" or (self.format_name == "arrayrecord" and has_bytes and is_one):
            self.form_name = "packed"
        else:
            self.form_name = "json"


def _as_array(name: str, values: Column) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    try:
        array = np.array(numbers_in(values) if values and type(values[0]) is str else values)
    except ValueError as exc:
        raise UnfitColumnsError(f"has rows of unequal length in {name!r}, which no array holds; {_OTHER}") from exc
    if array.dtype.kind not in "biuf":
        raise UnfitColumnsError(f"has {name!r} as {column_specs({name: values})[0].kind}, not numbers; {_OTHER}")
    return array
