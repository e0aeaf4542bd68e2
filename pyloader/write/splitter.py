"""Split a dump of any size into chunks: exactly, in bounded memory, and to be gone on with after a kill."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyloader.dataset import Dataset
from pyloader.options import parse_bytes
from pyloader.write.beginning import begin
from pyloader.write.inputs import InputNames, find_inputs
from pyloader.write.job import Job
from pyloader.write.layout import Layout
from pyloader.write.passes import Passes
from pyloader.write.preparing import Learnt, is_settled_at_the_end
from pyloader.write.report import SplitReport, report_of
from pyloader.write.request import Request
from pyloader.write.sizes import ChunkSizes

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
    delimiter: str | None = None,
    quote: str | None = None,
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
      input_format: "jsonl", "text", "csv", "tsv", "npy", "npz" or "parquet"; None goes by the suffix.  Files that are
        said to be text are taken as they are; others must not be web pages, pointers of Git LFS or UTF-16.
      delimiter: What stands between fields of CSV or TSV, one character; None is a comma or a tab.  Then a header of
        one name that holds another delimiter is an error.
      quote: What may stand around such a field, one character; "none" where quotes mean nothing.  None is the double
        quote; then one that takes in what looks like rows, or more than 10,000 lines, is an error.
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
        delimiter=delimiter,
        quote=quote,
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
    began = time.monotonic()
    found = find_inputs(inputs, input_format=input_format, delimiter=delimiter, quote=quote)
    if fill and found.format != "jsonl":
        raise ValueError(f"fill is for JSON lines; {found.format} has no missing keys")
    learnt = Learnt(layout=Layout(output_format))
    waits = is_settled_at_the_end(found.format, learnt.layout, is_encoded=request.encoder is not None)
    known = request.sizes.are_known_while_reading(found.raw_bytes, shuffle=shuffle)
    cut = request.sizes if known and not waits else None
    job, num_written = Job(Path(output_dir)), 0
    checkpoint = begin(request, found, job, learnt, overwrite=overwrite, puts_all_aside=cut is None)
    if checkpoint is not None:
        num_written = Passes(request, found, job, checkpoint, cut=cut, workers=workers, show=progress).run()
    seconds = time.monotonic() - began
    return report_of(Path(output_dir), request.outputs, num_written=num_written, seconds=seconds)
