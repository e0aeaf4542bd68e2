"""Split a dump of any size into chunks: exactly, in bounded memory, and to be gone on with after a kill."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pyloader.dataset import Dataset
from pyloader.deliver.engines import ENGINES, Engine, opened_engine
from pyloader.errors import MissingDependencyError, OutputDirError, SplitError, import_optional
from pyloader.files import locked
from pyloader.machine.limits import num_processors
from pyloader.options import parse_bytes
from pyloader.write.beginning import begin, discard, places_to_lock, text_columns
from pyloader.write.choosing import first_layout, parquet_instead
from pyloader.write.filling import check_fill_of_lines
from pyloader.write.inputs import InputNames, Inputs, find_inputs
from pyloader.write.job import Job
from pyloader.write.layout import Layout
from pyloader.write.preparing import Learnt, is_settled_at_the_end
from pyloader.write.refusals import check_is_path
from pyloader.write.report import SplitReport, report_of
from pyloader.write.request import Request
from pyloader.write.runner import Run
from pyloader.write.sizes import ChunkSizes

__all__ = ["discard_stopped", "split"]

_WORTH_PROCESSES = 2**28  # bytes of a dump, for which the start of a process is little
# Of JSON lines that keep bytes and order: most of the work is to compress them, outside of the interpreter's lock.
_FEW_THREADS = 2
_log = logging.getLogger("pyloader")


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
    workers: int | None = None,
    engine: str | Engine | None = None,
    address: str | None = None,
    holdout_by: str | None = None,
    input_format: str | None = None,
    delimiter: str | None = None,
    quote: str | None = None,
    output_format: str | None = None,
    encode: str | Dataset | None = None,
    where: str | Callable[[dict[str, Any]], Any] | None = None,
    fill: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
    append: bool = False,
    max_skipped: int = 0,
    quarantine: str | os.PathLike[str] | None = None,
    scratch_dir: str | os.PathLike[str] | None = None,
    discard_stopped: bool = False,
    progress: bool = False,
) -> SplitReport:
    """Split a dump into chunks, whatever its size.

    The chunks are a function of the dump and of the options, never of `workers` or `engine`.  Each is there whole or
    not at all, and the manifest comes last.  A run that was killed goes on from where it stopped when it is started
    again.  Chunks that have been damaged since are written again, and no others.

    Args:
      inputs: A file, a glob pattern, several of them, "-" for standard input, or column -> .npy file.
      output_dir: Where the chunks go; with `holdout`, into train/ and the others below it.
      chunk_bytes: Bytes of a chunk before compression ("64MiB"), about; the default, but at least 16 chunks.
      chunk_samples: Samples of a chunk, instead.
      num_chunks: Chunks of the main output, instead, with the same number of samples or one less.
      shuffle: Whether all rows change places, uniformly.  Puts the whole dump aside below `output_dir` meanwhile.
      seed: Of the shuffle, an integer >= 0.
      holdout: {"val": 0.02}: the share of the samples that goes to val/.  Which ones depends only on what they hold
        in the dump.
      workers: How many tasks run at once; None is the number of processors that this process may use.
      engine: Where they run: "inline", "thread", "process", "ray", or any object with `submit(function, *args)`, such
        as an executor of `concurrent.futures`; with such an object `workers` says how many it has.  None is processes
        for a large dump, as far as `encode` and `where` can be sent to them, and threads otherwise.
      address: Of a running Ray cluster; None begins one here, unless `ray.init` was called.
      holdout_by: The column that decides what is held out; None looks at all columns.
      input_format: "jsonl", "text", "csv", "tsv", "npy", "npz", "parquet" or "arrow"; None goes by the suffix.  Files
        that are said to be text are taken as they are; others must not be web pages, pointers of Git LFS or UTF-16.
      delimiter: What stands between fields of CSV or TSV, one character; None is a comma or a tab.  Then a header of
        one name that holds another delimiter is an error.
      quote: What may stand around such a field, one character; "none" where quotes mean nothing.  None is the double
        quote; then one that takes in what looks like rows, or more than 10,000 lines, is an error.
      output_format: One of pyloader.write.FORMATS; None is "columns" for arrays, "jsonl.zst" for other columns, and
        "parquet" when these hold bytes, dates, or other values that JSON does not give back as they are.
      encode: A Dataset, or "package.module:Class"; its batch_encode is applied once.
      where: A function of a sample (a dict) or "package.module:function"; what it is not true of is left out.
      fill: Column -> what stands where a sample lacks it, or has null; in CSV and TSV, where the field is empty.  It is
        put in before `where` and `encode` see the sample.
      columns: The columns to keep; None keeps all.  What is in the others does not matter.
      overwrite: Whether chunks of another split are deleted first.
      append: Whether to add to them.  What is there can be loaded before, meanwhile and afterwards.
      discard_stopped: Whether to give up what another split has begun in `output_dir` and was stopped in; chunks that
        are listed by a manifest stay.
      max_skipped: How many bad rows may be left out: lines that are no rows like the others, or that `where` or
        `encode` fails on.  They change nothing else; a run that was stopped by one goes on with another number.
      quarantine: A file that gets a line of JSON for each row that is left out: file, line, error and stage.
      scratch_dir: Where rows are put aside, a directory that is there; None is below `output_dir`.  All workers must
        see it, and it must have room for the rows of the dump.
      progress: Whether to show a bar, on stderr, when that is a terminal.

    Returns:
      What was done.

    Raises:
      SplitError: the dump is damaged or uneven, the directory holds other chunks or a stopped split, another process
        writes there, or the disk is full.
    """
    check_is_path(output_dir)
    size = None if chunk_bytes is None else parse_bytes(chunk_bytes)
    request = Request(
        inputs=inputs,
        output_dir=os.fspath(output_dir),
        sizes=ChunkSizes(chunk_bytes=size, chunk_samples=chunk_samples, num_chunks=num_chunks),
        shuffle=shuffle,
        seed=seed,
        holdout=holdout,
        holdout_by=holdout_by,
        input_format=input_format,
        delimiter=delimiter,
        quote=quote,
        output_format=output_format,
        encode=encode,
        where=where,
        fill=fill,
        columns=columns,
        append=append,
        max_skipped=max_skipped,
        quarantine=None if quarantine is None else os.fspath(quarantine),
        scratch_dir=None if scratch_dir is None else os.fspath(scratch_dir),
    )
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if isinstance(engine, str) and engine not in ENGINES:
        raise ValueError(f"there is no engine {engine!r}; there are {', '.join(ENGINES)}")
    if overwrite and append:
        raise ValueError("overwrite and append were given; one says what happens to the chunks that are there")
    began = time.monotonic()
    found = find_inputs(inputs, input_format=input_format, columns=columns, fill=fill, delimiter=delimiter, quote=quote)
    if found.format == "jsonl":
        check_fill_of_lines(fill or {})
    root = Path(output_dir)
    if root.is_file():
        raise OutputDirError(str(root), "is a file, and the chunks need a directory.", "Name another")
    job, number = Job(root), workers or num_processors()
    kind = engine if engine is not None else chosen_engine(request, found, number)

    def run(layout: Layout) -> int:
        waits = is_settled_at_the_end(found.format, layout, is_encoded=request.encoder is not None)
        cut = None if shuffle or waits else request.sizes.while_reading(found.raw_bytes)
        terms = begin(request, found, job, overwrite=overwrite, puts_all_aside=cut is None)
        if terms is None:
            return 0
        learnt = Learnt(layout=layout, fields={name: {"text"} for name in text_columns(terms, root)})
        with opened_engine(kind, number, address=address) as opened:
            sends = kind not in ("inline", "thread")
            return Run(
                request, found, job, terms, learnt,
                cut=cut, engine=opened, num_workers=number, sends=sends, show=progress,
            ).run()  # fmt: skip

    with locked(places_to_lock(root, request.outputs)):
        if discard_stopped:
            discard(root)
        try:
            num_written = run(first_layout(request, found))
        except SplitError as exc:
            if (layout := parquet_instead(request, found, exc)) is None:
                raise
            job.end()
            num_written = run(layout)
        return report_of(root, request.outputs, num_written=num_written, seconds=time.monotonic() - began)


def chosen_engine(request: Request, inputs: Inputs, num_workers: int) -> str:
    """Return where tasks run when nobody said: in processes, when that is worth their start and can be done."""
    if num_workers == 1:
        return "inline"
    if inputs.raw_bytes < _WORTH_PROCESSES or (num_workers <= _FEW_THREADS and _keeps_lines(request, inputs)):
        return "thread"
    try:
        import_optional("cloudpickle", wanted_by="A split in other processes")
        from pyloader.deliver.pickling import pack_function  # it imports cloudpickle

        pack_function(partial(_known, request.encode, request.where))
    except (TypeError, MissingDependencyError) as exc:
        _log.info("split in threads, since not all can be sent to processes: %s", exc)
        return "thread"
    return "process"


def _keeps_lines(request: Request, inputs: Inputs) -> bool:
    changes = (request.shuffle, request.encode, request.where, request.fill, request.columns, request.holdout)
    return inputs.format == "jsonl" and request.output_format in (None, "jsonl", "jsonl.zst") and not any(changes)


def _known(*given: Any) -> tuple[Any, ...]:
    return given


def discard_stopped(output_dir: str | os.PathLike[str]) -> str:
    """Give up the split that was stopped in a directory; chunks that a manifest lists stay.

    Args:
      output_dir: The directory that was given to `split`.

    Returns:
      The command of the split that was given up; "" when there was none.

    Raises:
      SplitError: another process writes there, or something is in the way.
    """
    check_is_path(output_dir)
    root = Path(output_dir)
    if not root.is_dir():
        raise OutputDirError(str(root), "is no directory, so no split was stopped there.", "Name another")
    with locked(places_to_lock(root, ())):
        return discard(root)
