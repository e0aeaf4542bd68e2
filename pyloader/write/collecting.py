"""Chunks that tasks of another system write, anywhere, into one directory; one process collects and lists them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pyloader.columns import Columns
from pyloader.errors import EngineError, SplitError
from pyloader.files import ChunkEntry
from pyloader.write.chunk_files import chunk_name, write_chunk
from pyloader.write.chunking import ChunkCutter
from pyloader.write.layout import Layout
from pyloader.write.record_values import unfit_together
from pyloader.write.rows import Rows
from pyloader.write.sizes import ChunkSizes
from pyloader.write.unfit import UnfitColumnsError
from pyloader.write.writer import ChunkWriter

__all__ = ["ChunkCollector", "Written", "write_apart"]


@dataclass(frozen=True, slots=True)
class Written:
    """What a task wrote.

    Attributes:
      place: The task's place among the tasks; chunks are listed in that order.
      layout: Format and form of its rows.
      entries: Its chunks, under the names of their files.
      num_rows: How many rows it was given.
    """

    place: int
    layout: Layout
    entries: tuple[ChunkEntry, ...]
    num_rows: int


def write_apart(
    blocks: Iterable[Columns], directory: Path, *, place: int, format: str | None, sizes: ChunkSizes
) -> Written:
    """Write chunk files of `blocks`, under names of this attempt alone.

    Args:
      blocks: The rows, as columns.
      directory: `ChunkCollector.made`, on the machine that the task runs on.
      place: The task's place among the tasks.
      format: One of FORMATS, or None, as ChunkWriter has it.
      sizes: How large chunks are.

    Raises:
      EngineError: the directory cannot be seen here.
      SplitError: a chunk cannot hold the rows.
    """
    layout, cutter = Layout(format), ChunkCutter(sizes, evens_out=True)
    entries: list[ChunkEntry] = []
    num_rows = 0

    def write(parts: list[Rows]) -> None:
        _check_seen(directory)
        path = directory / f"chunk-{place:06d}-{len(entries):04d}-{uuid.uuid4().hex[:12]}{layout.format.suffix}"
        entries.append(write_chunk(path, parts, chunks=layout.format, form=layout.form))

    _check_seen(directory)
    for columns in blocks:
        try:
            rows = layout.rows([columns])
        except UnfitColumnsError as exc:
            hint = 'Write Parquet, which holds it: format="parquet"' if exc.parquet_holds else exc.hint
            raise SplitError(str(directory.parent.parent), f"a row {exc}.", hint) from exc
        num_rows += len(rows)
        for parts in cutter.add(rows):
            write(parts)
    for parts in cutter.end():
        write(parts)
    return Written(place, layout, tuple(entries), num_rows)


class ChunkCollector(ChunkWriter):
    """A ChunkWriter whose chunks are written by tasks, which see its directory under the same name.

        with ChunkCollector("chunks/train") as collector:
            collector.collect([write_apart(blocks, collector.made, ...), ...])

    Args:
      directory: Where the chunks go, as ChunkWriter has it.
      format: One of FORMATS, or None, as ChunkWriter has it.
      storage_options: As ChunkWriter has it.
      scratch_dir: As ChunkWriter has it; the tasks see it under the same name.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        format: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        scratch_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(directory, format=format, storage_options=storage_options, scratch_dir=scratch_dir)
        self.made = self._job.made.absolute()
        self.made.mkdir(parents=True)

    def collect(self, written: Iterable[Written]) -> None:
        """Take what all tasks wrote; the chunks and their manifest come to their places when the `with` ends.

        Raises:
          SplitError: the tasks' rows are not alike.
        """
        found = sorted((task for task in written if task.num_rows), key=lambda task: task.place)
        names = []
        for task in found:
            self._join(task.layout)
            self.num_samples += task.num_rows
            for entry in task.entries:
                name = chunk_name(len(self._entries), task.layout.format, self._version)
                names.append(("", name, entry.file))
                self._entries.append(msgspec.structs.replace(entry, file=name))
        self._output.put_chunks({name: self.made / file for _, name, file in names})
        self._job.name_chunks(names)

    def _join(self, layout: Layout) -> None:
        mine = self._layout
        if mine.form_name is None:
            self._layout = msgspec.json.decode(msgspec.json.encode(layout), type=Layout)
            return
        both = [(found.format_name, found.form_name, set(found.arrays), found.kinds.keys()) for found in (mine, layout)]
        if both[0] != both[1]:
            what = f"was given blocks that are not alike: {_described(mine)}; and {_described(layout)}."
            hint = 'Cast them to one schema, or name a format: format="jsonl.zst"'
            raise SplitError(f"{self._directory}/", what, hint)
        for name, kinds in layout.kinds.items():
            mine.kinds[name] |= kinds
            if unfit_together(mine.kinds[name]):
                what = f"was given {name!r} as {' and '.join(sorted(mine.kinds[name]))}, which no column holds."
                raise SplitError(f"{self._directory}/", what, "Cast the blocks to one schema")

    def _undo(self, exc: BaseException) -> None:
        if self.made.is_dir():  # a task that still runs finds no directory, and what is removed stays so
            os.rename(self.made, self.made.with_name("rows-ended"))
        super()._undo(exc)


def _described(layout: Layout) -> str:
    columns = map(str, layout.form.specs)
    return f"{', '.join(columns)} as {layout.format_name}"


def _check_seen(directory: Path) -> None:
    if not directory.is_dir():
        what = f"cannot be seen by a worker on {os.uname().nodename}."
        raise EngineError(f"{directory.parent.parent} {what}", "Name a directory that all nodes see")
