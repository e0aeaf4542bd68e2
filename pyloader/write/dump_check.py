"""A dump is checked before it is split: all its bad rows in one pass, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from pyloader.errors import SplitError
from pyloader.write.blocks import WHOLE
from pyloader.write.choosing import first_layout
from pyloader.write.inputs import find_inputs
from pyloader.write.preparing import Learnt, Preparation
from pyloader.write.request import Request

__all__ = ["BadRow", "DumpCheck"]


@dataclass(frozen=True, slots=True)
class BadRow:
    """What a split would stop at, or leave out.

    Attributes:
      file: As the user knows it.
      line: Its line, or its row, from 1; None when the rest of the file cannot be read.
      error: What is wrong.
      stage: What found it: "read", "where" or "encode".
    """

    file: str
    line: int | None
    error: str
    stage: str


class DumpCheck:
    """Reads a dump as a split would.

    Args:
      request: What would be split.

    Attributes:
      num_bytes: Of all files, as they lie on disk; 0 for standard input.
      bytes_read: So far.
      num_samples: Good rows so far.
    """

    def __init__(self, request: Request) -> None:
        self._inputs = find_inputs(request)
        self._bad: list[BadRow] = []
        learnt = Learnt(layout=first_layout(request, self._inputs))
        self._preparation = Preparation(learnt, request, self._inputs.format, self._note)
        self.num_bytes = sum(source.num_bytes for source in self._inputs.sources)
        self.bytes_read = self.num_samples = 0

    def __iter__(self) -> Iterator[BadRow]:
        """Yield the bad rows, each as soon as it is found."""
        before = 0
        for source in self._inputs.sources:
            try:
                with closing(source.blocks(WHOLE)) as blocks:
                    for block in blocks:
                        parts = self._preparation.rows(block, source.name)
                        self.num_samples += sum(len(rows) for _, rows in parts)
                        self.bytes_read = before + block.bytes_read
                        yield from self._bad
                        self._bad.clear()
            except SplitError as exc:  # the rest of the file cannot be read, or not be laid out
                self._note(exc, exc.path, exc.line, "read")
            yield from self._bad
            self._bad.clear()
            before += source.num_bytes

    def _note(self, error: Exception, name: str, line: int | None, stage: str) -> None:
        what = error.what if isinstance(error, SplitError) else f"{type(error).__name__}: {error}"
        self._bad.append(BadRow(name, line, what, stage))
