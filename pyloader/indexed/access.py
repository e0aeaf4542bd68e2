"""Access: the methods that read a dataset's items, and how a class that writes one of them gets the others.

The others are made of the one that a class wrote.  So an override counts wherever items are read, and super() leads to
what is overridden.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from pyloader.indexed.rows import Rows, items_of, row_at

__all__ = ["complete_access", "item", "item_or_none", "items"]

_INT64 = np.dtype(np.int64)  # compared by identity, which is quick; any other spelling of it takes the longer way

# Of those that a class writes, the others are made of the first.
_METHODS = ("take", "__getitems__", "__getitem__", "get")


def complete_access(kind: type[Any], root: type[Any]) -> None:
    """Add the access methods that a class does not write; `root` is the class that all datasets derive from."""
    home = next(base for base in kind.__mro__ if not vars(base).keys().isdisjoint(_METHODS))
    if home is not kind and issubclass(home, root):
        return  # that class has all of them
    written = [name for name in _METHODS if name in vars(home)]
    makers: dict[str, Callable[..., Any]] = {"__getitem__": item, "__getitems__": items, "get": item_or_none}
    kind.take_within = kind.take if "take" in written else _like(root.take, kind, _TAKES[written[0]])
    kind.take = _checking(kind.take_within)
    for name, make in makers.items():
        if name not in written:
            setattr(kind, name, _like(getattr(root, name), kind, make))


def item(kind: type[Any], dataset: Any, index: Any) -> Any:
    """Return dataset[index] by the `take` of `kind`."""
    if isinstance(index, slice):
        return kind.take(dataset, np.arange(*index.indices(len(dataset)), dtype=np.int64))
    if hasattr(index, "__index__") and np.ndim(index) == 0 and not isinstance(index, bool):
        return row_at(kind.take(dataset, np.array([index.__index__()], np.int64)), 0)
    return kind.take(dataset, index)


def items(kind: type[Any], dataset: Any, indices: Any) -> Any:
    """Return the items at `indices` by the `take` of `kind`: a list, or an array."""
    rows = kind.take(dataset, indices)
    return items_of(rows) if isinstance(rows, dict) else rows


def item_or_none(kind: type[Any], dataset: Any, index: int) -> Any:
    """Return the item at `index` by the `[...]` of `kind`, or None where there is none."""
    return kind.__getitem__(dataset, index) if -len(dataset) <= index < len(dataset) else None


def _checked(dataset: Any, indices: Any) -> np.ndarray:
    """Return what a user gave as indices as int64, counted from the start; each is within the dataset."""
    length = len(dataset)
    if type(indices) is np.ndarray and indices.dtype is _INT64 and indices.ndim == 1:
        # Read without their sign, negative ones are larger than any length.
        if not indices.size or np.maximum.reduce(indices.view(np.uint64)) < length:
            return indices
    else:
        indices = _integers(dataset, indices)
    outside = (indices < -length) | (indices >= length)
    if outside.any():
        first = indices[outside][0]
        raise IndexError(f"index {first} is outside of {type(dataset).__name__}, which has {length:,} items")
    counted: np.ndarray = np.where(indices < 0, indices + length, indices)
    return counted


def _integers(dataset: Any, indices: Any) -> np.ndarray:
    array = np.asarray(indices)
    name = type(dataset).__name__
    if array.ndim == 1 and array.dtype == bool:
        if len(array) == len(dataset):
            return np.flatnonzero(array)
        raise TypeError(f"a mask needs a bool for each of the {len(dataset):,} items of {name}, and has {len(array):,}")
    if array.ndim == 0 and array.dtype.kind in "iu":
        raise TypeError(
            f"take needs several indices, a list or an array of them, not {indices!r}; {name}[i] is one item"
        )
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        what = f"an array of {array.dtype}, shape {list(array.shape)}" if array.shape else repr(indices)
        raise TypeError(f"{name} is indexed by integers, slices, and lists of integers, not {what}")
    return array.astype(np.int64, copy=False)


def _checking(take: Callable[..., Rows]) -> Callable[..., Rows]:
    @functools.wraps(take)
    def checking(self: Any, indices: Any, *more: Any, **options: Any) -> Rows:
        return take(self, _checked(self, indices), *more, **options)

    return checking


_TAKES: dict[str, Callable[..., Rows]] = {
    "__getitems__": lambda kind, dataset, indices: kind.__getitems__(dataset, indices),
    "__getitem__": lambda kind, dataset, indices: [kind.__getitem__(dataset, index) for index in indices.tolist()],
    "get": lambda kind, dataset, indices: [kind.get(dataset, index) for index in indices.tolist()],
}


def _like(written: Callable[..., Any], kind: type[Any], make: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method with the name and docstring of `written`, which does what `make` does for `kind`."""

    @functools.wraps(written)
    def method(self: Any, *given: Any, **named: Any) -> Any:
        return make(kind, self, *given, **named)

    return method
