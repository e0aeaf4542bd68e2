"""Probing: the first rows of a dump say what its columns are, before any task begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

from pyloader.errors import SplitError
from pyloader.write.blocks import BLOCK_BYTES, Block
from pyloader.write.joining import go_past
from pyloader.write.lines import Lines
from pyloader.write.preparing import Learnt, Preparation
from pyloader.write.request import Request
from pyloader.write.units import Unit

__all__ = ["probed"]


def probed(
    units: Iterator[Unit], begun: Learnt, request: Request, input_format: str, lines: Lines, *, holdout_rule: int
) -> list[Unit]:
    """Read until the first rows have said in `begun` what the columns are; return the units that this took.

    All units begin with what the first rows of the dump say, so that it makes no difference who reads them first.

    Raises:
      SplitError: the dump is damaged.
    """
    preparation = Preparation(begun, request, input_format, go_past, holdout_rule=holdout_rule)
    ahead: list[Unit] = []
    for unit in units:
        ahead.append(unit)
        try:
            for source, span in unit.spans:
                with closing(source.blocks(span)) as blocks:
                    if any(preparation.rows(block, source.name) for block in _first(blocks, begun)):
                        return ahead
        except SplitError as exc:
            raise lines.located(unit, exc) from exc.__cause__
    return ahead


def _first(blocks: Iterable[Block], begun: Learnt) -> Iterator[Block]:
    """Yield the blocks of a source, the first few MiB of lines as one where they are to be arrays.

    In the first rows a column of fractions may have none.
    """
    held: list[memoryview] = []
    for block in blocks:
        if not (isinstance(block.content, memoryview) and begun.layout.wants_arrays):
            yield block
            continue
        held.append(block.content)
        if sum(map(len, held)) >= BLOCK_BYTES:
            break
    if held:
        yield Block(memoryview(b"".join(held)), 1, 0)
