"""The passes of a split: the dump is read and its rows put aside, the chunks are written, the manifests come last."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from pyloader.deliver import map_ahead
from pyloader.errors import SplitError, WriteError
from pyloader.files import MANIFEST_NAME, ChunkEntry, Manifest, no_room, read_manifest
from pyloader.machine.bars import progress_bar
from pyloader.write.beginning import chunk_sets
from pyloader.write.chunk_files import check_number, check_same_columns, first_free_index, new_manifest, write_chunk
from pyloader.write.inputs import Inputs
from pyloader.write.job import Job, Progress
from pyloader.write.left_out import LeftOut
from pyloader.write.placing import place_all
from pyloader.write.preparing import Preparation
from pyloader.write.refusals import deleting, discarding
from pyloader.write.request import Request
from pyloader.write.rows import Rows, join_rows
from pyloader.write.scatter import SEGMENT_BYTES, Scatter
from pyloader.write.sizes import ChunkSizes
from pyloader.write.spool import cut

__all__ = ["Passes"]


@dataclass
class _Chunk:
    """A chunk to be written; `stop` is the row of its output that it ends before, or the segment that it is."""

    output: str
    index: int
    stop: int
    rows: Rows | None = field(repr=False)  # the threads' reports name the chunk: a repr of its bytes would be dear


class Passes:
    """One run of a split, from its checkpoint to its end.

    Its course: read the dump and put its rows aside, write the chunks, write the manifests.  Where chunks can be cut
    without knowing the totals, they are written while the dump is read.

    Args:
      request: What the user asked for.
      inputs: The dump.
      job: What is done is noted here.
      progress: The checkpoint to go on from.
      cut: How to cut the rows while they are read; None when that takes the totals.
      workers: Threads that compress and write chunks.
      show: Whether to show bars.
    """

    def __init__(
        self,
        request: Request,
        inputs: Inputs,
        job: Job,
        progress: Progress,
        *,
        cut: ChunkSizes | None,
        workers: int,
        show: bool,
    ) -> None:
        self._request, self._inputs, self._job, self._progress = request, inputs, job, progress
        self._cut, self._workers, self._show = cut, workers, show
        self._root = Path(request.output_dir)
        self._left_out = LeftOut(progress.learnt, request.max_skipped, request.quarantine)
        self._preparation = Preparation(progress.learnt, request, inputs.format, self._left_out)
        self._scatter = Scatter(job.directory, progress, request, raw_bytes=inputs.raw_bytes, cut=cut)
        self._num_planned: int | None = None

    def run(self) -> int:
        """Split, or go on; return how many chunks were written."""
        num_before = len(self._job.finished)
        try:
            try:
                self._write_chunks(num_before)
                num_written = len(self._job.finished) - num_before
                manifests = self._manifests()
            except SplitError:
                if self._left_out.has_refused:
                    self._job.fail()  # the same command goes on when it allows more bad rows
                else:
                    self._job.end()  # the dump is at fault: nobody can go on with this
                raise
            place_all(self._root, manifests)
        except SplitError:
            raise
        except KeyboardInterrupt as exc:
            raise KeyboardInterrupt(self._stopped()) from exc
        except Exception as exc:
            full = exc if isinstance(exc, WriteError) else no_room(self._job.directory, exc)
            if full is None:
                self._job.fail()
                raise
            remedy = f"{full.hint}, then give the same command again: it goes on from here"
            raise SplitError(full.path, full.what, remedy) from exc
        return num_written

    def _write_chunks(self, num_before: int) -> None:
        spools = self._scatter.spools
        if self._cut is not None:
            with closing(self._written(self._chunks_while_reading())) as written:
                for chunk in written:
                    spools[chunk.output].remove(chunk.stop)
            return
        for _ in self._put_aside():
            self._job.save(self._progress)
        with (
            closing(self._written(self._planned_chunks())) as written,
            self._bar("pass 2 of 2, write", self._num_planned, " chunks", num_before) as bar,
        ):
            for chunk in written:
                bar.update()
                spools[chunk.output].remove_before(chunk.stop)

    def _put_aside(self) -> Iterator[None]:
        """Read the dump; yield at each moment that may be a checkpoint, also when it is read already."""
        request, sources = self._request, self._inputs.sources
        if self._progress.all_read:
            yield
            return
        for name, spool in self._scatter.spools.items():
            first = self._first_index(name)
            in_chunks = {index - first for output, index in self._job.finished if output == name}
            if not spool.restore(in_chunks if self._cut is not None else ()):
                remedy = "Give the same command again: it begins anew"
                raise SplitError(str(self._job.directory), "has lost rows put aside.", remedy)
        total = sum(source.num_bytes for source in sources) or None
        before = sum(source.num_bytes for source in sources[: self._progress.source_index])
        with self._bar("read" if self._cut else "pass 1 of 2, scatter", total, "B", before) as bar:

            def seen(num_bytes: int) -> None:
                bar.update(max(0, num_bytes - bar.n))
                bar.set_postfix_str(f"{self._progress.num_rows:,} samples", refresh=False)

            for _ in self._scatter.run(self._inputs, self._preparation, seen):
                self._check_can_be_added()
                yield
        if not self._progress.num_rows:
            kept = " that --where keeps" if request.where else ""
            raise SplitError(request.shown_inputs(), f"holds no samples{kept}.")
        if self._progress.expected_content not in ("", self._progress.content):
            what = f"holds other rows than when {self._root}/ was made of it, so it cannot mend chunks there."
            remedy = f"Add them with --append, or start over: {deleting(chunk_sets(self._root))}"
            raise SplitError(request.shown_inputs(), what, remedy)

    def _chunks_while_reading(self) -> Iterator[_Chunk]:
        """Yield each segment when it is full: these are the chunks.  Advanced by the writing threads."""
        num_seen = dict.fromkeys(self._scatter.spools, 0)
        for _ in self._put_aside():
            for output, spool in self._scatter.spools.items():
                stop = max(0, len(spool.segments) - (not self._progress.all_read))
                first = self._first_index(output)
                for segment in range(num_seen[output], stop):
                    if (output, first + segment) in self._job.finished:
                        spool.remove(segment)  # put aside once more, after a restart
                    else:
                        parts = spool.parts(segment, SEGMENT_BYTES)
                        yield _Chunk(output, first + segment, segment, join_rows(list(parts)))
                num_seen[output] = stop
            self._job.save(self._progress)

    def _planned_chunks(self) -> Iterator[_Chunk]:
        """Return the chunks whose sizes follow from the totals."""
        main, *others = self._scatter.spools.values()
        wanted = self._request.sizes.num_chunks
        if wanted is not None and wanted > main.num_rows:
            what = f"holds {main.num_rows:,} samples, too few for {wanted:,} chunks."
            raise SplitError(self._request.shown_inputs(), what, "Ask for fewer")
        counts = self._request.sizes.counts((main.num_rows, main.raw_bytes), tuple(spool.num_rows for spool in others))
        self._num_planned = sum(map(len, counts))

        def chunks() -> Iterator[_Chunk]:
            finished = set(self._job.finished)  # before this pass
            for (output, spool), sizes in zip(self._scatter.spools.items(), counts, strict=True):
                first = self._first_index(output)
                is_done = [(output, first + index) in finished for index in range(len(sizes))]
                begin = is_done.index(False) if False in is_done else len(sizes)
                # From the first chunk that is not there: the segments before it may be gone.
                pieces = cut(spool.rows_from(sum(sizes[:begin]), max_bytes=4 * SEGMENT_BYTES), sizes[begin:])
                for index, stop in islice(enumerate(accumulate(sizes)), begin, None):
                    chunk = _Chunk(output, first + index, stop, next(pieces))
                    if not is_done[index]:
                        yield chunk

        return chunks()

    def _first_index(self, output: str) -> int:
        first = self._progress.first.get(output)
        return first_free_index(self._progress.kept.get(output, ())) if first is None else first

    def _written(self, chunks: Iterable[_Chunk]) -> Generator[_Chunk, None, None]:
        """Yield each chunk when it is at its place and in the journal."""

        def write(chunk: _Chunk) -> tuple[_Chunk, ChunkEntry]:
            assert chunk.rows is not None
            rows, form = self._preparation.written(chunk.rows), self._preparation.written_form()
            chunk.rows = None  # the chunk may wait for its turn; its rows need not
            directory, chunks = self._job.staged(chunk.output), self._preparation.layout.format
            return chunk, write_chunk(directory, chunk.index, rows, chunks=chunks, form=form)

        threads = self._workers if self._workers > 1 else 0
        for chunk, entry in map_ahead(write, chunks, num_threads=threads, name="split", max_ahead=max(1, threads)):
            self._job.add_chunk(chunk.output, chunk.index, entry)
            yield chunk

    def _manifests(self) -> dict[str, Manifest]:
        """Return the new manifest of each output."""
        progress, finished, chunks = self._progress, self._job.finished, self._preparation.layout.format
        check_number(str(self._root), finished.values(), progress.num_rows)
        columns = self._preparation.layout.written_specs(self._preparation.written_form())
        manifests = {}
        for output in self._request.outputs:
            kept = progress.kept.get(output, [])
            made_by = {
                "command": progress.command,
                "dump": self._request.shown_inputs(),
                "fingerprint": progress.fingerprint,
                "content": progress.content,
                "num_kept": len(kept),
                "filled": progress.learnt.filled,
                "num_skipped": progress.learnt.num_skipped,
                "why": self._preparation.layout.why,
                "order": [spec.name for spec in columns],
            }
            if self._request.holdout:
                made_by["holdout"] = dict(self._request.holdout)
            manifests[output] = new_manifest(
                self._root / output,
                kept,
                [entry for (name, _), entry in sorted(finished.items()) if name == output],
                columns=columns,
                chunks=chunks,
                made_by=made_by,
                is_mending=progress.is_mending,
            )
        return manifests

    def _check_can_be_added(self) -> None:
        """See to it early that the rows have the columns of the chunks that are there."""
        if self._progress.is_mending or not self._progress.num_rows:
            return
        columns = self._preparation.layout.written_specs(self._preparation.written_form())
        for output, kept in self._progress.kept.items():
            if kept and output in self._request.outputs:
                directory, chunks = self._root / output, self._preparation.layout.format
                before = read_manifest(directory / MANIFEST_NAME)
                check_same_columns(directory, before, columns, chunks, names_only=True)

    def _stopped(self) -> str:
        if not self._job.is_worth_keeping:
            self._job.end()
            return "stopped before anything was kept."
        number = len(self._job.finished)
        of = f" of {self._num_planned:,}" if self._num_planned else ""
        return (
            f"stopped with {number:,}{of} chunk{'s' * ((self._num_planned or number) != 1)} written. "
            f"The same command goes on from there; {discarding(self._root)} gives up what was begun."
        )

    def _bar(self, what: str, total: int | None, unit: str, initial: int) -> Any:
        return progress_bar(what, total=total, unit=unit, initial=initial, hidden=not self._show)
