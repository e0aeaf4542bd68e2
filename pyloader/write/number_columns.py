"""Which columns of a CSV dump are numbers: known when its last row has been read, as for one CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pyloader.columns import Columns
from pyloader.write.kinds import INT64, KindsOfColumns
from pyloader.write.rows import Rows

__all__ = ["NumberColumns", "numbers_in"]

_LARGEST_EXACT = 2**53  # in float64


class NumberColumns:
    """Learns which columns of text hold only numbers, as JSON spells them.

    Attributes:
      found: Column -> what its fields were: "text", "int", "wide" (a whole number that float64 may round), "float".
    """

    def __init__(self) -> None:
        self.found: dict[str, set[str]] = {}

    def learn(self, columns: Columns) -> None:
        """Look at some rows."""
        for name, values in columns.items():
            found = self.found.setdefault(name, set())
            if "text" not in found and len(values):
                found |= _kinds(values)  # type: ignore[arg-type]

    def kinds(self) -> KindsOfColumns:
        """Return the kinds of the columns that are numbers throughout."""
        return {
            name: {"float"} if "float" in found else {"int"}
            for name, found in self.found.items()
            if found and "text" not in found and not found >= {"wide", "float"}
        }

    def unquoted(self, rows: Rows) -> Rows:
        """Return JSON rows with the fields of number columns as numbers, digit for digit as they were."""
        names = list(self.kinds())
        if not names:
            return rows
        samples = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode_lines(rows.data)
        for sample in samples:
            for name in names:
                sample[name] = msgspec.Raw(bytes(sample[name])[1:-1])
        return Rows.of_lines(msgspec.json.Encoder().encode_lines(samples))


def numbers_in(texts: Sequence[Any]) -> list[Any]:
    """Return the numbers that `texts` are, as JSON spells them; `texts` when one of them is something else."""
    try:
        # One call for all of them.  The count tells "1,2" from two fields.
        numbers: list[Any] = msgspec.json.decode(f"[{','.join(texts)}]".encode(), type=list[int | float])
    except (msgspec.DecodeError, UnicodeEncodeError, TypeError):
        return list(texts)
    return numbers if len(numbers) == len(texts) else list(texts)


def _kinds(texts: list[Any]) -> set[str]:
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
