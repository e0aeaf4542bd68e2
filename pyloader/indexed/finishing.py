"""Finishing: the rows of one batch become what the loop receives, by the user's functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from pyloader.collate import NumpyDataCollator
from pyloader.datacollator import DataCollator

__all__ = ["Finish", "finishing"]

Finish: TypeAlias = "Callable[[Any], Any]"


def finishing(
    transform: Callable[..., Any] | None, datacollator: DataCollator | None, *, is_pair: bool
) -> tuple[Finish, Finish]:
    """Return two functions of a batch's rows, called one after the other: what transforms, and what collates.

    With neither argument lists of numbers become arrays, and all else stays what it is.

    Raises:
      TypeError: one of them cannot be called so.
    """
    if transform is not None and not callable(transform):
        raise TypeError(f"transform must be a function of a batch, got {transform!r}")
    if datacollator is not None and not isinstance(datacollator, DataCollator):
        what = f"datacollator must be a pyloader.DataCollator, got a {type(datacollator).__name__}."
        raise TypeError(f"{what} Subclass it and write collate_batch(columns); a function can be given as transform=")
    change: Finish = _unchanged
    if transform is not None:
        change = partial(_pair_changed, transform, _takes_two(transform)) if is_pair else transform
    if datacollator is not None:
        return change, partial(_collated, datacollator)
    return change, _numbers_as_arrays if transform is None else _unchanged


def _unchanged(rows: Any) -> Any:
    return rows


def _pair_changed(transform: Callable[..., Any], takes_two: bool, rows: dict[str, Any]) -> Any:
    """Return {"data": ..., "label": ...} with the two changed by a transform of the pair."""
    data, label = rows["data"], rows["label"]
    answer = transform(data, label) if takes_two else transform((data, label))
    if isinstance(answer, dict):
        return answer
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise TypeError(f"transform must return the pair (data, label), or a dict; it returned {_kind(answer)}")
    return {**rows, "data": answer[0], "label": answer[1]}


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


def _collated(collator: DataCollator, rows: Any) -> Any:
    return collator.collate_batch(rows if isinstance(rows, dict) else {"data": rows})


def _numbers_as_arrays(rows: Any) -> Any:
    """Return rows with lists of numbers made into arrays, as NumpyDataCollator does; all else stays what it is."""
    if isinstance(rows, dict):
        return {name: _numbers_as_arrays(column) for name, column in rows.items()}
    if isinstance(rows, list):
        return NumpyDataCollator().collate_batch({"data": rows})["data"]
    return rows


def _kind(answer: object) -> str:
    return f"{len(answer)} values" if isinstance(answer, tuple | list) else f"a {type(answer).__name__}"
