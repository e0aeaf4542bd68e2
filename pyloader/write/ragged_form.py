"""Rows of unequal length in bytes, beside rows of numbers: each with the lengths and dtypes of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyloader.columns import Columns, ColumnSpec
from pyloader.ragged import Ragged, gather, offsets_of
from pyloader.write.array_form import ArrayForm
from pyloader.write.rows import Rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["RaggedForm", "are_uneven", "as_ragged", "joint_dtype"]

_BYTES = np.dtype(bytes).str
# By their place a row says of which its values are.  Of integers that hold the same, the first is taken.
_DTYPES = [
    *(np.dtype(name).str for name in ("u1", "i1", "u2", "i2", "i4", "u4", "i8", "u8")),
    *(np.dtype(name).str for name in ("f2", "f4", "f8", "c8", "c16", "b1")),
    _BYTES,
]
_INTEGERS = _DTYPES[:8]
_LENGTH = np.dtype(np.int64).itemsize  # what says how long a row is, and of which dtype


class RaggedForm:
    """Each row the lengths and dtypes of its ragged columns, the bytes of its numbers, and then its values.

    Args:
      specs: What the columns are, of kind "array" and "ragged".
      dtypes: Ragged column -> the dtypes that its values have had; what is laid out adds to it.  They are written as
        the one that holds all of them.
      narrows: Whether lists of integers become the smallest dtype that holds them, block by block; else int64.
    """

    name = "ragged"

    def __init__(self, specs: Sequence[ColumnSpec], dtypes: dict[str, set[str]], *, narrows: bool) -> None:
        self._all, self._dtypes, self._narrows = tuple(specs), dtypes, narrows
        self._names = [spec.name for spec in specs if spec.kind == "ragged"]
        fixed = [spec for spec in specs if spec.kind == "array"]
        self._fixed = ArrayForm(fixed) if fixed else None
        self._width = sum(map(_row_bytes, fixed))
        self._head = len(self._names) * _LENGTH  # bytes of a row before its numbers

    @property
    def specs(self) -> tuple[ColumnSpec, ...]:
        """What the columns are, over everything laid out so far."""
        return tuple(
            replace(spec, dtype=joint_dtype(self._dtypes.get(spec.name) or {spec.dtype}) or spec.dtype)
            if spec.kind == "ragged"
            else spec
            for spec in self._all
        )

    def to_rows(self, columns: Columns) -> Rows:
        """Lay out the rows of `columns`.  Raises UnfitColumnsError."""
        known = sorted(spec.name for spec in self._all)
        if sorted(columns) != known:
            raise UnfitColumnsError(f"has columns {sorted(columns)}, but the rows before it have {known}")
        ragged = {name: self._ragged(name, columns[name]) for name in self._names}
        num_rows, num_parts = len(next(iter(ragged.values()))), 1 + len(ragged)
        heads = [column.lengths * len(_DTYPES) + _DTYPES.index(_dtype_of(column)) for column in ragged.values()]
        table = np.stack(heads, axis=1).view(np.uint8)
        if self._fixed is not None:
            fixed = self._fixed.to_rows({name: values for name, values in columns.items() if name not in ragged})
            table = np.concatenate([table, np.frombuffer(fixed.data, np.uint8).reshape(num_rows, -1)], axis=1)
        first = table.reshape(-1), np.arange(num_rows + 1) * table.shape[1]
        parts = [
            first,
            *((each.values.view(np.uint8), each.offsets * each.values.itemsize) for each in ragged.values()),
        ]
        rows, part_of = np.repeat(np.arange(num_rows), num_parts), np.tile(np.arange(num_parts), num_rows)
        data, offsets = gather(parts, rows, part_of)
        return Rows(data.data, offsets[num_parts::num_parts])

    def to_columns(self, rows: Rows) -> Columns:
        """Return the columns that `rows` were made of, the values of each as one dtype."""
        data, starts = np.frombuffer(rows.data, np.uint8), rows.ends - rows.lengths()
        heads = data[starts[:, None] + np.arange(self._head)].view(np.int64).reshape(len(rows), len(self._names))
        lengths, places = np.divmod(heads, len(_DTYPES))
        sizes = np.array([np.dtype(dtype).itemsize or 1 for dtype in _DTYPES])
        first = np.full((len(rows), 1), self._head + self._width)
        widths = np.concatenate([first, lengths * sizes[places]], axis=1)
        # Every row is cut into its parts, so that a part of all rows is a column of bytes.
        parts = data, offsets_of(widths.reshape(-1))
        firsts = np.arange(len(rows)) * widths.shape[1]
        columns: Columns = {}
        if self._fixed is not None:
            table = gather([parts], firsts)[0].reshape(len(rows), -1)[:, self._head :]
            columns = self._fixed.to_columns(Rows.of_width(table.tobytes(), self._width))
        columns |= {
            name: _of_parts(parts, firsts + 1 + number, lengths[:, number], places[:, number], spec.dtype)
            for number, (name, spec) in enumerate((spec.name, spec) for spec in self.specs if spec.kind == "ragged")
        }
        return {spec.name: columns[spec.name] for spec in self._all}

    def _ragged(self, name: str, values: Any) -> Ragged:
        column = as_ragged(name, values, narrows=self._narrows)
        known = self._dtypes.setdefault(name, set())
        if len(column.spanned) or isinstance(values, Ragged):
            before = set(known)
            known.add(_dtype_of(column))
            if joint_dtype(known) is None:
                found, others = np.dtype(_dtype_of(column)).name, np.dtype(joint_dtype(before)).name
                known.discard(_dtype_of(column))
                raise UnfitColumnsError(f"has {name!r} as ragged {found}, but the rows before it are {others}")
        return column


def are_uneven(values: Any) -> bool:
    """Tell whether a column is one for ragged rows alone: a list of rows of unequal length, or of bytes."""
    if not isinstance(values, list) or not all(isinstance(row, list | tuple | bytes | np.ndarray) for row in values):
        return False
    if any(isinstance(row, np.ndarray) and row.ndim != 1 for row in values):
        return False
    return len(set(map(len, values))) > 1 or any(isinstance(row, bytes) for row in values)


def as_ragged(name: str, values: Any, *, narrows: bool) -> Ragged:
    """Return a column as a ragged one: a `Ragged` itself, a list of lists or arrays of numbers, or of bytes.

    Args:
      name: The column.
      values: Its rows.
      narrows: Whether integers in lists become the smallest dtype that holds all of them; else int64.

    Raises:
      UnfitColumnsError: it is another column, or of values that no chunk holds.
    """
    if isinstance(values, np.ndarray) and values.ndim == 2:
        values = list(values)
    if not isinstance(values, list | Ragged):
        raise UnfitColumnsError(f"has no rows of numbers in {name!r}, as the rows before it have")
    if isinstance(values, Ragged):
        column = values
    else:
        if (gap := next((row for row, value in enumerate(values) if value is None), None)) is not None:
            raise UnfitColumnsError(f"has null in column {name!r}, which no ragged column holds", gap)
        try:
            column = Ragged.from_rows(values)
        except TypeError as exc:
            odd = next((row for row, value in enumerate(values) if not _is_row_of_numbers(value)), None)
            raise UnfitColumnsError(f"has {name!r} as no rows of numbers ({exc})", odd) from exc
        if narrows and column.dtype.kind in "iu" and not column.is_bytes and not isinstance(values[0], np.ndarray):
            column = _narrowed(column)
    if _dtype_of(column) not in _DTYPES:
        raise UnfitColumnsError(f"has {name!r} as ragged {column.dtype}, which no chunk holds")
    return column


def _is_row_of_numbers(value: Any) -> bool:
    try:
        Ragged.from_rows([value])
    except TypeError:
        return False
    return True


def joint_dtype(dtypes: Iterable[str]) -> str | None:
    """Return the smallest dtype that holds the values of all of these; None where none does.

    >>> joint_dtype({"|u1", "<i2"}), joint_dtype({"<u2", "<f4"}), joint_dtype({"<i8", "<f8"})
    ('<i2', '<f8', None)
    """
    found = set(dtypes)
    if len(found) < 2:
        return next(iter(found), None)
    kinds = {np.dtype(dtype).kind for dtype in found}
    if kinds <= {"i", "u"}:
        bounds = [np.iinfo(np.dtype(dtype)) for dtype in found]
        return _smallest(min(each.min for each in bounds), max(each.max for each in bounds))
    if kinds == {"f"} or (kinds <= {"i", "u", "f"} and found.isdisjoint(_INTEGERS[6:])):
        size = max(np.dtype(dtype).itemsize for dtype in found) if kinds == {"f"} else 8
        return np.dtype(f"f{size}").str
    return None


def _smallest(least: int, most: int) -> str | None:
    for dtype in _INTEGERS:
        info = np.iinfo(np.dtype(dtype))
        if info.min <= least and most <= info.max:
            return dtype
    return None


def _narrowed(column: Ragged) -> Ragged:
    values = column.spanned
    dtype = _smallest(int(values.min(initial=0)), int(values.max(initial=0)))
    return Ragged(values.astype(dtype), column.offsets - column.offsets[0])


def _dtype_of(column: Ragged) -> str:
    return _BYTES if column.is_bytes else column.dtype.str


def _row_bytes(spec: ColumnSpec) -> int:
    return int(np.prod(spec.item_shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize


def _of_parts(
    parts: tuple[np.ndarray, np.ndarray], rows: np.ndarray, lengths: np.ndarray, places: np.ndarray, dtype: str
) -> Ragged:
    """Return a ragged column of some of the parts, whose values may have been laid out as several dtypes."""
    is_bytes = dtype == _BYTES
    found = np.unique(places[lengths > 0]).tolist()
    if len(found) == 1 and _DTYPES[found[0]] == dtype:
        values = gather([parts], rows)[0].view(np.uint8 if is_bytes else dtype)
        return Ragged(values, offsets_of(lengths), is_bytes=is_bytes)
    values = np.empty(int(lengths.sum()), np.uint8 if is_bytes else dtype)
    for place in found:
        are_so = places == place
        values[np.repeat(are_so, lengths)] = gather([parts], rows[are_so])[0].view(_DTYPES[place])
    return Ragged(values, offsets_of(lengths), is_bytes=is_bytes)
