"""How many samples chunks hold, and what their columns are: what `pyloader index` writes down."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pyloader.columns import Columns, ColumnSpec, column_specs, columns_bytes, difference, row_count
from pyloader.datareader import DataReader, can_read_parts, parts_of_file, read_chunk
from pyloader.errors import DataDirError, ReadFileError
from pyloader.files import (
    ChunkEntry,
    ChunkList,
    FetchTerms,
    PartSizes,
    checksum_of,
    count_newlines,
    line_blocks,
    sniffed,
    suffix_of,
)
from pyloader.inspecting.beginnings import header_reader
from pyloader.inspecting.indexed_files import files_of
from pyloader.inspecting.part_entries import part_entries, spread
from pyloader.part import part_name
from pyloader.read.arrayrecord import damaged, opened
from pyloader.read.parquet import read_footer

__all__ = ["LARGE_BYTES", "Count", "common_specs", "count_samples"]

Progress: TypeAlias = Callable[[Sequence[int]], Iterable[int]]
_Specs: TypeAlias = tuple[ColumnSpec, ...]

LARGE_BYTES = 64 * 2**20  # a file larger than this is cut into parts, where no size was said

_NUM_JUDGED = 4  # parts of a file, by which it is judged what its columns are

_METHODS = {
    "text": "lines counted",
    "arrayrecord": "counted by their own index",
    "parquet": "counted by their own index",
}


@dataclass(frozen=True, kw_only=True)
class Count:
    """What counting found."""

    columns: _Specs  # what each column is in every chunk, sorted by name
    chunks: tuple[ChunkEntry, ...]  # one entry for each chunk
    method: str  # how samples were counted, in words
    largest_bytes: int  # about how many bytes of memory the largest chunk's columns take
    num_judged: int  # of how many chunks it is known what the columns are; of files in parts perhaps a few parts
    whole: tuple[str, ...]  # files that are larger than a chunk, and are one: they cannot be cut, or `could_be_cut`
    could_be_cut: bool  # whether no file was to be cut


def count_samples(
    chunks: ChunkList,
    reader: DataReader,
    *,
    reader_name: str,
    checksums: bool = False,
    sizes: PartSizes | None = None,
    reads_all: bool = False,
    num_workers: int = 1,
    progress: Progress = iter,
) -> Count:
    """Count the samples in each chunk, exactly, and tell what its columns are.

    What a manifest says must hold for every chunk.  So all are read: numbers that are whole in one have fractions in
    the next, and a later one has another key.  Where nothing can differ from the first chunk, the others are only
    counted: lines of plain text, ArrayRecords of raw bytes, Parquet files of text that have the first one's schema.
    Arrays in .npy files are judged by their headers.  Of files that are cut into parts a few parts are read; one, where
    nothing can differ.

    Args:
      chunks: The chunks, each a file; what a manifest knows of them is not used.
      reader: Their reader.
      reader_name: Its name, as a manifest has it.
      checksums: Compute them, which reads every byte once more.
      sizes: How large the parts of large files are to be; None cuts no file.
      reads_all: Whether all parts are read.
      num_workers: How many threads look at files; what is counted is the same.
      progress: Wraps the indices of the chunks as they are walked.

    Raises:
      DataDirError: no chunk has a sample.
      ReadFileError: two chunks have columns that no manifest can describe together.
    """
    on_disk = chunks.stored is None
    needs_parts = reader.needs_beside and not on_disk
    headers = header_reader(reader, map(chunks.path, range(len(chunks)))) if on_disk else None
    others: _Others | None = None
    judged = _Judged(reader_name)
    files = files_of(chunks, num_workers)

    def look(index: int, terms: FetchTerms) -> _Found:
        name, size = chunks.names[index], int(chunks.sizes[index])
        parts, is_known = None, False
        # Smaller objects are fetched whole in any case.
        if sizes is not None and (
            on_disk or needs_parts or size > sizes.chunk_bytes or sizes.chunk_samples is not None
        ):
            with files.find_at(reader, index, terms) as path:
                parts = parts_of_file(reader, path, **sizes.as_options(), in_order=files.in_order())
                is_known = others is not None and not reads_all and others.has(path)
        if parts is not None and len(parts) > (not needs_parts):
            checksum = partial(files.checksum, index, terms=terms) if checksums else None
            entries = part_entries(name, size, parts, checksum)
            if is_known:
                return _Found(entries, [], num_known=len(parts))
            seen, chosen = [], parts if reads_all else spread(parts, _NUM_JUDGED)
            for part, path in files.some_parts(index, parts, chosen, terms):
                seen.append(_Seen.of(read_chunk(reader, path, part), part_name(name, part), chunks.path(index)))
                if not judged.first and not reads_all:
                    alike = _others(reader, reader_name, seen[0].specs, path)
                    if alike is not None:
                        return _Found(entries, seen, len(parts), others=alike)
            return _Found(entries, seen, len(seen))
        is_whole = size > (LARGE_BYTES if sizes is None else sizes.chunk_bytes) and parts is None
        with files.whole(index, terms) as path:
            seen, alike = [], None
            if others is not None and others.has(path):
                num_samples = others.count(path)
            else:
                columns = read_chunk(headers or reader, path)
                num_samples, seen = row_count(columns), [_Seen.of(columns, name, chunks.path(index))]
                if num_samples and not judged.first:
                    alike = _others(reader, reader_name, seen[0].specs, path)
            entry = ChunkEntry(
                file=name,
                num_samples=num_samples,
                num_bytes=size,
                checksum=checksum_of(path) if checksums else "",
            )
        return _Found([entry], seen, 1, is_whole, alike)

    entries: list[ChunkEntry] = []
    whole, num_known = [], 0
    # The first one alone: it may tell that others need not be read.
    looks = itertools.chain(files.each(look, range(len(chunks))[:1]), files.each(look, range(len(chunks))[1:]))
    for index, found in zip(progress(range(len(chunks))), looks, strict=True):
        entries += found.entries
        num_known += found.num_known
        whole += [chunks.names[index]] if found.is_whole else []
        if not judged.first:
            others = found.others
        for seen in found.seen:
            judged.see(seen)
    if not judged.first:
        raise DataDirError(str(chunks.root), "holds chunks, but not one sample.")
    return Count(
        columns=judged.specs,
        chunks=tuple(entries),
        method=_METHODS[reader_name] if others else "headers read" if headers else "all read",
        largest_bytes=round(judged.row_bytes * max(entry.num_samples for entry in entries)),
        num_judged=num_known,
        whole=tuple(whole),
        could_be_cut=sizes is None and can_read_parts(reader),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of a chunk: columns, bytes of memory of a row, name and file; no name where it has no samples."""

    specs: _Specs = ()
    row_bytes: float = 0.0
    name: str = ""
    path: str = ""

    @classmethod
    def of(cls, columns: Columns, name: str, path: str) -> _Seen:
        num_samples = row_count(columns)
        return cls(_specs_of(columns), columns_bytes(columns) / num_samples, name, path) if num_samples else cls()


