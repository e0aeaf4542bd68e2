"""The tasks of a split, pure functions of the plan and of files: a unit of the dump is scattered, a chunk written.

`scatter` turns the rows of a unit into chunks, where these can be cut while they are read, or puts them aside by the
bucket that they belong to.  `write` gathers a chunk from what all units put aside.  A task writes files under a name of
this attempt alone, and answers with a receipt that names them.
"""

from __future__ import annotations

import functools
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import xxhash

from pyloader.deliver import this_thread
from pyloader.errors import EngineError, import_optional
from pyloader.files import ChunkEntry, chunk_bytes
from pyloader.write.chunk_files import write_chunk
from pyloader.write.chunking import ChunkCutter, Part, gathered
from pyloader.write.file_digests import PartDigest, digest_of_file
from pyloader.write.job import ChunkReceipt, FileReceipt, UnitReceipt
from pyloader.write.left_out import BadRows
from pyloader.write.preparing import Learnt, Preparation
from pyloader.write.request import Request
from pyloader.write.rows import Rows, join_rows
from pyloader.write.segments import SegmentWriter, bucket_of, row_keys
from pyloader.write.sizes import ChunkSizes
from pyloader.write.unique import Dropped, UniqueRows, first_rows
from pyloader.write.units import Unit
from pyloader.write.versions import versions

__all__ = ["PENDING_BYTES", "Work", "forget_work", "packed", "read_through", "run_task", "scatter", "write"]

# Rows of a unit that wait in memory to be put aside.
PENDING_BYTES = 2**24


@dataclass(frozen=True, eq=False)
class Work:
    """What all tasks of a kind have in common.

    Attributes:
      request: The options; without its inputs.
      input_format: One of INPUT_FORMATS.
      learnt: What is known of the columns, as JSON.
      made: Where files are written.
      cut: How the main output is cut while it is read; None when its rows are put aside.
      num_buckets: Of each output, in a shuffled split.
      holdout_rule: As `pyloader.write.holdout` has it.
      versions: Of what decides about bytes, where the split was begun.
      import_path: Where user code was found there.
      working_dir: What relative names of inputs are relative to.
    """

    request: Request
    input_format: str
    learnt: bytes
    made: Path
    cut: ChunkSizes | None
    num_buckets: int
    holdout_rule: int
    versions: dict[str, str]
    import_path: tuple[str, ...]
    working_dir: str

    def preparation(
        self, bad: Callable[[Exception, str, int, str], None], unique: UniqueRows | None = None
    ) -> tuple[Learnt, Preparation]:
        """Return what turns blocks into rows, and what it learns meanwhile."""
        learnt, rule = msgspec.json.decode(self.learnt, type=Learnt), self.holdout_rule
        return learnt, Preparation(learnt, self.request, self.input_format, bad, holdout_rule=rule, unique=unique)


def packed(work: Work) -> bytes:
    """Return `work` as it is sent to another process.

    Raises:
      TypeError: the user's `encode` or `where` cannot be sent; the message names the part that cannot.
      MissingDependencyError: cloudpickle is not installed.
    """
    import_optional("cloudpickle", wanted_by="A split in other processes")
    from pyloader.deliver.pickling import pack_function  # it imports cloudpickle

    sent, _ = pack_function(partial(_identity, work))
    return sent


def run_task(task: Callable[..., Any], work: Work | bytes, *args: Any) -> Any:
    """Return `task(work, *args)`; for packed work, what it raised comes back as a `Failure`."""
    if isinstance(work, Work):
        return task(_of_thread(work, this_thread()), *args)
    try:
        return task(_unpacked(work, this_thread()), *args)
    except Exception as exc:
        from pyloader.deliver.pickling import Failure

        return Failure.of(exc, {})


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


def write(work: Work, name: str, parts: Sequence[Part]) -> ChunkReceipt:
    """Write a chunk of rows that were put aside.

    Args:
      work: What all chunks have in common; its `learnt` is that of all units.
      name: The task's.
      parts: Where the rows are.
    """
    _, preparation = work.preparation(_refuse)
    form, chunks = preparation.written_form(), preparation.layout.format
    rows = [preparation.written(rows) for rows in gathered(work.made, parts, is_keyed=work.request.shuffle)]
    entry = write_chunk(work.made / f"{name}-{_attempt()}{chunks.suffix}", rows, chunks=chunks, form=form)
    return ChunkReceipt(name=name, entry=entry)


