"""Split a dump of any size into chunks: exactly, in bounded memory, and to be gone on with after a kill."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyloader.columns import ColumnSpec
from pyloader.dataset import Dataset
from pyloader.deliver import map_ahead
from pyloader.errors import SplitError
from pyloader.files.manifest import MANIFEST_NAME, ChunkEntry, Manifest, write_manifest
from pyloader.options import parse_bytes
from pyloader.write.atomic import disk_full, sync_directory
from pyloader.write.beginning import begin
from pyloader.write.finishing import first_free_index, write_chunk
from pyloader.write.inputs import InputNames, find_inputs
from pyloader.write.job import Job, Progress
from pyloader.write.kinds import joined_specs
from pyloader.write.preparing import Preparation, named_object
from pyloader.write.report import SplitReport, report_of
from pyloader.write.request import Request
from pyloader.write.rows import Rows
from pyloader.write.scatter import SEGMENT_BYTES, Scatter, segment_bits
from pyloader.write.sizes import ChunkSizes
from pyloader.write.spool import SpoolReader
from pyloader.write.standing import look

__all__ = ["split"]


def split(
    inputs: InputNames,
    output_dir: str | os.PathLike[str],
    *,
    chunk_bytes: int | str | None = None,
    chunk_samples: int | None = None,
    num_chunks: int | None = None,
    shuffle: bool = False,
    seed: int = 0,
    holdout: Mapping[str, float] | None = None,
    workers: int = 1,
    input_format: str | None = None,
    output_format: str | None = None,
    encode: str | Dataset | None = None,
    where: str | Callable[[dict[str, Any]], Any] | None = None,
    fill: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
    append: bool = False,
    progress: bool = False,
) -> SplitReport:
    """Split a dump into chunks, whatever its size.

    The chunks are a function of the dump's rows and of the options, never of `workers`.  Each is there whole or not at
    all, and the manifest comes last.  A run that was killed goes on from where it stopped when it is started again.
    Chunks that have been damaged since are written again, and no others.

    Args:
      inputs: A file, a glob pattern, several of them, "-" for standard input, or column -> .npy file.
      output_dir: Where the chunks go; with `holdout`, into train/ and the others below it.
      chunk_bytes: Bytes of a chunk before compression ("64MiB"), about; the default, but at least 16 chunks.
      chunk_samples: Samples of a chunk, instead.
      num_chunks: Chunks of the main output, instead, with the same number of samples or one less.
      shuffle: Whether all rows change places, uniformly.  Puts the whole dump aside below `output_dir` meanwhile.
      seed: Of the shuffle, an integer >= 0.
      holdout: {"val": 0.02}: the share of the samples that goes to val/.  Which ones depends on what they hold only.
      workers: Threads that compress and write chunks.
      input_format: "jsonl", "text", "csv", "tsv", "npy", "npz" or "parquet"; None goes by the suffix.
      output_format: One of pyloader.write.FORMATS; None is "columns" for arrays, "jsonl.zst" for other columns, and
        "parquet" when there are bytes.
      encode: A Dataset, or "package.module:Class"; its batch_encode is applied once.
      where: A function of a sample (a dict) or "package.module:function"; what it is not true of is left out.
      fill: Column -> what stands where a JSON line lacks it, or has null.
      columns: The columns to keep; None keeps all.
      overwrite: Whether chunks of another split are removed first.
      append: Whether to add to them.
      progress: Whether to show a bar, on stderr, when that is a terminal.

    Returns:
      What was done.

    Raises:
      SplitError: the dump is damaged or uneven, the directory holds other chunks, or the disk is full.
    """
    size = None if chunk_bytes is None else parse_bytes(chunk_bytes)
    request = Request(
        inputs=inputs,
        output_dir=os.fspath(output_dir),
        sizes=ChunkSizes(chunk_bytes=size, chunk_samples=chunk_samples, num_chunks=num_chunks),
        shuffle=shuffle,
        seed=seed,
        holdout=holdout,
        input_format=input_format,
        output_format=output_format,
        encode=encode,
        where=where,
        fill=fill,
        columns=columns,
        append=append,
    )
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if overwrite and append:
        raise ValueError("overwrite and append were given; one says what happens to the chunks that are there")
    return _Split(request, overwrite=overwrite, workers=workers, show=progress).run()


@dataclass
class _Chunk:
    """A chunk to be written, and the segments of its output that nobody needs when it is."""

    output: str
    index: int
    rows: Rows | None
    done_with: tuple[int, ...] = ()


class _Split:
    """One run of a split.

    Its course: look at what is there, read the dump and put its rows aside, write the chunks, write the manifests.
    Where chunks can be cut without knowing the totals, they are written while the dump is read.
    """

    def __init__(self, request: Request, *, overwrite: bool, workers: int, show: bool) -> None:
        self._request, self._overwrite, self._workers, self._show = request, overwrite, workers, show
        self._root = Path(request.output_dir)
        self._inputs = find_inputs(request.inputs, input_format=request.input_format)
        encode, where = request.encode, request.where
        if isinstance(encode, str):
            encode = named_object(encode, "--encode")
        self._preparation = Preparation(
            input_format=self._inputs.format,
            output_format=request.output_format,
            columns=request.columns,
            fill=request.fill,
            where=named_object(where, "--where") if isinstance(where, str) else where,
            encode=encode() if isinstance(encode, type) else encode,
        )
        known = request.sizes.are_known_while_reading(self._inputs.raw_bytes, shuffle=request.shuffle)
        self._cut = request.sizes if known and not self._needs_final_kinds() else None
        self._job = Job(self._root)
        self._num_written = 0
        self._num_planned: int | None = None

    def run(self) -> SplitReport:
        """Split, or go on."""
        began = time.monotonic()
        needs_all = self._cut is None
        progress = begin(self._request, self._inputs, self._job, overwrite=self._overwrite, puts_all_aside=needs_all)
        if progress is None:
            return self._report(began)
        try:
            scatter = self._scatter(progress)
            self._write_planned(progress, scatter)
            self._write_manifests(progress)
        except SplitError:
            if not self._job.is_worth_keeping:
                self._job.end()
            raise
        except KeyboardInterrupt as exc:
            raise KeyboardInterrupt(self._stopped()) from exc
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_full(self._job.directory, exc) from exc
            raise
        return self._report(began)

    def _needs_final_kinds(self) -> bool:
        """Tell whether a chunk's bytes depend on what the columns turn out to be over the whole dump."""
        chunks, request = self._request.output_format, self._request
        may_be_parquet = chunks == "parquet" or (
            chunks is None and (request.encode is not None or self._inputs.format == "parquet")
        )
        return may_be_parquet or self._preparation.decides_at_the_end

    # The dump

    def _scatter(self, progress: Progress) -> Scatter:
        request = self._request
        scatter = Scatter(
            self._job.directory,
            progress,
            outputs=request.outputs,
            seed=request.seed if request.shuffle else None,
            holdout=request.holdout,
            cut=self._cut,
            bits=segment_bits(self._inputs.raw_bytes),
        )
        if progress.preparation:
            self._preparation.restore(progress.preparation)
        if progress.all_read:
            return scatter
        if not scatter.restore():
            raise SplitError(str(self._job.directory), "has lost rows put aside.", "Start afresh: --overwrite")

        def checkpoint() -> None:
            gone = self._write_full_segments(progress, scatter)
            self._job.save(progress)
            for output, index in gone:
                scatter.spools[output].remove(index)

        total = self._inputs.num_bytes or None
        done = sum(source.num_bytes for source in self._inputs.sources[: progress.source_index])
        with self._bar("read", total, unit="B", initial=done) as bar:

            def seen(num_bytes: int) -> None:
                bar.update(max(0, num_bytes - bar.n))
                bar.set_postfix_str(f"{progress.num_rows:,} samples", refresh=False)

            scatter.run(self._inputs, self._preparation, checkpoint=checkpoint, seen=seen)
        if not progress.num_rows:
            kept = " that --where keeps" if request.where else ""
            raise SplitError(request.shown_inputs(), f"holds no samples{kept}.")
        if progress.expected_content not in ("", progress.content):
            self._job.end()  # what it has put aside is of no use, and the chunks stay as they were
            what = f"holds other rows than when {self._root}/ was made of it."
            raise SplitError(request.shown_inputs(), what, "Start afresh: --overwrite")
        return scatter

    def _write_full_segments(self, progress: Progress, scatter: Scatter) -> list[tuple[str, int]]:
        """Write the segments that are whole chunks by now; return those that need not be kept."""
        if self._cut is None:
            return []
        full = []
        for output, spool in scatter.spools.items():
            stop = len(spool.segments) - (not progress.all_read)
            full += [(output, index) for index in range(stop) if not spool.segments[index].is_gone]
        if len(full) < self._workers and not progress.all_read:
            return []

        def chunks() -> Iterator[_Chunk]:
            for output, segment in full:
                index = segment + first_free_index(progress.kept.get(output, ()))
                if (output, index) not in self._job.finished:
                    reader = SpoolReader(scatter.spools[output], max_bytes=SEGMENT_BYTES, segment=segment)
                    yield _Chunk(output, index, reader.read(scatter.spools[output].segments[segment].num_rows))

        for _ in self._written(chunks()):
            pass
        for output, index in full:
            scatter.spools[output].segments[index].is_gone = True
        return full

    # The chunks

    def _write_planned(self, progress: Progress, scatter: Scatter) -> None:
        """Write the chunks whose sizes follow from the totals."""
        if self._cut is not None:
            return
        spools = scatter.spools
        main, *others = spools.values()
        wanted = self._request.sizes.num_chunks
        if wanted is not None and wanted > main.num_rows:
            self._job.end()
            what = f"holds {main.num_rows:,} samples, too few for {wanted:,} chunks."
            raise SplitError(self._request.shown_inputs(), what, "Ask for fewer")
        counts = self._request.sizes.counts((main.num_rows, main.raw_bytes), tuple(spool.num_rows for spool in others))
        plan = dict(zip(spools, counts, strict=True))
        self._num_planned = sum(map(len, counts))

        def chunks() -> Iterator[_Chunk]:
            for output, sizes in plan.items():
                reader = SpoolReader(spools[output], max_bytes=4 * SEGMENT_BYTES)
                first, behind = first_free_index(progress.kept.get(output, ())), 0
                for index, size in enumerate(sizes, start=first):
                    if (output, index) in self._job.finished:
                        reader.skip(size)
                        continue
                    rows = reader.read(size)
                    yield _Chunk(output, index, rows, tuple(range(behind, reader.segment)))
                    behind = reader.segment

        with self._bar("write", self._num_planned, unit=" chunks", initial=len(self._job.finished)) as bar:
            for chunk in self._written(chunks()):
                bar.update()
                for segment in chunk.done_with:
                    spools[chunk.output].remove(segment)

    def _written(self, chunks: Iterable[_Chunk]) -> Iterator[_Chunk]:
        """Yield each chunk when it is at its place and in the journal."""
        form, chunk_format = self._preparation.completed_form(), self._preparation.layout.format
        assert chunk_format is not None

        def write(chunk: _Chunk) -> tuple[_Chunk, ChunkEntry]:
            assert chunk.rows is not None
            directory = self._root / chunk.output
            directory.mkdir(exist_ok=True)
            rows = self._preparation.completed(chunk.rows)
            chunk.rows = None  # the chunk may wait for its turn; its rows need not
            return chunk, write_chunk(directory, chunk.index, rows, chunks=chunk_format, form=form)

        threads = self._workers if self._workers > 1 else 0
        for chunk, entry in map_ahead(write, chunks, num_threads=threads, name="split", max_ahead=max(1, threads)):
            self._job.add_chunk(chunk.output, chunk.index, entry)
            self._num_written += 1
            yield chunk

    def _write_manifests(self, progress: Progress) -> None:
        chunk_format = self._preparation.layout.format
        assert chunk_format is not None
        standing = look(self._root)
        for output in self._request.outputs:
            directory = self._root / output
            directory.mkdir(exist_ok=True)
            kept = progress.kept.get(output, [])
            entries = [entry for (name, _), entry in sorted(self._job.finished.items()) if name == output]
            specs = self._preparation.layout.written_specs(self._preparation.completed_form())
            before = standing.manifests.get(output)
            if kept and before is not None:
                specs = self._joined(directory, before, specs)
            made_by = {
                "command": progress.command,
                "dump": self._request.shown_inputs(),
                "fingerprint": progress.fingerprint,
                "content": progress.content,
                "num_kept": len(kept),
            }
            manifest = Manifest(columns=specs, reader=chunk_format.reader, chunks=(*kept, *entries), made_by=made_by)
            write_manifest(directory / MANIFEST_NAME, manifest)
            sync_directory(directory)
        self._job.end()

    def _joined(self, directory: Path, before: Manifest, specs: Sequence[ColumnSpec]) -> tuple[ColumnSpec, ...]:
        assert self._preparation.layout.format is not None
        try:
            if before.reader != self._preparation.layout.format.reader:
                raise ValueError(f"are {self._preparation.layout.format.reader}, not {before.reader}")
            return joined_specs(before.columns, specs)
        except ValueError as exc:
            what = f"cannot be added to: what comes {exc}."
            raise SplitError(f"{directory}/", what, "Split it into another directory") from exc

    # What is said

    def _report(self, began: float) -> SplitReport:
        seconds = time.monotonic() - began
        return report_of(self._root, self._request.outputs, num_written=self._num_written, seconds=seconds)

    def _stopped(self) -> str:
        number = len(self._job.finished)
        of = f" of {self._num_planned:,}" if self._num_planned else ""
        return (
            f"stopped with {number:,}{of} chunk{'s' * (number != 1)} written. "
            "The same command goes on from there; --overwrite starts afresh."
        )

    @contextlib.contextmanager
    def _bar(self, what: str, total: int | None, *, unit: str, initial: int) -> Iterator[Any]:
        from tqdm import tqdm

        with tqdm(
            desc=what,
            total=total,
            initial=initial,
            unit=unit,
            unit_scale=unit == "B",
            disable=None if self._show else True,
            dynamic_ncols=True,
        ) as bar:
            yield bar