@dataclass(frozen=True, slots=True)
class _Found:
    """What a file holds."""

    entries: list[ChunkEntry]
    seen: list[_Seen]
    num_known: int  # of how many entries it is known what their columns are
    is_whole: bool = False  # whether it is larger than a chunk, and is one
    others: _Others | None = None  # files like this one, which need not be read


class _Others(NamedTuple):
    """Files whose columns cannot differ from those of one that was read."""

    has: Callable[[str], bool]  # whether the file at a path is one
    count: Callable[[str], int]  # how many samples it holds


class _Judged:
    """What the columns are, by the chunks that were read.

    Attributes:
      specs: What holds for all of them.
      first: The first one with a sample; "" while there is none.
      row_bytes: The most that a row takes in memory, by chunks.
    """

    def __init__(self, reader_name: str) -> None:
        self._reader_name = reader_name
        self.specs: _Specs = ()
        self.first, self.row_bytes = "", 0.0

    def see(self, seen: _Seen) -> None:
        """Take in what was seen of a chunk.

        Raises:
          ReadFileError: it has nothing in common with those before.
        """
        if not seen.name:
            return
        self.row_bytes = max(self.row_bytes, seen.row_bytes)
        first = self.first
        self.specs = _together(self.specs, seen.specs, seen.path, first, self._reader_name) if first else seen.specs
        self.first = first or seen.name


