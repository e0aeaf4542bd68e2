"""Collating: the rows of a batch become arrays, part by part.

Columns stay columns: arrays as they are, lists of numbers as arrays, all else as lists.  Items one by one (those of a
list, of a map-style dataset, of what map(fn) returns) become columns first: dicts by key, tuples by place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from pyloader.collate import NumpyDataCollator, PaddingDataCollator, two_steps
from pyloader.columns import Columns
from pyloader.datacollator import DataCollator
from pyloader.errors import CollateError
from pyloader.indexed.rows import Rows
from pyloader.ragged import Ragged

__all__ = ["collated", "collating", "columns_of_items"]

# What errors advise: the chunk loader's read_file and batch_encode are not here.
_ALIKE = "Make them alike in the dataset"
_MENDED = "Mend it in the dataset"
_PADDED = "Write datacollator=pyloader.PaddingDataCollator(pad_value=0)"
_AS_THEY_ARE = "or write transform=lambda rows: rows, which leaves the rows as they are"


def collating(datacollator: DataCollator | None, *, is_streams: bool) -> Callable[[Rows], Any]:
    """Return the function that makes a batch of its rows.

    Args:
      datacollator: The user's; None makes NumPy arrays.
      is_streams: Whether the rows are a dict of several datasets' rows.
    """
    if datacollator is None:
        return partial(collated, is_streams=is_streams)
    arrays, convert, _ = two_steps(datacollator)
    if convert is not None and type(arrays) is NumpyDataCollator and not arrays.dtypes:
        return partial(_converted, convert, is_streams)
    return partial(_by_columns, datacollator)


def collated(rows: Rows, *, is_streams: bool = False, name: str = "item") -> Any:
    """Return arrays, in the form that the items have: dicts become a dict, tuples a tuple, numbers one array.

    Integers become int64, floats float64, bools bool; NumPy's numbers, arrays and tensors keep their dtype.  Lists of
    numbers become rows of an array.  Strings, bytes, None and everything else stay lists; a `Ragged` of bytes becomes
    one, and one of numbers is an error.

    Args:
      rows: What `take` answered.
      is_streams: Whether they are a dict of several datasets' rows.
      name: What a single column is called in errors.

    Raises:
      CollateError: the items are not alike, or a value is among them that no array holds.
    """
    if isinstance(rows, dict):
        column = collated if is_streams else _column
        return {key: column(values, name=str(key)) for key, values in rows.items()}
    if isinstance(rows, list):
        return _of_items(rows, name)
    if isinstance(rows, Ragged):
        try:
            return NumpyDataCollator().collate_batch({name: rows})[name]
        except CollateError as exc:
            raise CollateError(exc.what, f"{_PADDED}, {_AS_THEY_ARE}") from exc
    return rows


def columns_of_items(items: list[Any], name: str = "item") -> Columns | None:
    """Return the values of items that are dicts, by key; None where they are no dicts.

    Raises:
      CollateError: an item has other keys than the first.
    """
    first = _first(items)
    if not isinstance(first, Mapping):
        return None
    for row, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise _unlike(name, item, row, "dicts")
        if item.keys() != first.keys():
            what = f"{name!r} has the keys {_listed(item)} in row {row}, and {_listed(first)} before it."
            raise CollateError(what, f"{_ALIKE}, {_AS_THEY_ARE}")
    return {key: [item[key] for item in items] for key in first}


def _column(values: Any, name: str) -> Any:
    """Return a column of a dataset that has columns: what is in its dicts is not looked at."""
    is_kept = isinstance(values, list) and isinstance(_first(values), Mapping)
    return values if is_kept else collated(values, name=name)


def _of_items(items: list[Any], name: str) -> Any:
    columns = columns_of_items(items, name)
    if columns is not None:
        of = "" if name == "item" else f"{name}."
        return {key: collated(values, name=f"{of}{key}") for key, values in columns.items()}
    if parts := _parts_of_items(items, name):
        made = [collated(part, name=f"{name}[{place}]") for place, part in enumerate(parts)]
        return _of_kind(_first(items), made)
    try:
        return _arrays_by_name(NumpyDataCollator(), {name: items})[name]
    except CollateError as exc:
        shapes = {np.shape(item)[1:] if isinstance(item, np.ndarray) else () for item in items}  # but for the length
        hint = _PADDED if exc.hint == _ALIKE and len(shapes) == 1 else exc.hint
        raise CollateError(exc.what, f"{hint}, {_AS_THEY_ARE}") from exc


def _parts_of_items(items: list[Any], name: str) -> list[list[Any]]:
    """Return the values of items that are tuples, or lists that hold arrays, by place; nothing where they are not."""
    first = _first(items)
    if not _has_parts(first):
        return []
    kind = "a tuple" if isinstance(first, tuple) else "a list"
    for row, item in enumerate(items):
        if not isinstance(item, tuple | list):
            raise _unlike(name, item, row, f"{kind}s".removeprefix("a "))
        if len(item) != len(first):
            what = f"{name!r} has {kind} of {len(item)} in row {row}, and of {len(first)} before it."
            raise CollateError(what, f"{_ALIKE}, {_AS_THEY_ARE}")
    return list(map(list, zip(*items, strict=True)))


def _has_parts(item: Any) -> bool:
    return bool(item) if isinstance(item, tuple) else isinstance(item, list) and any(map(_is_array, item))


def _of_kind(first: Any, parts: list[Any]) -> Any:
    """Return the parts as what the items are: a list, a tuple, or a named one."""
    if isinstance(first, list):
        return parts
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


def _first(items: list[Any]) -> Any:
    return next((item for item in items if item is not None), None)


def _unlike(name: str, item: Any, row: int, kind: str) -> CollateError:
    found = "None" if item is None else f"an item of type {type(item).__name__}"
    what = f"{name!r} has {found} in row {row}, where others are {kind}."
    return CollateError(what, f"{_ALIKE}, {_AS_THEY_ARE}")


def _arrays_by_name(collator: DataCollator, columns: Columns) -> Any:
    """Return what `collator` makes of columns, tensors as arrays."""
    try:
        return collator.collate_batch({name: _without_tensors(name, values) for name, values in columns.items()})
    except CollateError as exc:
        if "PaddingDataCollator" in exc.hint:
            is_ragged = any(isinstance(values, Ragged) for values in columns.values())
            raise CollateError(exc.what, _PADDED if is_ragged else _ALIKE) from exc
        if "batch_encode" in exc.hint or "read_file" in exc.hint:
            raise CollateError(exc.what, _MENDED) from exc
        raise


def _without_tensors(name: str, values: Any) -> Any:
    first = _first(values) if isinstance(values, list) else None
    if not _is_tensor(first):
        return values
    try:
        return [np.asarray(value) if _is_tensor(value) else value for value in values]
    except (TypeError, ValueError, RuntimeError) as exc:
        what = f"{name!r} has a {type(first).__name__} that is no NumPy array ({exc})."
        raise CollateError(what, "Give arrays, or tensors on the CPU of a dtype that NumPy has") from exc


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or _is_tensor(value)


def _is_tensor(value: Any) -> bool:
    """Tell whether a value is an array of another library: torch.Tensor, jax.Array."""
    is_numpys = isinstance(value, np.ndarray | np.generic)
    return not is_numpys and all(hasattr(value, name) for name in ("__array__", "shape", "dtype"))


def _converted(convert: Callable[[Any], Any], is_streams: bool, rows: Rows) -> Any:
    first = _first(rows) if isinstance(rows, list) else None
    is_one_column = not (isinstance(rows, dict | tuple) or isinstance(first, Mapping) or _has_parts(first))
    batch = collated(rows, is_streams=is_streams, name="data" if is_one_column else "item")
    return convert({"data": batch} if is_one_column else batch)


def _by_columns(collator: DataCollator, rows: Any) -> Any:
    """Return what the user's collator makes of the columns; of items that are tuples, a tuple again."""
    arrays = two_steps(collator)[0]
    takes_numbers = isinstance(arrays, NumpyDataCollator | PaddingDataCollator)
    collate = partial(_arrays_by_name, collator) if takes_numbers else collator.collate_batch
    if isinstance(rows, dict):
        return collate(rows)
    items = rows if isinstance(rows, list) else []
    if (columns := columns_of_items(items)) is not None:
        return collate(columns)
    if not (parts := _parts_of_items(items, "item")):
        return collate({"data": rows})
    names = list(getattr(_first(items), "_fields", map(str, range(len(parts)))))
    batch = collate(dict(zip(names, parts, strict=True)))
    is_same = isinstance(batch, dict) and list(batch) == names
    return _of_kind(_first(items), list(batch.values())) if is_same else batch


def _listed(item: Mapping[Any, Any]) -> str:
    return ", ".join(map(repr, item)) or "none"