def read_through(work: Work, name: str, path: str) -> FileReceipt:
    """Return the digest of a file of which no unit reads every byte.

    Args:
      work: What all tasks have in common.
      name: The task's.
      path: The file.
    """
    return FileReceipt(name=name, digest=digest_of_file(path))


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
        self._buckets = {name: [0] * work.num_buckets for name in self._outputs}
        self._pending: list[tuple[int, Rows, np.ndarray | None]] = []
        self._pending_bytes = 0
        self._segments: SegmentWriter | None = None
        self._file = f"{unit.name}-{_attempt()}.rows"
        cut = work.cut
        self._cutter = None if cut is None else ChunkCutter(cut, evens_out=True)

    def run(self) -> UnitReceipt:
        num_lines = 0
        parts_read: list[str] = []
        try:
            for source, span in self._unit.spans:
                num_lines = 0
                digest = PartDigest(None if span.stop is None else span.stop - span.start)
                read = {"digest": digest} if source.is_read_through else {}
                with closing(source.blocks(span, **read)) as blocks:
                    for block in blocks:
                        for output, rows in self._preparation.rows(block, source.name):
                            self._take(output, rows)
                        num_lines += block.num_lines
                parts_read.append(digest.hexdigest() if read else "")
            self._preparation.check_end(source.name)
            if self._cutter is not None:
                self._write_chunks(self._cutter.end())
            self._put_aside()
            if self._segments is not None:
                self._segments.close(by_bucket=self._work.request.shuffle)
        except BaseException:
            if self._segments is not None:
                self._segments.abandon()
            raise
        self._learnt.num_skipped = len(self._bad.rows)
        path = self._work.made / self._file
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
            buckets=self._buckets,
            file="" if self._segments is None else self._file,
            file_bytes=0 if self._segments is None else chunk_bytes(path),
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
            self._write_chunks(self._cutter.add(rows))
            return
        self._pending.append((index, rows, keys))
        self._pending_bytes += len(rows.data) + 16 * len(rows)
        if self._pending_bytes >= PENDING_BYTES:
            self._put_aside()

    def _put_aside(self) -> None:
        """Write the waiting rows, those of a bucket together."""
        for index, output in enumerate(self._outputs):
            waiting = [(rows, keys) for of, rows, keys in self._pending if of == index]
            if not waiting:
                continue
            if self._segments is None:
                self._segments = SegmentWriter(self._work.made / self._file)
            rows, first = join_rows([rows for rows, _ in waiting]), index * self._work.num_buckets
            if not self._work.request.shuffle:
                self._segments.append(first, rows)
                self._buckets[output][0] += len(rows)
                continue
            keys = np.concatenate([keys for _, keys in waiting if keys is not None])
            buckets = bucket_of(keys, self._work.num_buckets)
            order = np.argsort(buckets, kind="stable")
            rows, keys, buckets = rows.take(order), keys[order], buckets[order]
            starts = np.flatnonzero(np.diff(buckets, prepend=-1)).tolist()
            for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
                bucket = int(buckets[start])
                self._segments.append(first + bucket, rows.slice(start, stop), keys[start:stop])
                self._buckets[output][bucket] += stop - start
        self._pending.clear()
        self._pending_bytes = 0

    def _write_chunks(self, cut: Iterable[list[Rows]]) -> None:
        for parts in cut:
            form, chunks = self._preparation.layout.form, self._preparation.layout.format
            path = self._work.made / f"{self._unit.name}-{len(self._chunks):04d}-{_attempt()}{chunks.suffix}"
            self._chunks.append(write_chunk(path, parts, chunks=chunks, form=form))


@functools.lru_cache(maxsize=64)
def _of_thread(work: Work, thread: Any) -> Work:
    """Return the work of this thread: an encoder that is given by its name, or class, is made once a thread."""
    return replace(work, request=replace(work.request))


@functools.lru_cache(maxsize=64)
def _unpacked(work: bytes, thread: Any) -> Work:
    """Return the work that was sent, for this thread."""
    from pyloader.deliver.pickling import load_function

    loaded, _ = load_function(work)
    found: Work = loaded()
    if (here := versions()) != found.versions:
        pairs = [(name, here.get(name, ""), other) for name, other in found.versions.items()]
        differing = [f"{name} {own or 'missing'} instead of {other}" for name, own, other in pairs if own != other]
        what = f"A worker on {os.uname().nodename} has {', '.join(differing)}, which may write other bytes."
        raise EngineError(what, "Install the same versions there, and give the same command again")
    if not (found.made.is_dir() and os.path.isdir(found.working_dir)):
        what = f"{found.made.parent.parent} cannot be seen by a worker on {os.uname().nodename}."
        raise EngineError(what, "Name a directory that all nodes see, and inputs that they see under the same names")
    if os.getcwd() != found.working_dir:
        os.chdir(found.working_dir)  # a worker of Ray has a directory of its own
    sys.path += [path for path in found.import_path if path not in sys.path]
    return found


def forget_work() -> None:
    """Let go of what the threads of this process have made for their tasks: an encoder may be a large model."""
    _of_thread.cache_clear()


def _identity(work: Work) -> Work:
    return work


def _attempt() -> str:
    return uuid.uuid4().hex[:12]


def _refuse(error: Exception, name: str, line: int, stage: str) -> None:
    raise error
