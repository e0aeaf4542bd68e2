"""Probing: the first rows of a dump say what its columns are, before any task begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

from pyloader.errors import SplitError
from pyloader.files import MANIFEST_NAME, read_manifest
from pyloader.write.blocks import BLOCK_BYTES, Block
from pyloader.write.chunk_files import check_same_columns
from pyloader.write.job import Terms
from pyloader.write.joining import go_past
from pyloader.write.lines import Lines
from pyloader.write.preparing import Learnt, Preparation
from pyloader.write.request import Request
from pyloader.write.units import Unit

__all__ = ["check_can_be_added", "probed"]


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


def check_can_be_added(begun: Learnt, request: Request, input_format: str, terms: Terms) -> None:
    """See to it early that the rows have the columns of the chunks that are there.

    Args:
      begun: What the first rows have said.
      request: What the user asked for.
      input_format: Of the dump.
      terms: What the split was begun with; they say which chunks are there.

    Raises:
      OutputDirError: the rows have other columns.
    """
    if terms.mended or begun.layout.form_name is None:
        return
    form = Preparation(begun, request, input_format, go_past).written_form()
    columns, chunks = begun.layout.written_specs(form), begun.layout.format
    names_only = begun.layout.form_name not in ("array", "ragged")  # of arrays the first rows have decided it all
    for output, kept in terms.kept.items():
        if kept and output in request.outputs:
            directory = request.root / output
            before = read_manifest(directory / MANIFEST_NAME)
            check_same_columns(directory, before, columns, chunks, names_only=names_only)


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
