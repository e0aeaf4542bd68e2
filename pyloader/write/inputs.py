"""What was named on the command line -> the sources to read, in order."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pyloader.errors import SplitError
from pyloader.files.compressors import packing_of
from pyloader.files.opening import suffix_of
from pyloader.write.array_files import ArraysInColumns, array_file, npz_members
from pyloader.write.blocks import Source
from pyloader.write.line_files import LineFile, StandardInput
from pyloader.write.tables import DelimitedFile, ParquetFile

__all__ = ["INPUT_FORMATS", "InputNames", "Inputs", "find_inputs"]

InputNames: TypeAlias = (
    "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]]"
)

INPUT_FORMATS = ("jsonl", "text", "csv", "tsv", "npy", "npz", "parquet")
_SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonlines": "jsonl", ".txt": "text", ".text": "text", ".csv": "csv",
    ".tsv": "tsv", ".npy": "npy", ".npz": "npz", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip

# What unpacked text comes to, in packed bytes; only an estimate, for the free space and the number of buckets.
_TYPICAL_RATIO = 4


@dataclass(frozen=True)
class Inputs:
    """The dump.

    Attributes:
      format: One of INPUT_FORMATS.
      sources: In the order in which their rows come.
      files: (name, size, time of change in nanoseconds) of each file: what tells this dump from another.
      num_bytes: Of all files on disk; 0 for standard input.
      raw_bytes: Unpacked, an estimate where they are packed.
    """

    format: str
    sources: tuple[Source, ...]
    files: tuple[tuple[str, int, int], ...]
    num_bytes: int
    raw_bytes: int

    @property
    def is_standard_input(self) -> bool:
        """Whether it can be read only once."""
        return not self.files


def find_inputs(names: InputNames, *, input_format: str | None = None) -> Inputs:
    """Find the files, and what they are.

    Args:
      names: A file, a glob pattern, "-" for standard input, several of these, or column -> .npy file or pattern.
      input_format: One of INPUT_FORMATS; None goes by the files' suffixes.

    Raises:
      SplitError: a file is missing, of no known format, or of another format than the others.
    """
    if input_format is not None and input_format not in INPUT_FORMATS:
        raise ValueError(f"there is no input format {input_format!r}; there are {', '.join(INPUT_FORMATS)}")
    if isinstance(names, Mapping):
        return _arrays({column: _expand([name]) for column, name in names.items()})
    given = [names] if isinstance(names, str | os.PathLike) else list(names)
    if "-" in given:
        return _standard_input(len(given), input_format)
    paths = _expand(given)
    formats = [input_format or _format_of(path) for path in paths]
    for path, found in zip(paths, formats, strict=True):
        if found != formats[0]:
            what = f"is {found}, but {paths[0]} is {formats[0]}."
            raise SplitError(path, what, "Split them into directories of their own, or say --from")
    if formats[0] == "npy":
        return _arrays({"data": paths})
    if formats[0] == "npz":
        return _npz(paths)
    sources = tuple(_source(path, formats[0]) for path in paths)
    return _inputs(formats[0], sources, paths)


def _source(path: str, kind: str) -> Source:
    size = os.path.getsize(path)
    if kind in ("csv", "tsv"):
        return DelimitedFile(path, size, delimiter="," if kind == "csv" else "\t")
    return ParquetFile(path, size) if kind == "parquet" else LineFile(path, size)


def _standard_input(num_names: int, input_format: str | None) -> Inputs:
    if num_names > 1:
        raise ValueError("- is standard input, and stands alone: name only -, or only files")
    if input_format is None:
        raise ValueError("standard input has no suffix to go by. Say what it is: --from jsonl (or text, csv, tsv)")
    if input_format not in ("jsonl", "text", "csv", "tsv"):
        raise ValueError(f"standard input cannot be {input_format}. Write it to a file first")
    source: Source = StandardInput()
    if input_format in ("csv", "tsv"):
        source = DelimitedFile("-", 0, delimiter="," if input_format == "csv" else "\t")
    return Inputs(input_format, (source,), (), 0, 0)


def _arrays(columns: Mapping[str, Sequence[str]]) -> Inputs:
    paths = [path for group in columns.values() for path in group]
    for path in paths:
        if _format_of(path) != "npy":
            raise SplitError(path, "is no .npy file.", "Columns are given as image=x.npy label=y.npy")
    size = sum(map(os.path.getsize, paths))
    files = {column: [array_file(path) for path in group] for column, group in columns.items()}
    return _inputs("npy", (ArraysInColumns(" ".join(paths), files, size),), paths)


def _npz(paths: Sequence[str]) -> Inputs:
    sources = []
    for path in paths:
        members = {name: [member] for name, member in npz_members(path).items()}
        sources.append(ArraysInColumns(path, members, os.path.getsize(path)))
    return _inputs("npz", tuple(sources), paths)


def _inputs(kind: str, sources: tuple[Source, ...], paths: Sequence[str]) -> Inputs:
    files = tuple((path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths)
    size = sum(size for _, size, _ in files)
    if all(isinstance(source, ArraysInColumns) for source in sources):
        raw = sum(source.raw_bytes for source in sources if isinstance(source, ArraysInColumns))
    else:
        raw = sum(size * (_TYPICAL_RATIO if packing_of(path) or kind == "parquet" else 1) for path, size, _ in files)
    return Inputs(kind, sources, files, size, raw)


def _expand(names: Sequence[str | os.PathLike[str]]) -> list[str]:
    paths: list[str] = []
    for name in [os.fspath(name) for name in names]:
        if os.path.isdir(name):
            raise SplitError(name, "is a directory.", f"Name its files: {os.path.join(name, '*.jsonl')}")
        if os.path.exists(name):
            paths.append(name)
        elif glob.has_magic(name) and (found := sorted(glob.glob(name, recursive=True))):
            paths += [path for path in found if not os.path.isdir(path)]
        else:
            raise SplitError(name, "there is no such file.")
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise SplitError(path, "is named twice.", "Name each file once")
        seen.add(path)
    return paths


def _format_of(path: str) -> str:
    found = _SUFFIXES.get(suffix_of(path))
    if found is None:
        raise SplitError(path, "has no suffix to go by.", f"Say what it is: --from {', '.join(INPUT_FORMATS)}")
    return found
