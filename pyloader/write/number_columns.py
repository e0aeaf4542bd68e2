"""Which columns of a CSV dump are numbers: known when its last row has been read, as for one CSV file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pyloader.columns import Column, Columns
from pyloader.write.kinds import INT64, KindsOfColumns

__all__ = ["learn_fields", "number_kinds", "numbers_in"]

_LARGEST_EXACT = 2**53  # in float64


def learn_fields(found: dict[str, set[str]], columns: Columns) -> None:
    """Add to `found` what the fields of some rows are, by column.

    "int" and "float" are numbers as JSON spells them, "wide" a whole number that float64 may round, "text" the others.
    """
    for name, values in columns.items():
        known = found.setdefault(name, set())
        if "text" not in known and len(values):
            known |= _kinds(values)


def number_kinds(found: Mapping[str, set[str]]) -> KindsOfColumns:
    """Return the kinds of the columns that are numbers throughout."""
    return {
        name: {"float"} if "float" in known else {"int"}
        for name, known in found.items()
        if known and "text" not in known and not known >= {"wide", "float"}
    }


def numbers_in(texts: Column) -> list[Any]:
    """Return the numbers that `texts` are, as JSON spells them; `texts` when one of them is something else."""
    try:
        # One call for all of them.  The count tells "1,2" from two fields.
        numbers: list[Any] = msgspec.json.decode(f"[{','.join(texts)}]".encode(), type=list[int | float])
    except (msgspec.DecodeError, UnicodeEncodeError, TypeError):
        return list(texts)
    return numbers if len(numbers) == len(texts) else list(texts)


def _kinds(texts: Column) -> set[str]:
    numbers = numbers_in(texts)
    if type(numbers[0]) is str or any(text != text.strip() for text in texts):
        return {"text"}
    kinds = {"float" if type(number) is float else "int" for number in numbers}
    whole = [number for number in numbers if type(number) is int]
    if whole and (max(whole) not in INT64 or min(whole) not in INT64):
        return {"text"}
    if whole and max(abs(max(whole)), abs(min(whole))) > _LARGEST_EXACT:
        kinds.add("wide")
    return kinds
