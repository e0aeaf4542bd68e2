"""Ragged: a column of rows of unequal length, as two arrays: all numbers end to end, and where each row begins.

No Python object per row is made until a row is looked at, so tokens, encoded images and lists of numbers travel as
arrays do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, NoReturn, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pyloader.errors import import_optional
from pyloader.ragged.arrow import arrays_of
from pyloader.ragged.gathering import gather, offsets_of

__all__ = ["Ragged"]

_KINDS = "biufcmM"  # of dtypes: bools, integers, floats, complex numbers, durations and times
_EXACT_IN_FLOAT64 = 2**53  # below it, float64 holds every int


class Ragged:
    """A column of rows of unequal length: row i is `values[offsets[i]:offsets[i + 1]]`.

    `column[i]` is a read-only array of numbers, or `bytes` where `is_bytes`; `column[a:b]` is a view of rows;
    `column[rows]` with a list or array of row numbers, or with bools, is a copy of those rows, as by `take`.

    >>> column = Ragged([7, 8, 9, 1], [0, 3, 3, 4])
    >>> len(column), column[0], column.lengths
    (3, array([7, 8, 9]), array([3, 0, 1]))
    >>> column[1:].to_list()
    [[], [1]]
    >>> column == Ragged.from_rows([[7, 8, 9], [], [1]])
    True

    Args:
      values: The numbers of all rows, one after another; of one dimension, and of bool, int, float, complex, or time
        dtype.  Copied only where they are not contiguous or not in the machine's byte order.
      offsets: int64 of shape [rows + 1]: where in `values` each row begins, and where the last ends.  They never fall.
        The first may be above 0, and the last below len(values): then other rows use the rest.  They are checked here,
        once, and must not be changed afterwards.
      is_bytes: Whether a row is bytes, an encoded image say, and not numbers that happen to be uint8.

    Raises:
      TypeError: `values` are not of such a dtype, or not uint8 where `is_bytes`; or `offsets` are not integers.
      ValueError: either is not of one dimension; offsets fall, or lie outside of the values.
    """

    __slots__ = ("is_bytes", "offsets", "values")
    __hash__ = None  # type: ignore[assignment]

    values: np.ndarray
    offsets: np.ndarray
    is_bytes: bool

    def __init__(self, values: ArrayLike, offsets: ArrayLike, *, is_bytes: bool = False) -> None:
        self.values, self.offsets, self.is_bytes = _numbers(values), _offsets(offsets), is_bytes
        if is_bytes and self.values.dtype != np.uint8:
            raise TypeError(f"bytes are values of dtype uint8, not {self.values.dtype}")
        first, last = int(self.offsets[0]), int(self.offsets[-1])
        falls = self.offsets[1:] < self.offsets[:-1]
        if falls.any():
            row = int(falls.argmax())
            found = f"row {row:,} begins at {self.offsets[row]:,} and ends at {self.offsets[row + 1]:,}"
            raise ValueError(f"offsets must never fall: {found}")
        if first < 0 or last > len(self.values):
            raise ValueError(f"offsets go from {first:,} to {last:,}, and there are {len(self.values):,} values")

    @classmethod
    def from_rows(cls, rows: Sequence[Any], *, dtype: DTypeLike | None = None) -> Ragged:
        """Return a column of rows: arrays, lists or tuples of numbers, or bytes.

        Args:
          rows: One item per row.
          dtype: Of the values.  None is what NumPy makes of them all: int64 of ints, float64 where there is a float.
            `bytes` is a column of bytes also where there is no row.

        Raises:
          TypeError: a row is neither, or holds something else than numbers; or ints do not fit in the dtype.
        """
        lengths = np.fromiter((_length(row, number) for number, row in enumerate(rows)), np.int64, len(rows))
        is_bytes = dtype is bytes or (dtype is None and len(rows) > 0 and isinstance(rows[0], _BYTES))
        if is_bytes or any(isinstance(row, _BYTES) for row in rows):
            for number, row in enumerate(rows):
                if isinstance(row, _BYTES) is not is_bytes:
                    raise TypeError(f"row {number:,} is a {type(row).__name__} among rows of other kinds")
            values: np.ndarray = np.frombuffer(bytearray().join(rows), np.uint8)
        else:
            values = _values_of(rows, None if dtype is None else np.dtype(dtype))
        return cls(values, offsets_of(lengths), is_bytes=is_bytes)

    @classmethod
    def from_arrow(cls, array: Any) -> Ragged:
        """Return an Arrow column of lists of numbers, or of binaries, without a copy of the values (but of bools).

        Args:
          array: A pyarrow Array, or ChunkedArray (whose chunks are joined where there are several), of type list,
            large_list, fixed_size_list, binary, large_binary or fixed_size_binary.

        Raises:
          MissingDependencyError: pyarrow is not installed.
          TypeError: it is of another type; strings stay lists of str.
          ValueError: a row is null, or a value in a row.
        """
        values, offsets, is_bytes = arrays_of(array, wanted_by="Ragged.from_arrow")
        return cls(values, offsets, is_bytes=is_bytes)

    @staticmethod
    def concatenate(columns: Sequence[Ragged]) -> Ragged:
        """Return the rows of all `columns`, one column after another, in memory of their own.

        Raises:
          TypeError: some are of bytes and some of numbers, or their dtypes differ.
        """
        first = columns[0]
        _check_alike(columns)
        values = np.concatenate([column.spanned for column in columns])
        return _ragged(values, offsets_of(np.concatenate([column.lengths for column in columns])), first.is_bytes)

    @staticmethod
    def gather(columns: Sequence[Ragged], rows: np.ndarray, column_of: np.ndarray) -> Ragged:
        """Return copies of rows of several columns: row i is row `rows[i]` of column `column_of[i]`.

        Args:
          columns: The columns, all of one kind.
          rows: int64 of shape [rows to be], at least 0.
          column_of: Integers of the same shape.

        Raises:
          TypeError: some are of bytes and some of numbers, or their dtypes differ.
          IndexError: there is no such row, or column.
        """
        _check_alike(columns)
        if len(rows) and not (rows.min() >= 0 <= column_of.min() and column_of.max() < len(columns)):
            raise IndexError(f"rows from {rows.min():,} on, of columns {column_of.min()} to {column_of.max()}")
        sources = [(column.values, column.offsets) for column in columns]
        return _ragged(*gather(sources, rows, column_of), columns[0].is_bytes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> Any: ...
    @overload
    def __getitem__(self, key: slice | list[int] | np.ndarray) -> Ragged: ...

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                return self.take(np.arange(start, stop, step))
            return _ragged(self.values, self.offsets[start : max(start, stop) + 1], self.is_bytes)
        if isinstance(key, list | np.ndarray):
            rows = np.asarray(key)
            if rows.dtype == bool:
                if rows.shape != (len(self),):
                    raise IndexError(f"bools of shape {list(rows.shape)} for a column of {len(self):,} rows")
                rows = np.flatnonzero(rows)
            return self.take(rows)
        row = range(len(self))[key]  # counts from the end below 0, and raises IndexError
        values = self.values[self.offsets[row] : self.offsets[row + 1]]
        if self.is_bytes:
            return values.tobytes()
        values.flags.writeable = False
        return values

    def __iter__(self) -> Iterator[Any]:
        bounds = pairwise(self.offsets.tolist())
        if self.is_bytes:
            raw = self.values.data  # slices of it cost a tenth of those of arrays
            return (raw[start:stop].tobytes() for start, stop in bounds)
        values = self.values.view()
        values.flags.writeable = False
        return (values[start:stop] for start, stop in bounds)

    def __eq__(self, other: object) -> bool:
        """Tell whether the other has the same rows, of the same dtype; NaN is as NaN."""
        if not isinstance(other, Ragged):
            return NotImplemented
        mine, theirs = self.spanned, other.spanned
        return (
            (self.is_bytes, mine.dtype) == (other.is_bytes, theirs.dtype)
            and np.array_equal(self.lengths, other.lengths)
            and np.array_equal(mine, theirs, equal_nan=mine.dtype.kind in "fcmM")
        )

    def __repr__(self) -> str:
        return f"<Ragged of {self._kind}: {len(self):,} rows, {len(self.spanned):,} values>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _ragged, (self.spanned, self._offsets_from_0(), self.is_bytes)

    def __array__(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("rows of unequal length are not one array: pad them (PaddingDataCollator), or take .values")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def lengths(self) -> np.ndarray:
        """How many values each row has: int64 of shape [rows]."""
        return np.diff(self.offsets)

    @property
    def spanned(self) -> np.ndarray:
        """The values from the first row's first to the last row's last: a view."""
        return self.values[self.offsets[0] : self.offsets[-1]]

    @property
    def nbytes(self) -> int:
        """How many bytes of memory the rows and their offsets take; of a view, what it spans."""
        return int(self.spanned.nbytes + self.offsets.nbytes)

    def take(self, rows: ArrayLike) -> Ragged:
        """Return copies of some rows, in the order of `rows`.

        With pyarrow installed its C++ code copies, without the interpreter's lock.

        Args:
          rows: Numbers of rows, int64; below 0 they are counted from the end.

        Raises:
          IndexError: there is no such row, or `rows` are not integers of one dimension.
        """
        rows = np.asarray(rows)
        if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
            raise IndexError(f"rows must be integers of shape [rows], not {rows.dtype} of shape {list(rows.shape)}")
        rows = rows.astype(np.int64, copy=False)
        least, most = (int(rows.min()), int(rows.max())) if len(rows) else (0, -1)
        if least < -len(self) or most >= len(self):
            raise IndexError(f"rows {least:,} to {most:,} of a column of {len(self):,} rows")
        if least < 0:
            rows = np.where(rows < 0, rows + len(self), rows)
        return _ragged(*gather([(self.values, self.offsets)], rows), self.is_bytes)

    def copy(self) -> Ragged:
        """Return the same rows in memory of their own."""
        return _ragged(self.spanned.copy(), self.offsets - self.offsets[0], self.is_bytes)

    def to_list(self) -> list[Any]:
        """Return a list of bytes, or of lists of numbers."""
        if self.is_bytes:
            return list(self)
        values, bounds = self.spanned.tolist(), self._offsets_from_0().tolist()
        return [values[start:stop] for start, stop in pairwise(bounds)]

    def to_arrow(self) -> Any:
        """Return a pyarrow LargeBinaryArray, or a LargeListArray, without a copy of the values (but of bools).

        Raises:
          MissingDependencyError: pyarrow is not installed.
        """
        arrow = import_optional("pyarrow", wanted_by="Ragged.to_arrow")
        if not self.is_bytes:
            return arrow.LargeListArray.from_arrays(arrow.array(self.offsets), arrow.array(self.values))
        buffers = [None, arrow.py_buffer(self.offsets), arrow.py_buffer(self.values)]
        return arrow.LargeBinaryArray.from_buffers(arrow.large_binary(), len(self), buffers)

    def _offsets_from_0(self) -> np.ndarray:
        return self.offsets - self.offsets[0] if self.offsets[0] else self.offsets

    @property
    def _kind(self) -> str:
        return "bytes" if self.is_bytes else str(self.values.dtype)


_BYTES = bytes | bytearray | memoryview


def _ragged(values: np.ndarray, offsets: np.ndarray, is_bytes: bool) -> Ragged:
    """Return a column of arrays that are known to be right."""
    column = object.__new__(Ragged)
    column.values, column.offsets, column.is_bytes = values, offsets, is_bytes
    return column


def _check_alike(columns: Sequence[Ragged]) -> None:
    first = columns[0]
    for other in columns:
        if (other.is_bytes, other.values.dtype) != (first.is_bytes, first.values.dtype):
            raise TypeError(f"a column of {other._kind} does not continue one of {first._kind}")


def _numbers(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"values must be numbers, not {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"values must be of one dimension, not of shape {list(array.shape)}")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _offsets(offsets: ArrayLike) -> np.ndarray:
    array = np.asarray(offsets)
    if array.dtype.kind not in "iu":
        raise TypeError(f"offsets must be integers, not {array.dtype}")
    if array.ndim != 1 or not len(array):
        raise ValueError(f"offsets must be of shape [rows + 1], not {list(array.shape)}")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"offsets must fit in int64, and there is {array.max():,}")
    return np.ascontiguousarray(array, np.int64)


def _length(row: Any, number: int) -> int:
    if isinstance(row, list | tuple | bytes | bytearray) or (isinstance(row, np.ndarray) and row.ndim == 1):
        return len(row)
    if isinstance(row, memoryview):
        return row.nbytes
    raise TypeError(f"row {number:,} is a {type(row).__name__}: a row is bytes, or a list or 1-D array of numbers")


def _values_of(rows: Sequence[Any], dtype: np.dtype[Any] | None) -> np.ndarray:
    if len(rows) and all(isinstance(row, np.ndarray) for row in rows):
        values = np.concatenate(rows)
    else:
        items = list(chain.from_iterable(row.tolist() if isinstance(row, np.ndarray) else row for row in rows))
        try:
            values = np.array(items) if items else np.empty(0, np.int64 if dtype is None else dtype)
        except ValueError as exc:
            raise TypeError(f"rows must hold numbers ({exc})") from exc
        # NumPy makes floats of ints that int64 does not hold.
        if values.dtype.kind == "f" and any(type(item) is int and abs(item) > _EXACT_IN_FLOAT64 for item in items):
            if all(type(item) is int and 0 <= item < 2**64 for item in items):
                return _as_dtype(np.array(items, np.uint64), dtype)
            raise TypeError("rows hold ints that do not fit in one integer dtype, or not among floats")
    if values.dtype.kind not in _KINDS or values.ndim != 1:
        found = "rows of rows" if values.ndim > 1 else f"values of dtype {values.dtype}"
        raise TypeError(f"rows must hold numbers, and these hold {found}")
    return _as_dtype(values, dtype)


def _as_dtype(values: np.ndarray, dtype: np.dtype[Any] | None) -> np.ndarray:
    if dtype is None or dtype == values.dtype:
        return values
    with np.errstate(all="ignore"):
        converted = values.astype(dtype)
    if dtype.kind in "biu" and not np.array_equal(converted, values):
        raise TypeError(f"rows hold numbers that {dtype} does not hold")
    return converted
