"""Rows of a dump that are left out: counted, bounded, written down."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from pyloader.errors import FileError, SplitError

__all__ = ["BadRow", "BadRows", "TooManyBadRowsError", "refuse", "write_down"]

_log = logging.getLogger("pyloader")


class BadRow(msgspec.Struct, frozen=True):
    """A row that is left out.

    Attributes:
      file: Its file, as the user knows it.
      line: Its line, or its row, from 1.
      error: What is wrong with it.
      stage: What found it: "read", "where" or "encode".
    """

    file: str
    line: int
    error: str
    stage: str


class TooManyBadRowsError(Exception):
    """A unit has more bad rows than may be left out; the cause is the error of the last one.

    Attributes:
      rows: All of them.
    """

    def __init__(self, rows: Sequence[BadRow]) -> None:
        super().__init__(rows)
        self.rows = rows


class BadRows:
    """Takes the bad rows of a unit.

    Args:
      max_skipped: How many may be left out.

    Attributes:
      rows: Those that were.
    """

    def __init__(self, max_skipped: int) -> None:
        self._max = max_skipped
        self.rows: list[BadRow] = []

    def __call__(self, error: Exception, name: str, line: int, stage: str) -> None:
        """Note that a row is left out.

        Raises:
          TooManyBadRowsError: it is one too many.
        """
        what = error.what if isinstance(error, SplitError) else f"{type(error).__name__}: {error}"
        self.rows.append(BadRow(name, line, what, stage))
        if len(self.rows) > self._max:
            raise TooManyBadRowsError(self.rows) from error


def refuse(row: BadRow, error: BaseException | None, number: int) -> NoReturn:
    """Raise the error for one bad row too many.

    Args:
      row: The row.
      error: Its error, where that is at hand.
      number: How many may be left out now.
    """
    options = f"--max-skipped {10 * number or 10} --quarantine bad.jsonl"
    if error is None or isinstance(error, SplitError):
        hint = getattr(error, "hint", "")
        hint = f"{hint}, or leave it out: {options}" if hint else f"Mend it, or leave it out: {options}"
        raise SplitError(row.file, row.error, hint, row.line) from getattr(error, "__cause__", None)
    error.add_note(f"pyloader: {row.file}:{row.line}; to leave it out: {options}")
    raise error


def write_down(rows: Sequence[BadRow], path: str | None) -> None:
    """Log the rows that were left out, and write a line of JSON for each; a line that is there already is not doubled.

    Args:
      rows: The rows.
      path: The file; None writes none.

    Raises:
      FileError: it cannot be written.
    """
    for row in rows:
        _log.warning("left out %s:%d: %s", row.file, row.line, row.error)
    if path is None or not rows:
        return
    lines = [json.dumps(msgspec.to_builtins(row)) for row in rows]
    try:
        # A split that goes on meets its rows again: their lines are there already.
        there = set(Path(path).read_text("utf-8", errors="replace").splitlines()) if os.path.exists(path) else set()
        with open(path, "a", encoding="utf-8") as written:
            written.writelines(f"{line}\n" for line in lines if line not in there)
    except OSError as exc:
        what = f"what is left out cannot be written down here ({exc.strerror})."
        raise FileError(path, what, "Give --quarantine a file that can be written") from exc
