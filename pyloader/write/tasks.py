"""The tasks of a split, pure functions of the plan and of files: a unit of the dump is scattered, a chunk written.

`scatter` turns the rows of a unit into chunks, where these can be cut while they are read, or puts them aside by the
range of their keys.  `scatter_again` parts one of these ranges, where they are large.  `write` gathers a chunk from
what was put aside.  A task writes files under a name of this attempt alone, and answers with a receipt that names them.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import closing

import xxhash

from pyloader.deliver.lock_turns import LockTurn
from pyloader.files import ChunkEntry
from pyloader.machine.memory import return_freed_memory
from pyloader.write.aside import RowsAside
from pyloader.write.chunk_files import write_chunk
from pyloader.write.chunking import ChunkCutter, Part, gathered
from pyloader.write.file_digests import PartDigest, digest_of_file
from pyloader.write.input_files import InputFile
from pyloader.write.left_out import BadRows
from pyloader.write.ranges import RangeTask, num_ranges
from pyloader.write.receipts import ChunkReceipt, FileReceipt, RangeReceipt, UnitReceipt
from pyloader.write.rows import Rows
from pyloader.write.segments import Frames, row_keys
from pyloader.write.unique import Dropped, first_rows
from pyloader.write.units import Unit
from pyloader.write.work import Work

__all__ = ["read_through", "scatter", "scatter_again", "write"]

_LONG_ROW = 2**12  # bytes, on average


def scatter(work: Work, unit: Unit, dropped: Dropped | None = None) -> UnitReceipt:
    """Read a unit of the dump.

    Args:
      work: What all units have in common.
      unit: What is read.
      dropped: Where its rows are listed that are dropped; None where all are kept.

    Raises:
      SplitError: its rows are bad, or not like those of the units before it.
      TooManyBadRowsError: more of them are bad than may be left out.
    """
    return _Scatter(work, unit, dropped).run()


def scatter_again(work: Work, task: RangeTask) -> RangeReceipt:
    """Put the rows of a range aside once more, by the smaller ranges in it.

    Raises:
      SplitError: a file is damaged.
    """
    number, total = work.fans[task.level], num_ranges(work.fans, task.level)
    path = work.aside / f"{task.name}-{_attempt()}.rows"
    aside = RowsAside(path, num_outputs=1, num_ranges=number, first=task.first, total=total)
    try:
        for file in task.files:
            with closing(Frames(work.aside / file, is_keyed=True)) as frames:
                for rows, keys in frames.read(task.bucket):
                    aside.take(0, rows, keys)
        file, size = aside.close()
    except BaseException:
        aside.abandon()
        raise
    return RangeReceipt(name=task.name, level=task.level, counts=aside.counts[0], file=file, file_bytes=size)


def write(work: Work, name: str, parts: Sequence[Part]) -> ChunkReceipt:
    """Write a chunk of rows that were put aside.

    Args:
      work: What all chunks have in common; its `learnt` is that of all units.
      name: The task's.
      parts: Where the rows are.

    Raises:
      SplitError: a file is damaged.
    """
    _, preparation = work.preparation(_refuse)
    form, chunks = preparation.written_form(), preparation.layout.format
    rows = (preparation.written(rows) for rows in gathered(work.aside, parts, is_keyed=work.request.shuffle))
    path = work.made / f"{name}-{_attempt()}{chunks.suffix}"
    entry = write_chunk(path, rows, chunks=chunks, form=form, synced=work.syncs)
    return ChunkReceipt(name=name, entry=entry)


def read_through(work: Work, name: str, file: InputFile) -> FileReceipt:
    """Return the digest of a file of which no unit reads every byte.

    Args:
      work: What all tasks have in common.
      name: The task's.
      file: The file.
    """
    return FileReceipt(name=name, digest=digest_of_file(file))


class _Scatter:
    """One unit, while it is read."""

    def __init__(self, work: Work, unit: Unit, dropped: Dropped | None) -> None:
        self._work, self._unit = work, unit
        self._outputs = work.request.outputs
        self._bad = BadRows(work.request.max_skipped)
        self._learnt, self._preparation = work.preparation(self._bad, first_rows(work.made, dropped))
        self._digests = {name: xxhash.xxh3_64() for name in self._outputs}
        self._num_rows = dict.fromkeys(self._outputs, 0)
        self._raw_bytes = dict.fromkeys(self._outputs, 0)
        self._chunks: list[ChunkEntry] = []
        total = work.fans[0] if work.fans else 0
        path = work.aside / f"{unit.name}-{_attempt()}.rows"
        self._aside = RowsAside(path, num_outputs=len(self._outputs), num_ranges=total or 1, first=0, total=total)
        waits = any(source.file is not None for source, _ in unit.spans)  # for a network, which serves several at once
        self._turn = LockTurn(is_taken=work.keeps_lines and work.cut is not None and not waits)
        self._cutter = None if work.cut is None else ChunkCutter(work.cut, evens_out=True)

    def run(self) -> UnitReceipt:
        num_lines = 0
        parts_read: list[str] = []
        try:
            for source, span in self._unit.spans:
                num_lines = 0
                digest = PartDigest(None if span.stop is None else span.stop - span.start)
                read = {"digest": digest} if source.is_read_through else {}
                with closing(source.blocks(span, **read)) as blocks, self._turn:
                    for block in blocks:
                        for output, rows in self._preparation.rows(block, source.name):
                            self._take(output, rows)
                        num_lines += len(block.ends)
                parts_read.append(digest.hexdigest() if read else "")
            self._preparation.check_end(source.name)
            if self._cutter is not None:
                for parts in self._cutter.end():  # the turn is another unit's by now
                    self._write_chunk(parts)
            file, size = self._aside.close()
        except BaseException:
            self._aside.abandon()
            raise
        if self._work.syncs and sum(self._raw_bytes.values()) > _LONG_ROW * sum(self._num_rows.values()):
            return_freed_memory()  # the process is ours, and will write chunks of these rows
        self._learnt.num_skipped = len(self._bad.rows)
        return UnitReceipt(
            name=self._unit.name,
            num_rows=self._num_rows,
            raw_bytes=self._raw_bytes,
            first_line=self._unit.first_line,
            num_lines=num_lines,
            digest="".join(digest.hexdigest() for digest in self._digests.values()),
            piece=self._unit.digest,
            learnt=self._learnt,
            bad=self._bad.rows,
            chunks={} if self._cutter is None else {self._outputs[0]: self._chunks},
            buckets=dict(zip(self._outputs, self._aside.counts, strict=True)),
            file=file,
            file_bytes=size,
            parts_read=parts_read,
        )

    def _take(self, output: str, rows: Rows) -> None:
        index = self._outputs.index(output)
        self._digests[output].update(rows.data)
        keys = None
        if self._work.request.shuffle:
            unit = (index, self._unit.index, self._unit.piece)
            keys = row_keys(self._work.request.seed, unit, self._num_rows[output], len(rows))
        self._num_rows[output] += len(rows)
        self._raw_bytes[output] += len(rows.data)
        if self._cutter is not None and index == 0:
            for parts in self._cutter.add(rows):
                with self._turn.left():
                    self._write_chunk(parts)
        else:
            self._aside.take(index, rows, keys)

    def _write_chunk(self, parts: list[Rows]) -> None:
        form, chunks = self._preparation.layout.form, self._preparation.layout.format
        path = self._work.made / f"{self._unit.name}-{len(self._chunks):04d}-{_attempt()}{chunks.suffix}"
        taken = (parts.pop(0) for _ in range(len(parts)))  # whoever cut them would keep them until the next chunk
        self._chunks.append(write_chunk(path, taken, chunks=chunks, form=form, synced=self._work.syncs))


def _attempt() -> str:
    return uuid.uuid4().hex[:12]


def _refuse(error: Exception, name: str, line: int, stage: str) -> None:
    raise error
