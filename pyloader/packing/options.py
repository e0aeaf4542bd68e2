"""Packing: how documents become rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyloader.options import MOST, checked_integer

__all__ = ["Packing", "packing_of"]


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How documents of tokens are packed into rows of one length.

    A document longer than a row is cut at multiples of the length, no other is; every token comes exactly once an
    epoch.  A batch has, beside the tokens, filled up with 0, three arrays of the same shape [rows, length]:
    `segment_ids` (int32: 1 for a row's first piece of a document, 2 for its next, 0 for what fills up), `position_ids`
    (int32: the place of a token in its document), and `loss_mask` (bool).

    Args:
      length: Tokens of a row.
      column: The column of tokens: rows of integers of unequal length.
      shifted: Whether the training step's targets are the tokens one place on: then the last token of each piece is
        False in `loss_mask`, since what follows it is another document's.
      drop: Columns of the chunks that are left out.  One value for a document has no place in a row of several.

    Raises:
      TypeError, ValueError: one of them cannot be so.
    """

    length: int
    column: str = "tokens"
    shifted: bool = True
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_integer("length", self.length, at_least=1, at_most=MOST)
        if not isinstance(self.column, str):
            raise TypeError(f"column must be the name of a column, got {self.column!r}")
        if isinstance(self.drop, str):
            raise TypeError(f"drop must be names of columns, drop=({self.drop!r},)")
        object.__setattr__(self, "drop", tuple(self.drop))


def packing_of(name: str, value: Any) -> Packing | None:
    """Return what `pack=` was given as a Packing: a length stands for one with all else as usual.

    Raises:
      TypeError: it is neither.
      ValueError: the length is below 1.
    """
    if value is None or isinstance(value, Packing):
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a number of tokens, or pyloader.Packing(length=...), got {value!r}")
    return Packing(length=checked_integer(name, value, at_least=1, at_most=MOST))
