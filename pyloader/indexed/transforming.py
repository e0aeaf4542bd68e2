"""Transforming: the rows of one batch become what the loop receives, by the user's functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from pyloader.datacollator import DataCollator
from pyloader.indexed.collating import collating

__all__ = ["RowsFunction", "batch_functions", "takes_keys"]

RowsFunction: TypeAlias = "Callable[..., Any]"


def batch_functions(
    transform: Callable[..., Any] | None, datacollator: DataCollator | None, *, is_pair: bool, is_streams: bool
) -> tuple[RowsFunction | None, RowsFunction | None]:
    """Return two functions of a batch's rows, called one after the other: what transforms, and what collates.

    Each is None where it would change nothing.

    Args:
      transform: The user's; what it returns is the batch, unless there is a datacollator.
      datacollator: The user's; with neither of them arrays are made: `pyloader.indexed.collating`.
      is_pair: Whether the rows are {"data": ..., "label": ...}, of which transform gets the pair.
      is_streams: Whether they are a dict of several datasets' rows.

    Raises:
      TypeError: one of them cannot be called so.
    """
    if transform is not None and not callable(transform):
        raise TypeError(f"transform must be a function of a batch, got {transform!r}")
    if datacollator is not None and not isinstance(datacollator, DataCollator):
        what = f"datacollator must be a pyloader.DataCollator, got a {type(datacollator).__name__}."
        raise TypeError(f"{what} Subclass it and write collate_batch(columns); a function can be given as transform=")
    if transform is not None and is_pair:
        transform = partial(_pair_changed, transform, _takes_two(transform))
    is_whole = transform is not None and datacollator is None
    return transform, None if is_whole else collating(datacollator, is_streams=is_streams)


def takes_keys(transform: Callable[..., Any] | None) -> bool:
    """Tell whether a transform has a parameter `keys` without a value."""
    return transform is not None and "keys" in _parameters(transform)


def _pair_changed(transform: Callable[..., Any], takes_two: bool, rows: dict[str, Any], **keys: np.ndarray) -> Any:
    """Return {"data": ..., "label": ...} with the two changed by a transform of the pair."""
    data, label = rows["data"], rows["label"]
    answer = transform(data, label, **keys) if takes_two else transform((data, label), **keys)
    if isinstance(answer, dict):
        return answer
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        found = f"{len(answer)} values" if isinstance(answer, tuple | list) else f"a {type(answer).__name__}"
        raise TypeError(f"transform must return the pair (data, label), or a dict; it returned {found}")
    return {**rows, "data": answer[0], "label": answer[1]}


def _takes_two(function: Callable[..., Any]) -> bool:
    """Tell whether a function must be given two arguments, beside `keys`."""
    given = {"keys": None} if takes_keys(function) else {}
    try:
        inspect.signature(function).bind(None, **given)
    except TypeError:
        return True
    except ValueError:  # some functions written in C do not tell
        return False
    return False


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that have no value yet, or None."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions written in C do not tell
        return []
    return [parameter.name for parameter in parameters if parameter.default in (parameter.empty, None)]
