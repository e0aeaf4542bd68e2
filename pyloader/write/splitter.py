"""Split a dump of any size into chunks: exactly, in bounded memory, and to be gone on with after a kill."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyloader.dataset import Dataset
from pyloader.deliver.engines import ENGINES, Engine
from pyloader.errors import OutputDirError, SplitError
from pyloader.files import locked
from pyloader.files.takes import Takes
from pyloader.machine.limits import num_processors
from pyloader.options import parse_bytes
from pyloader.write.appending import Taking, what_to_take
from pyloader.write.beginning import begin, discard, known_labels, places_to_lock
from pyloader.write.choosing import first_layout, parquet_instead
from pyloader.write.filling import check_fill_of_lines
from pyloader.write.input_files import InputNames
from pyloader.write.inputs import find_inputs
from pyloader.write.job import Job
from pyloader.write.layout import Layout
from pyloader.write.media import MediaOptions
from pyloader.write.output_places import output_at, shown_place
from pyloader.write.outputs import Output
from pyloader.write.preparing import is_settled_at_the_end
from pyloader.write.report import SplitReport, report_of
from pyloader.write.request import Request
from pyloader.write.sizes import ChunkSizes
from pyloader.write.token_files import Windows
from pyloader.write.workers import Workers

__all__ = ["discard_stopped", "split"]


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
    unique: str | Sequence[str] | None = None,
    input_format: str | None = None,
    delimiter: str | None = None,
    quote: str | None = None,
    quoted_newlines: bool = True,
    window: int | None = None,
    stride: int | None = None,
    dtype: str | None = None,
    max_side: int | None = None,
    quality: int = 90,
    path_column: str | None = None,
    media_root: str | os.PathLike[str] | None = None,
    output_format: str | None = None,
    encode: str | Dataset | None = None,
    where: str | Callable[[dict[str, Any]], Any] | None = None,
    fill: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
    append: bool = False,
    again: bool = False,
    max_skipped: int = 0,
    quarantine: str | os.PathLike[str] | None = None,
    scratch_dir: str | os.PathLike[str] | None = None,
    discard_stopped: bool = False,
    take_over: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> SplitReport:
    """Split a dump into chunks, whatever its size.

    The chunks are a function of the dump and of the options, never of `workers` or `engine`.  Each is there whole or
    not at all, and the manifest comes last.  A run that was killed goes on from where it stopped when it is started
    again.  Chunks that have been damaged since are written again, and no others.

    Args:
      inputs: A file, a glob pattern, an address of a store (s3://dumps/2026/*.jsonl: an object, a prefix or a pattern;
        keys come from the environment), several of them, "-" for standard input, column -> .npy file, or a folder of
        images or sounds, whose folders are labels: rows have `image` or `audio` (the bytes of the file), `label` (the
        number of the folder, by name from 0 on; the manifest lists the names) and `name`.  A file that is no image, or
        no sound, is a bad row.
      output_dir: Where the chunks go, a directory or an address of a store (s3://bucket/chunks); with `holdout`, into
        train/ and the others below it.
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
      holdout_by: The column that decides what is held out; None looks at all columns, and of images and sounds at the
        bytes.
      unique: A column, or several: of the rows that have the same values there, the first in the dump stays.  It is
        looked for among the rows that `where` keeps, before `holdout`; rows with null there all stay.  With `append`
        the rows of earlier splits with `unique` count as well.  Reads the dump twice.
      input_format: "jsonl", "text", "csv", "tsv", "npy", "npz", "parquet", "arrow", "tokens", "arrayrecord" (whose rows
        are `record`, bytes), "images" or "audio"; None goes by the suffix.  Files that are said to be text are taken
        as they are; others must not be web pages, pointers of Git LFS or UTF-16.
      delimiter: What stands between fields of CSV or TSV, one character; None is a comma or a tab.  Then a header of
        one name that holds another delimiter is an error.
      quote: What may stand around such a field, one character; "none" where quotes mean nothing.  None is the double
        quote; then one that takes in what looks like rows, or more than 10,000 lines, is an error.
      quoted_newlines: Whether newlines may stand within quotes there.  Where none does, each line is a row: then large
        files are cut into units without being read for that; one that does is an error.
      window: Tokens in a sample, for files of tokens: .bin, and .npy of one dimension.  Samples are rows of `tokens`.
      stride: Tokens from the beginning of a window to that of the next, 1 to `window`; None is `window`.
      dtype: Of the tokens: in a .bin file as they are stored, "uint16" where it is None; of a .npy file as they are
        written, as they are stored where it is None.
      max_side: The longer side that images have at most, in pixels: a larger one becomes a JPEG of that size, once.
        None leaves all as they are.  Needs Pillow.
      quality: Of these JPEGs, 1 to 95.
      path_column: The column of `inputs` that holds the paths of images or sounds: `inputs` are lists of them (CSV,
        JSON lines, Parquet, text).  Rows have the bytes, and the columns of the list.
      media_root: The folder that all of these files are in, and that their paths are relative to; None is that of the
        list.
      output_format: One of pyloader.write.FORMATS; None is "columns" for arrays, and for lists of integers of unequal
        length from `encode` where the other columns are numbers; "tokens" for windows of tokens; "jsonl.zst" for other
        columns, and "parquet" when these hold bytes, dates, or other values that JSON does not give back as they are.
      encode: A Dataset, or "package.module:Class"; its batch_encode is applied once.
      where: A function of a sample (a dict) or "package.module:function"; what it is not true of is left out.
      fill: Column -> what stands where a sample lacks it, or has null; in CSV and TSV, where the field is empty.  It is
        put in before `where` and `encode` see the sample.
      columns: The columns to keep; None keeps all.  What is in the others does not matter.
      overwrite: Whether chunks of another split are deleted first.
      append: Whether to add to them, as a new version.  What is there can be loaded before, meanwhile and afterwards.
        Inputs that were taken in before are passed over: those of the same name, size and time are not read; one of the
        size of another is read, and compared by what it holds.
      again: Whether `append` takes in all inputs, also those that were taken in before.
      discard_stopped: Whether to give up what another split has begun in `output_dir` and was stopped in; chunks that
        are listed by a manifest stay.
      take_over: Whether to do that, too, with what a writer of another command has begun in a store, which has said
        nothing for a minute: it must have ended.
      storage_options: Of the store that `output_dir` names, as DataLoader has them; None is what the environment says.
      max_skipped: How many bad rows may be left out: lines that are no rows like the others, or that `where` or
        `encode` fails on.  They change nothing else; a run that was stopped by one goes on with another number.
      quarantine: A file that gets a line of JSON for each row that is left out: file, line, error and stage.
      scratch_dir: Where rows are put aside, a directory that is there; None is below `output_dir`, and for a store
        ~/.cache/pyloader/writing.  All workers must see it, and it must have room for the rows of the dump.
      progress: Whether to show a bar, on stderr, when that is a terminal.

    Returns:
      What was done.

    Raises:
      StoreError: a store cannot be asked what lies there.
      SplitError: the dump is damaged or uneven, or cannot be had from its store; the directory holds other chunks or a
        stopped split, another process writes there, or the disk is full.
    """
    size = None if chunk_bytes is None else parse_bytes(chunk_bytes)
    request = Request(
        inputs=inputs,
        output_dir=shown_place(output_dir),
        sizes=ChunkSizes(chunk_bytes=size, chunk_samples=chunk_samples, num_chunks=num_chunks),
        shuffle=shuffle,
        seed=seed,
        holdout=holdout,
        holdout_by=holdout_by,
        unique=[unique] if isinstance(unique, str) else unique,
        input_format=input_format,
        delimiter=delimiter,
        quote=quote,
        quoted_newlines=quoted_newlines,
        windows=Windows.of(window, stride, dtype),
        media=MediaOptions(
            max_side=max_side,
            quality=quality,
            path_column=path_column,
            media_root=None if media_root is None else os.fspath(media_root),
        ),
        output_format=output_format,
        encode=encode,
        where=where,
        fill=fill,
        columns=columns,
        append=append,
        again=again,
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
    if again and not append:
        raise ValueError("again says that inputs are added though they were taken in before: give append as well")
    began = time.monotonic()
    takes = Takes(stopped=discard_stopped or overwrite or take_over, silent=take_over)
    with output_at(
        output_dir, command=request.command(), storage_options=storage_options, scratch_dir=scratch_dir, takes=takes,
        adds=not overwrite, with_keys=bool(unique),
    ) as output:  # fmt: skip
        root, request = output.root, request.at(output)
        if root.is_file():
            raise OutputDirError(str(root), "is a file, and the chunks need a directory.", "Name another")
        with locked(places_to_lock(root, request.outputs)):
            if discard_stopped:
                discard(root)
            taking = what_to_take(request, overwrite=overwrite)
            at_work = Workers(engine, workers or num_processors(), address)
            done = _take_in(taking, request.command(), at_work, output, overwrite=overwrite, show=progress)
            report = report_of(
                root, request.outputs, shown=output.shown, note=taking.note,
                num_written=done[0], num_known=taking.num_known, seconds=time.monotonic() - began,
            )  # fmt: skip
        output.publish()
        return replace(report, leftover_tokens=done[1])


def _take_in(
    taking: Taking, typed: str, workers: Workers, output: Output, *, overwrite: bool, show: bool
) -> tuple[int, int]:
    """Split what is new; return how many chunks were written, and how many tokens are in no window."""
    request = taking.request
    if request is None:
        return 0, 0
    found = find_inputs(request, known_labels=() if overwrite else known_labels(request.root))
    if found.format == "jsonl":
        check_fill_of_lines(request.fill or {})
    job = Job(request.root, output)

    def run(layout: Layout) -> int:
        settled = is_settled_at_the_end(found.format, layout, is_encoded=request.encoder is not None)
        waits = request.shuffle or found.waits or settled
        terms = begin(request, found, job, typed=typed, made_by=taking.made_by, overwrite=overwrite, waits=waits)
        if terms is None:
            return 0
        output.will_write(request.outputs)
        return workers.carry_out(request, found, job, terms, layout, waits=waits, show=show, known=taking.known)

    laid_out = request if request.output_format else replace(request, output_format=taking.output_format)
    try:
        num_written = run(first_layout(laid_out, found))
    except SplitError as exc:
        if (layout := parquet_instead(laid_out, found, exc)) is None:
            raise
        job.end()
        num_written = run(layout)
    return num_written, found.leftover_tokens


def discard_stopped(
    output_dir: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    scratch_dir: str | os.PathLike[str] | None = None,
) -> str:
    """Give up the split that was stopped in a directory, or at an address; chunks that a manifest lists stay.

    Args:
      output_dir: The directory that was given to `split`.
      storage_options: Of the store, where that is an address.
      scratch_dir: That of the split.

    Returns:
      The command of the split that was given up; "" when there was none.

    Raises:
      SplitError: another process writes there, or something is in the way.
    """
    with output_at(
        output_dir, command="", storage_options=storage_options, scratch_dir=scratch_dir, takes=Takes(stopped=True)
    ) as output:
        if output.before is not None:
            return output.before
        if not output.root.is_dir():
            raise OutputDirError(str(output.root), "is no directory, so no split was stopped there.", "Name another")
        with locked(places_to_lock(output.root, ())):
            return discard(output.root)