def common_specs(specs: _Specs, others: _Specs, *, numbers_can_be_text: bool = False) -> _Specs | None:
    """Return what holds for both, None if nothing does.

    int64 and float64 are float64 together, ragged or not; numbers in one and numbers with gaps in the other are a list;
    a list without any value goes with every list.

    Args:
      specs: Of one chunk, sorted by name.
      others: Of another.
      numbers_can_be_text: Whether the reader can leave numbers as the text they were (CSV can).
    """
    mine, theirs = {spec.name: spec for spec in specs}, {spec.name: spec for spec in others}
    if mine.keys() != theirs.keys():
        return None
    common = []
    for name, spec in mine.items():
        together = _common(spec, theirs[name])
        if together is None and numbers_can_be_text and "str" in (spec.kind, theirs[name].kind):
            together = ColumnSpec(name, "str")
        if together is None:
            return None
        common.append(together)
    return tuple(common)


def _specs_of(columns: Columns) -> _Specs:
    """Return what each column is, sorted by name; fractions and whole numbers with gaps are "float"."""
    return tuple(
        replace(spec, kind="float")
        if spec.kind == "object" and set(map(type, columns[spec.name])) <= {int, float, type(None)}
        else spec
        for spec in column_specs(columns)
    )


def _common(spec: ColumnSpec, other: ColumnSpec) -> ColumnSpec | None:
    if spec == other:
        return spec
    if spec.kind == other.kind and spec.kind in ("array", "ragged"):
        fits = {spec.dtype, other.dtype} == {"<i8", "<f8"} and spec.item_shape == other.item_shape
        return replace(spec, dtype="<f8") if fits else None
    kinds = {_kind_in_list(spec), _kind_in_list(other)} - {""}
    if kinds & {"array", "ragged"}:
        return None
    if len(kinds) == 1:
        return ColumnSpec(spec.name, kinds.pop())
    if kinds == {"int", "float"}:
        return ColumnSpec(spec.name, "float")
    return ColumnSpec(spec.name, "object") if "object" in kinds else None


def _kind_in_list(spec: ColumnSpec) -> str:
    """What the values would be in a list; "array" when they would be arrays there too."""
    if spec.kind != "array" or spec.item_shape:
        return spec.kind
    return {"i": "int", "u": "int", "f": "float", "b": "bool"}.get(np.dtype(spec.dtype).kind, "object")


def _together(specs: _Specs, found: _Specs, path: str, first: str, reader_name: str) -> _Specs:
    common = common_specs(specs, found, numbers_can_be_text=reader_name == "csv")
    if common is None:
        what = f"{difference(found, specs)} as the chunks before it, from {first} on."
        raise ReadFileError(path, what, "Move one kind elsewhere, or read both with a DataReader of your own")
    return common


def _others(reader: DataReader, reader_name: str, specs: _Specs, path: str) -> _Others | None:
    """Return which files need not be read after this one; None when numbers could differ from file to file, or keys."""
    if any(spec.kind not in ("str", "bytes") for spec in specs):
        return None
    if reader_name == "text":
        return _Others(lambda path: True, partial(_num_text_lines, sniff=getattr(reader, "sniff", True)))
    if reader_name == "arrayrecord":
        return _Others(lambda path: True, _num_records)
    if reader_name == "parquet" and suffix_of(path) == ".parquet":
        return _Others(partial(_has_schema, schema=_schema_of(path)), lambda path: int(read_footer(path).num_rows))
    return None


def _num_text_lines(path: str, *, sniff: bool) -> int:
    """All lines, as the reader of text takes them."""
    num_lines, block = 0, b"\n"
    for block in sniffed(line_blocks(path), path, "text") if sniff else line_blocks(path):
        num_lines += count_newlines(block)
    return num_lines + (not block.endswith(b"\n"))


def _num_records(path: str) -> int:
    try:
        reader = opened(path, "max_parallelism:0", wanted_by="ArrayRecordReader")
        num_records = int(reader.num_records())
        reader.close()
    except (RuntimeError, ValueError) as exc:
        raise damaged(path, exc, "Fetch it again") from exc
    return num_records


def _schema_of(path: str) -> Any:
    return read_footer(path).schema.to_arrow_schema()


def _has_schema(path: str, *, schema: Any) -> bool:
    return suffix_of(path) == ".parquet" and bool(_schema_of(path).equals(schema))
