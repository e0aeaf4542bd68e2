"""Rows of a dump that are left out: counted, bounded, written down."""

from __future__ import annotations

import json
import logging
import os
from typing import NoReturn

from pyloader.errors import FileError, SplitError
from pyloader.write.preparing import Learnt

__all__ = ["LeftOut"]

_log = logging.getLogger("pyloader")


class LeftOut:
    """Decides whether a split goes past a bad row.

    Args:
      learnt: Holds the count, which is part of each checkpoint.
      max_skipped: How many rows may be left out.
      path: A file that gets a line of JSON for each; None writes none.

    Attributes:
      has_refused: Whether a row was one too many.
    """

    def __init__(self, learnt: Learnt, max_skipped: int, path: str | os.PathLike[str] | None = None) -> None:
        self._learnt, self._max, self._path = learnt, max_skipped, path
        self.has_refused = False
        # Rows after the last checkpoint are met again by a run that goes on: their lines are there already.
        self._written = _lines_in(path) if path is not None and max_skipped and os.path.exists(path) else set()

    def __call__(self, error: Exception, name: str, line: int, stage: str) -> None:
        """Note that a row is left out.

        Args:
          error: What is wrong with it.
          name: Its file.
          line: Its line, or its row, from 1.
          stage: What found it: "read", "where" or "encode".

        Raises:
          Exception: `error`, when it is one too many.
          FileError: it cannot be written down.
        """
        number = self._learnt.num_skipped
        if number >= self._max:
            self._refuse(error, name, line, f"--max-skipped {10 * number or 10} --quarantine bad.jsonl")
        self._learnt.num_skipped += 1
        what = error.what if isinstance(error, SplitError) else f"{type(error).__name__}: {error}"
        _log.warning("left out %s:%d: %s", name, line, what)
        self._write(json.dumps({"file": name, "line": line, "error": what, "stage": stage}))

    def _refuse(self, error: Exception, name: str, line: int, options: str) -> NoReturn:
        self.has_refused = True
        if isinstance(error, SplitError):
            hint = f"{error.hint}, or leave it out: {options}"
            raise SplitError(name, error.what, hint, line) from error.__cause__
        error.add_note(f"pyloader: {name}:{line}; to leave it out: {options}")
        raise error

    def _write(self, line: str) -> None:
        if self._path is None or line in self._written:
            return
        try:
            with open(self._path, "a", encoding="utf-8") as written:
                written.write(line + "\n")
        except OSError as exc:
            what = f"what is left out cannot be written down here ({exc.strerror})."
            raise FileError(os.fspath(self._path), what, "Give --quarantine a file that can be written") from exc


def _lines_in(path: str | os.PathLike[str]) -> set[str]:
    with open(path, encoding="utf-8", errors="replace") as lines:
        return {line.rstrip("\n") for line in lines}
