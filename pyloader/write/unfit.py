"""The error for columns that a form of rows cannot hold, with the row where that was found."""

from __future__ import annotations

from functools import partial
from typing import Any

__all__ = ["UnfitColumnsError"]


class UnfitColumnsError(ValueError):
    """These columns cannot be laid out like this; the text says which and why.

    Args:
      what: The rest of a sentence about the row.
      row: The row, counted from 0 in what was laid out; None when it is about all of them.
      parquet_holds: Whether Parquet can hold the value that this form cannot.
      hint: What else to do about it.
    """

    def __init__(self, what: str, row: int | None = None, *, parquet_holds: bool = False, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.row, self.parquet_holds, self.hint = what, row, parquet_holds, hint

    def __reduce__(self) -> Any:  # what `BaseException` does loses the keywords on the way to another process
        return partial(UnfitColumnsError, parquet_holds=self.parquet_holds, hint=self.hint), (self.what, self.row)

    def at(self, row: int) -> UnfitColumnsError:
        """Return the same error for another row."""
        return UnfitColumnsError(self.what, row, parquet_holds=self.parquet_holds, hint=self.hint)
