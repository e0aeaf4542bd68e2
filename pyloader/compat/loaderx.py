"""converter, as loaderx has it: an array becomes ArrayRecord files, for `ARDataset`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tqdm

from pyloader.errors import import_optional
from pyloader.files.atomic import written_whole
from pyloader.indexed.array_records import META_NAME, Meta
from pyloader.options import checked_integer

__all__ = ["converter"]


def converter(
    data: Any,
    output_dir: str | os.PathLike[str],
    replace: bool = False,
    blocksize: int = 4096,
    ar_options: str = "group_size:1,zstd",
    *,
    progress: bool | None = None,
) -> None:
    """Write an array as ArrayRecord files, one record a row, with a meta.json that says what they are.

    The directory is there whole or not at all: it is written beside its place and renamed.

    Args:
      data: An array of shape [rows, ...], a numpy.memmap too: it is read block by block.
      output_dir: Where 0.ar, 1.ar, ... and meta.json go.
      replace: Whether a directory that holds something is replaced, once everything has been written.
      blocksize: How many rows a file has; the last may have fewer.
      ar_options: For ArrayRecordWriter.
      progress: Whether a bar is shown, on stderr; None for on terminals only.

    Raises:
      TypeError: data are not numbers.
      ValueError: data have no rows; output_dir is not empty, and replace is False; it holds what converter did not
        write; or it is a file.
      WriteError: the disk is full.
      MissingDependencyError: array_record is not installed.
    """
    module = import_optional("array_record.python.array_record_module", wanted_by="converter")
    array = np.asarray(data)  # of a memmap, the same memory
    if array.dtype.hasobject or array.dtype.fields is not None:
        raise TypeError(f"data must be an array of plain numbers, got {array.dtype}")
    if array.ndim == 0 or not len(array):
        raise ValueError(f"data of shape {list(array.shape)} have no rows; there is nothing to write")
    blocksize = checked_integer("blocksize", blocksize, at_least=1)
    target = Path(output_dir)
    if target.exists() and (not target.is_dir() or (not replace and any(target.iterdir()))):
        remedy = "Name another place, or pass replace=True" if target.is_dir() else "Name another place"
        raise ValueError(f"output_dir {target} {'is not empty' if target.is_dir() else 'is a file'}. {remedy}")
    there = [] if not target.is_dir() else os.listdir(target)
    if others := [name for name in there if name != META_NAME and not re.fullmatch(r"\d+\.ar", name)]:
        raise ValueError(f"output_dir {target} holds {min(others)}, which converter did not write. Name another place")
    target.parent.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(array), blocksize)
    blocks = tuple(f"{block}.ar" for block in range(len(starts)))
    hidden = None if progress is None else not progress
    with (
        written_whole(target) as directory,
        tqdm.tqdm(total=len(array), desc=target.name, unit=" rows", disable=hidden) as bar,
    ):
        directory.mkdir()
        for name, start in zip(blocks, starts, strict=True):
            rows = np.ascontiguousarray(array[start : start + blocksize], array.dtype.newbyteorder("="))
            _write(module, directory / name, rows, ar_options)
            bar.update(len(rows))
        meta = Meta(length=len(array), shape=array.shape[1:], dtype=str(array.dtype.newbyteorder("=")), blocks=blocks)
        (directory / META_NAME).write_bytes(msgspec.json.encode(meta))


def _write(module: Any, path: Path, rows: np.ndarray, options: str) -> None:
    writer = module.ArrayRecordWriter(str(path), options)
    try:
        for row in rows:
            writer.write(row.tobytes())
        if not writer.ok():
            raise OSError(f"{path} could not be written; is the disk full?")
    finally:
        writer.close()
