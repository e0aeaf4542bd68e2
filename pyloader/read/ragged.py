"""Lists of numbers and bytes -> ragged columns, for readers that are told so: ragged=["tokens"], or True."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyloader.columns import Column
from pyloader.errors import import_optional
from pyloader.ragged import Ragged
from pyloader.read.numbers import NumberError

__all__ = ["is_ragged_type", "ragged_names", "ragged_of_arrow", "ragged_of_lists", "with_ragged_lists"]

_HINT = "Say what stands for it, fill={...}; or leave the column out of ragged"


def ragged_names(ragged: Sequence[str] | bool) -> tuple[str, ...] | bool:
    """Return which columns are to be ragged; True for all that can be.

    Raises:
      TypeError: it is a str, whose letters would be taken for names, or holds something else than names.
    """
    if isinstance(ragged, bool):
        return ragged
    if isinstance(ragged, str):
        raise TypeError(f"ragged must be a list of names, or True: ragged=[{ragged!r}]")
    if wrong := [name for name in ragged if not isinstance(name, str)]:
        raise TypeError(f"ragged must be a list of names, or True; got {wrong[0]!r} in it")
    return tuple(ragged)


def with_ragged_lists(values: list[Any], dtype: np.dtype[Any] | None) -> Column:
    """Return a column as a ragged one where its first row that holds something is a list of numbers, or bytes.

    Where no row holds anything, it is one where there are lists.

    Raises:
      NumberError: as `ragged_of_lists`.
    """
    first = next((row for row in values if row is not None and row != []), None)
    if first is None:
        is_one = [] in values
    else:
        is_one = isinstance(first, bytes) or (isinstance(first, list) and isinstance(first[0], int | float))
    return ragged_of_lists(values, dtype) if is_one else values


def ragged_of_lists(values: list[Any], dtype: np.dtype[Any] | None) -> Ragged:
    """Return a list of lists of numbers, or of bytes, as a ragged column; `dtype` is that of the numbers.

    Raises:
      NumberError: a row is neither, or a number does not fit in the dtype.
    """
    try:
        return Ragged.from_rows(values, dtype=dtype)
    except TypeError as exc:
        found = next((row for row, value in enumerate(values) if _is_odd(value, values[0], dtype)), 0)
        if values[found] is None:
            raise NumberError(found, "is null, and is to be ragged.", _HINT) from exc
        what = str(exc).removeprefix(f"row {found:,} ")
        raise NumberError(found, f"is to be ragged: {what}.", "Leave the column out of ragged") from exc


def is_ragged_type(kind: Any) -> bool:
    """Tell whether an Arrow column of this type can be ragged: lists of numbers, of any length, and binaries."""
    types = import_optional("pyarrow.types", wanted_by="ragged=True")
    if types.is_list(kind) or types.is_large_list(kind):
        return bool(types.is_primitive(kind.value_type))
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def ragged_of_arrow(column: Any, dtype: np.dtype[Any] | None) -> Ragged:
    """Return an Arrow column as a ragged one; `dtype` is that of the numbers, None the column's own.

    Raises:
      NumberError: it is of another type, has a null, or a number that does not fit in the dtype.
    """
    if str(column.type) == "binary_view":
        column = column.cast("large_binary")
    try:
        ragged = Ragged.from_arrow(column)
    except TypeError as exc:
        raise NumberError(0, f"is to be ragged: {exc}.", "Leave the column out of ragged") from exc
    except ValueError as exc:
        row, what = _null_in(column)
        raise NumberError(row, what, _HINT) from exc
    if dtype is None or dtype == ragged.dtype or ragged.is_bytes:
        return ragged
    with np.errstate(all="ignore"):  # what overflows is found below
        values = ragged.values.astype(dtype)
        changed = values != ragged.values if dtype.kind in "biu" else np.isinf(values) & ~np.isinf(ragged.values)
    if changed.any():
        place = int(changed.argmax())
        row = int(np.searchsorted(ragged.offsets, place, side="right")) - 1
        raise NumberError(row, f"holds {ragged.values[place]}, which {dtype} cannot hold.", "Name a wider dtype for it")
    return Ragged(values, ragged.offsets)


def _is_odd(value: Any, first: Any, dtype: np.dtype[Any] | None) -> bool:
    """Tell whether a row is none by itself, or is of bytes beside rows of numbers, or the other way round."""
    try:
        return Ragged.from_rows([value], dtype=dtype).is_bytes is not isinstance(first, bytes)
    except TypeError:
        return True


def _null_in(column: Any) -> tuple[int, str]:
    if column.null_count:
        return int(np.flatnonzero(column.is_null().to_numpy())[0]), "is null, and is to be ragged."
    compute = import_optional("pyarrow.compute", wanted_by="ragged=True")
    rows = compute.list_parent_indices(column).to_numpy()
    row = rows[np.flatnonzero(compute.list_flatten(column).is_null().to_numpy())[0]]
    return int(row), "holds null among its values, and is to be ragged."
