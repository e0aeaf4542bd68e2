"""Packing: how documents become rows."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, fields
from typing import Any

from pyloader.options import MOST, checked_integer

__all__ = ["Packing", "packing_from_order", "packing_in_order", "packing_of"]

_IN_ORDER = re.compile(
    r"length=(\d{1,18}), column=(.{2,4000}?)(?:, max_documents=(\d{1,18}))?; [0-9a-f]{16}", re.DOTALL
)


@dataclass(frozen=True, kw_only=True, repr=False)
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
      drop: Columns of the chunks that are left out.  One value for a document has no place in a row of several; a
        column with a number for each token is packed as the tokens are.
      max_documents: The most pieces of documents in a row; None sets no bound.  With it a batch has the bounds of its
        pieces, for attention over rows end to end: `cu_seqlens`, int32 of shape [rows * (max_documents + 1) + 1], as
        `pyloader.packing.cu_seqlens` has them, and `max_seqlen`, the length of its longest piece.
      document_ids: Whether a batch has `chunk_ids` and `document_ids`, int32 of shape [rows, length]: the index of the
        chunk that a token is from, and its document's row there; -1 for what fills up.

    Raises:
      TypeError, ValueError: one of them cannot be so.
    """

    length: int
    column: str = "tokens"
    shifted: bool = True
    drop: tuple[str, ...] = ()
    max_documents: int | None = None
    document_ids: bool = False

    def __repr__(self) -> str:
        said = (each for each in fields(self) if getattr(self, each.name) != each.default)
        return f"Packing({', '.join(f'{each.name}={getattr(self, each.name)!r}' for each in said)})"

    def __post_init__(self) -> None:
        checked_integer("length", self.length, at_least=1, at_most=MOST)
        if not isinstance(self.column, str):
            raise TypeError(f"column must be the name of a column, got {self.column!r}")
        if isinstance(self.drop, str):
            raise TypeError(f"drop must be names of columns, drop=({self.drop!r},)")
        object.__setattr__(self, "drop", tuple(self.drop))
        if self.max_documents is not None:
            checked_integer("max_documents", self.max_documents, at_least=1, at_most=MOST)


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


def packing_in_order(packing: Packing, digest: str) -> str:
    """Return what the order of the samples depends on: the packing, and a digest of the rows that it gives."""
    bound = "" if packing.max_documents is None else f", max_documents={packing.max_documents}"
    return f"length={packing.length}, column={packing.column!r}{bound}; {digest}"


def packing_from_order(text: str) -> Packing:
    """Return the packing that an order names, less what its samples do not depend on.

    Raises:
      ValueError: it names none.
    """
    found = _IN_ORDER.fullmatch(text)
    try:
        if found is None:
            raise ValueError("no length and no column")
        column, bound = ast.literal_eval(found[2]), found[3]
        return Packing(length=int(found[1]), column=column, max_documents=None if bound is None else int(bound))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as exc:
        raise ValueError(f"{text[:200]!r} names no packing ({exc})") from exc
