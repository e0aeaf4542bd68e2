"""Finishing: the rows of one batch become what the loop receives, by the user's functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pyloader.collate import NumpyDataCollator
from pyloader.datacollator import DataCollator
from pyloader.indexed.rows import Rows

__all__ = ["finishing"]


def finishing(
    transform: Callable[..., Any] | None, datacollator: DataCollator | None, *, is_pair: bool
) -> Callable[[Rows], Any]:
    """Return the function that makes a batch of its rows: `transform`, then `datacollator`.

    With neither, lists of numbers become arrays, and all else stays what it is.

    Raises:
      TypeError: one of them cannot be called so.
    """
    if transform is not None and not callable(transform):
        raise TypeError(f"transform must be a function of a batch, got {transform!r}")
    if datacollator is not None and not isinstance(datacollator, DataCollator):
        what = f"datacollator must be a pyloader.DataCollator, got a {type(datacollator).__name__}."
        raise TypeError(f"{what} Subclass it and write collate_batch(columns); a function can be given as transform=")
    change = _of_pair(transform) if transform is not None and is_pair else transform
    if datacollator is None:
        return change or _numbers_as_arrays
    collate = _collating(datacollator)
    return collate if change is None else lambda rows: collate(change(rows))


def _of_pair(transform: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a transform of {"data": ..., "label": ...} that calls one of the pair."""
    takes_two = _takes_two(transform)

    def change(rows: dict[str, Any]) -> Any:
        data, label = rows["data"], rows["label"]
        answer = transform(data, label) if takes_two else transform((data, label))
        if isinstance(answer, dict):
            return answer
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise TypeError(f"transform must return the pair (data, label), or a dict; it returned {_kind(answer)}")
        return {**rows, "data": answer[0], "label": answer[1]}

    return change


def _takes_two(function: Callable[..., Any]) -> bool:
    """Tell whether a function must be given two arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have none
        return False
    try:
        signature.bind(None)
    except TypeError:
        return True
    return False


def _collating(collator: DataCollator) -> Callable[[Any], Any]:
    return lambda rows: collator.collate_batch(rows if isinstance(rows, dict) else {"data": rows})


def _numbers_as_arrays(rows: Any) -> Any:
    """Return rows with lists of numbers made into arrays, as NumpyDataCollator does; all else stays what it is."""
    if isinstance(rows, dict):
        return {name: _numbers_as_arrays(column) for name, column in rows.items()}
    if isinstance(rows, list):
        return NumpyDataCollator().collate_batch({"data": rows})["data"]
    return rows


def _kind(answer: object) -> str:
    return f"{len(answer)} values" if isinstance(answer, tuple | list) else f"a {type(answer).__name__}"
