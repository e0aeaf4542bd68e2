"""Which columns of a CSV dump are numbers: known when its last row has been read, as for one CSV file.

Columns whose fields are numbers or empty are numbers with gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pyloader.columns import Column, Columns
from pyloader.write.kinds import INT64, KindsOfColumns

__all__ = ["learn_fields", "number_kinds", "numbers_in", "numbers_of_kinds"]

_LARGEST_EXACT = 2**53  # in float64


def learn_fields(found: dict[str, set[str]], columns: Columns) -> None:
    """Add to `found` what the fields of some rows are, by column.

    "int" and "float" are numbers as JSON spells them, "wide" a whole number that float64 may round, "gap" an empty
    field, "text" the others.
    """
    for name, values in columns.items():
        known = found.setdefault(name, set())
        if "text" not in known and len(values):
            known |= _kinds(values)


def number_kinds(found: Mapping[str, set[str]]) -> KindsOfColumns:
    """Return the kinds of the columns that are numbers throughout, or numbers and gaps."""
    return {
        name: {"float" if "float" in known else "int"} | ({"null"} if "gap" in known else set())
        for name, known in found.items()
        if known - {"gap"} and "text" not in known and not known >= {"wide", "float"}
    }


def numbers_in(texts: Column) -> list[Any]:
    """Return the numbers that `texts` are, as JSON spells them, None for an empty one.

    Where one of them is something else, or all are empty, return `texts`.
    """
    num_gaps = list(texts).count("")
    if num_gaps == len(texts):
        return list(texts)
    spelled = [text or "null" for text in texts] if num_gaps else texts
    try:
        # One call for all of them.  The counts tell "1,2" from two fields, and the text "null" from an empty one.
        numbers: list[Any] = msgspec.json.decode(f"[{','.join(spelled)}]".encode(), type=list[int | float | None])
    except (msgspec.DecodeError, UnicodeEncodeError, TypeError):
        return list(texts)
    return numbers if len(numbers) == len(texts) and numbers.count(None) == num_gaps else list(texts)


def numbers_of_kinds(texts: Column, kinds: set[str], *, gap: float | None) -> list[Any]:
    """Return the numbers that the texts of a column of these kinds are; `gap` stands for an empty one."""
    numbers = numbers_in(texts) if any(texts) else [None] * len(texts)
    if "null" not in kinds:
        return numbers
    if "float" in kinds:
        numbers = [float(number) if type(number) is int else number for number in numbers]
    return numbers if gap is None else [gap if number is None else number for number in numbers]


def _kinds(texts: Column) -> set[str]:
    present = [text for text in texts if text]
    kinds = {"gap"} if len(present) < len(texts) else set()
    if not present:
        return kinds
    numbers = numbers_in(present)
    if type(numbers[0]) is str or any(text != text.strip() for text in present):
        return {"text"}
    kinds |= {"float" if type(number) is float else "int" for number in numbers}
    whole = [number for number in numbers if type(number) is int]
    if whole and (max(whole) not in INT64 or min(whole) not in INT64):
        return {"text"}
    if whole and max(abs(max(whole)), abs(min(whole))) > _LARGEST_EXACT:
        kinds.add("wide")
    return kinds
