"""Laws, and what is said when one is broken; two batches, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyloader.ragged import Ragged

__all__ = ["assert_same_batches", "batch_difference", "broken"]

_LAWS = {
    2: "exactly once",
    3: "same seed, same batches",
    4: "resume exactly",
    5: "never hang, never end early",
    6: "clean",
    7: "loss is loud",
}


def broken(law: int, what: str) -> AssertionError:
    """Return the error that says which law was broken, and how."""
    return AssertionError(f"law {law} ({_LAWS[law]}) is broken: {what}")


def assert_same_batches(found: Sequence[Any], wanted: Sequence[Any], law: int, what: str, *, first: int = 0) -> None:
    """Assert that batches are the same ones.

    Args:
      found: Some batches.
      wanted: What they should be.
      law: Which law says so.
      what: Who delivered them.
      first: The step of the first.
    """
    for step, (batch, other) in enumerate(zip(found, wanted, strict=False), start=first):
        if differs := batch_difference(batch, other):
            raise broken(law, f"{what}, and batch {step} differs: {differs}")
    if len(found) != len(wanted):
        raise broken(law, f"{what}, and there are {len(found)} batches instead of {len(wanted)}")


def batch_difference(found: Any, wanted: Any, place: str = "the batch") -> str:
    """Return where two batches differ first, in words; "" where they do not.

    They may be nested dicts, lists and tuples of whatever makes an array: numbers, strings, NumPy arrays, tensors; and
    of `Ragged`.
    """
    if type(found) is not type(wanted):
        return f"{place} is a {type(found).__name__}, not a {type(wanted).__name__}"
    if isinstance(wanted, Mapping):
        if list(found) != list(wanted):
            return f"{place} has {list(found)}, not {list(wanted)}"
        parts = [(f"{place}[{name!r}]", found[name], wanted[name]) for name in wanted]
    elif isinstance(wanted, list | tuple):
        if len(found) != len(wanted):
            return f"{place} has {len(found)} items, not {len(wanted)}"
        parts = [(f"{place}[{row}]", *pair) for row, pair in enumerate(zip(found, wanted, strict=True))]
    elif isinstance(wanted, Ragged):
        if found == wanted:
            return ""
        differs = batch_difference(found.to_list(), wanted.to_list(), place)
        return differs or f"{place} is {found!r}, not {wanted!r}"
    else:
        return _value_difference(found, wanted, place)
    return next((differs for name, one, other in parts if (differs := batch_difference(one, other, name))), "")


def _value_difference(found: Any, wanted: Any, place: str) -> str:
    one, other = np.asarray(found), np.asarray(wanted)
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return f"{place} is {one.dtype} of shape {one.shape}, not {other.dtype} of shape {other.shape}"
    different = one != other
    if one.dtype.kind in "fc":
        different &= ~(np.isnan(one) & np.isnan(other))
    if not np.any(different):
        return ""
    if one.ndim == 0:
        return f"{place} is {found!r}, not {wanted!r}"
    index = tuple(int(where) for where in np.argwhere(different)[0])
    return f"{place}[{', '.join(map(str, index))}] is {one[index]!r}, not {other[index]!r}"
