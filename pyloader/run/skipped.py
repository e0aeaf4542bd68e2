"""Skipped: the chunks and rows that could not be read or encoded: counted, bounded, listed, written down."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pyloader.errors import BatchEncodeError, ChunkReadError, FileError
from pyloader.run.options import RunOptions

__all__ = ["Quarantine"]

_log = logging.getLogger("pyloader")
_REMEDY = "Give quarantine= a file that can be written"


@dataclass(frozen=True, slots=True)
class _LeftOutChunk:
    epoch: int
    number: int
    reason: str


class Quarantine:
    """What was left out, from a loader's first batch on.

    A chunk that is left out stays so in later epochs, whether or not it could be read again: the order depends on it.

    Args:
      run: Which chunks there are, how many of them may be left out, and how many rows in reading and in encoding each.
      path: A file that gets a line of JSON for each; None writes none.

    Raises:
      FileError: its directory is not there, or takes no files.
    """

    def __init__(self, run: RunOptions, path: str | os.PathLike[str] | None) -> None:
        # At once: the first bad row may come after hours.
        if path is not None and not os.access(above := os.path.dirname(path) or os.curdir, os.W_OK):
            what = "takes no files from this user" if os.path.isdir(above) else "is no directory"
            what = f"what is left out cannot be written down here: {os.fspath(above)} {what}."
            raise FileError(os.fspath(path), what, _REMEDY)
        self._files, self._path = run.chunks, path
        self._max_chunks, self._max_rows = run.max_skipped, run.max_skipped_rows
        self._chunks: dict[int, _LeftOutChunk] = {}
        self._rows: dict[str, dict[tuple[int, int], str]] = {"read": {}, "encode": {}}

    def has_chunk(self, chunk: int) -> bool:
        """Tell whether the chunk of this index is left out."""
        return chunk in self._chunks

    def note_chunk(self, chunk: int, error: Exception, *, epoch: int, number: int) -> None:
        """Note that a chunk is left out, as the number-th to arrive in its epoch.

        Raises:
          Exception: `error`, when it is one too many.
        """
        if chunk in self._chunks:
            return
        if len(self._chunks) >= self._max_chunks:
            error.add_note(f"pyloader: chunk number {self._max_chunks + 1} to be left out; max_skipped allows no more")
            raise error
        reason = _describe_error(error)
        self._chunks[chunk] = _LeftOutChunk(epoch, number, reason)
        self._write(chunk, None, reason, stage="read", epoch=epoch)

    def note_row(self, chunk: int, row: int, error: Exception | str, *, stage: str, epoch: int) -> None:
        """Note that a row is left out, in the stage "read" or "encode".

        Raises:
          Exception: `error`, when it is one too many; a ChunkReadError when it is given in words.
        """
        rows = self._rows[stage]
        if (chunk, row) in rows:
            return
        path = self._files.path(chunk)
        if len(rows) >= self._max_rows:
            raised = error if isinstance(error, Exception) else ChunkReadError(path, f"row {row:,}: {error}")
            if type(raised) is BatchEncodeError:  # one row of a BadRowsError, which does not know its place
                raised = BatchEncodeError(f"{path}, row {row:,}: {raised.what}", raised.hint)
            note = f"pyloader: row number {self._max_rows + 1} to be left out, {path} row {row}"
            raised.add_note(f"{note}; max_skipped allows no more")
            raise raised
        reason = _describe_error(error) if isinstance(error, Exception) else error
        rows[chunk, row] = reason
        self._write(chunk, row, reason, stage=stage, epoch=epoch)

    def chunks_before(self, epoch: int, number: int) -> list[int]:
        """Return which chunks were left out before the number-th arrival of an epoch, sorted."""
        return sorted(chunk for chunk, at in dict(self._chunks).items() if (at.epoch, at.number) < (epoch, number))

    def leave_out(self, chunks: Iterable[int]) -> None:
        """Leave out these chunks and no others, from the start."""
        reason = "it was left out when the state was saved"
        self._chunks = {chunk: self._chunks.get(chunk) or _LeftOutChunk(-1, 0, reason) for chunk in chunks}

    def reasons(self) -> dict[str, str]:
        """Return why each was left out: by its path, rows by path and row."""
        found = {self._files.path(chunk): at.reason for chunk, at in dict(self._chunks).items()}
        for rows in self._rows.values():
            found |= {f"{self._files.path(chunk)}, row {row}": reason for (chunk, row), reason in dict(rows).items()}
        return found

    def _write(self, chunk: int, row: int | None, reason: str, **place: Any) -> None:
        file = self._files.path(chunk)
        _log.warning("left out %s%s: %s", file, "" if row is None else f", row {row}", reason)
        if self._path is None:
            return
        line = json.dumps({"file": file, "row": row, "error": reason, **place})
        try:
            with open(self._path, "a", encoding="utf-8") as written:
                written.write(line + "\n")
        except OSError as exc:
            what = f"what is left out cannot be written down here ({exc.strerror})."
            raise FileError(os.fspath(self._path), what, _REMEDY) from exc


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
