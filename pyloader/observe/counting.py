"""How many samples chunks hold, and what their columns are: what `pyloader index` writes down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from pyloader.columns import ColumnSpec, column_specs, columns_bytes, difference, row_count
from pyloader.datareader import DataReader, read_chunk
from pyloader.errors import ChunkReadError, DataDirError, ReadFileError
from pyloader.files.listing import ChunkList, form_of
from pyloader.files.manifest import ChunkEntry, checksum_of
from pyloader.files.opening import line_blocks
from pyloader.observe.beginnings import header_reader
from pyloader.optional import import_optional

__all__ = ["Count", "common_specs", "count_samples"]

Progress: TypeAlias = Callable[[Sequence[int]], Iterable[int]]
_Specs: TypeAlias = tuple[ColumnSpec, ...]


@dataclass(frozen=True, kw_only=True)
class Count:
    """What counting found.

    Attributes:
      columns: What each column is in every chunk, sorted by name.
      columns_from: The chunk they were learnt from; "" when all were read.
      chunks: One entry for each chunk.
      method: How samples were counted, in words.
      largest_bytes: About how many bytes of memory the largest chunk's columns take.
    """

    columns: _Specs
    columns_from: str
    chunks: tuple[ChunkEntry, ...]
    method: str
    largest_bytes: int


def count_samples(
    chunks: ChunkList, reader: DataReader, *, reader_name: str, checksums: bool = False, progress: Progress = iter
) -> Count:
    """Count the samples in each chunk, exactly.

    The columns are learnt from the first chunk that has a sample.  When all of them are lists of text or bytes, nothing
    more about them can differ, and the other chunks are only counted: lines, or what the file's own index says.  Arrays
    in .npy files are judged by their headers.  Everything else is read: numbers that are whole in one chunk have
    fractions in the next, and what the manifest says must hold for both.

    Args:
      chunks: The chunks; what a manifest knows of them is not used.
      reader: Their reader.
      reader_name: Its name, as a manifest has it.
      checksums: Compute them, which reads every byte once more.
      progress: Wraps the indices of the chunks as they are walked.

    Raises:
      DataDirError: no chunk has a sample.
      ReadFileError: two chunks have columns that no manifest can describe together.
    """
    headers = header_reader(reader, chunks.names)
    counter: Callable[[str], int] | None = None
    specs: _Specs = ()
    first, row_bytes = "", 0.0
    entries = []
    for index in progress(range(len(chunks))):
        name, path = chunks.names[index], chunks.path(index)
        if counter is not None:
            num_samples = counter(path)
        else:
            columns = read_chunk(headers or reader, path)
            num_samples = row_count(columns)
            if num_samples:
                found = column_specs(columns)
                row_bytes = max(row_bytes, columns_bytes(columns) / num_samples)
                specs = _together(specs, found, path, first, reader_name) if first else found
                first = first or name
                counter = _counter(reader_name, specs, chunks.names)
        checksum = checksum_of(path) if checksums else ""
        size = int(chunks.sizes[index])
        entries.append(ChunkEntry(file=name, num_samples=num_samples, num_bytes=size, checksum=checksum))
    if not first:
        raise DataDirError(str(chunks.root), "holds chunks, but not one sample.")
    return Count(
        columns=specs,
        columns_from="" if counter is None else first,
        chunks=tuple(entries),
        method=_METHODS[counter] if counter else "headers read" if headers else "all read",
        largest_bytes=round(row_bytes * max(entry.num_samples for entry in entries)),
    )


def common_specs(specs: _Specs, others: _Specs, *, numbers_can_be_text: bool = False) -> _Specs | None:
    """Return what holds for both, None if nothing does.

    int64 and float64 are float64 together; numbers in one and numbers with gaps in the other are a list; a list without
    any value goes with every list.

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


def _common(spec: ColumnSpec, other: ColumnSpec) -> ColumnSpec | None:
    if spec == other:
        return spec
    if spec.kind == other.kind == "array":
        fits = {spec.dtype, other.dtype} == {"<i8", "<f8"} and spec.item_shape == other.item_shape
        return replace(spec, dtype="<f8") if fits else None
    kinds = {_kind_in_list(spec), _kind_in_list(other)} - {""}
    if "array" in kinds:
        return None
    if len(kinds) == 1:
        return ColumnSpec(spec.name, kinds.pop())
    return ColumnSpec(spec.name, "object") if "object" in kinds or kinds == {"int", "float"} else None


def _kind_in_list(spec: ColumnSpec) -> str:
    """What the values would be in a list; "array" when they would be arrays there too."""
    if spec.kind != "array" or spec.item_shape:
        return spec.kind
    return {"i": "int", "u": "int", "f": "float", "b": "bool"}.get(np.dtype(spec.dtype).kind, "array")


def _together(specs: _Specs, found: _Specs, path: str, first: str, reader_name: str) -> _Specs:
    common = common_specs(specs, found, numbers_can_be_text=reader_name == "csv")
    if common is None:
        what = f"{difference(found, specs)} as the chunks before it, from {first} on."
        raise ReadFileError(path, what, "Chunks of one dataset have the same columns")
    return common


def _counter(reader_name: str, specs: _Specs, names: Sequence[str]) -> Callable[[str], int] | None:
    """How to count without making samples, where that is exact and the columns are known from one chunk."""
    if any(spec.kind not in ("str", "bytes") for spec in specs):
        return None
    if reader_name == "parquet" and {form_of(name) for name in names} != {".parquet"}:
        return None
    return {"jsonl": _num_lines, "text": _num_text_lines, "arrayrecord": _num_records, "parquet": _num_rows}.get(
        reader_name
    )


def _num_lines(path: str) -> int:
    """Lines that are not blank, as the reader of JSON lines takes them."""
    return sum(sum(map(bool, map(bytes.strip, block.split(b"\n")))) for block in line_blocks(path))


def _num_text_lines(path: str) -> int:
    """All lines, as the reader of text takes them."""
    num_lines, block = 0, b"\n"
    for block in line_blocks(path):
        num_lines += block.count(b"\n")
    return num_lines + (not block.endswith(b"\n"))


def _num_records(path: str) -> int:
    module = import_optional("array_record.python.array_record_module", wanted_by="ArrayRecordReader")
    try:
        reader = module.ArrayRecordReader(path, "max_parallelism:0")
        if not reader.ok():  # all that tells when a cut file looks like an empty one
            raise RuntimeError("its footer is missing")
        num_records = int(reader.num_records())
        reader.close()
    except (RuntimeError, ValueError) as exc:
        raise ChunkReadError(path, f"is damaged, or no ArrayRecord file ({exc}).", "Fetch it again") from exc
    return num_records


def _num_rows(path: str) -> int:
    arrow = import_optional("pyarrow", wanted_by="ParquetReader")
    parquet = import_optional("pyarrow.parquet", wanted_by="ParquetReader")
    try:
        return int(parquet.read_metadata(path).num_rows)
    except arrow.ArrowException as exc:
        raise ChunkReadError(path, f"is damaged, or no Parquet file ({exc}).", "Fetch it again") from exc


_METHODS: dict[Callable[[str], int], str] = {
    _num_lines: "lines counted",
    _num_text_lines: "lines counted",
    _num_records: "counted by their own index",
    _num_rows: "counted by their own index",
}
