"""The formats a chunk can be written in, one function each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zstandard

from pyloader.columns import Column, ColumnSpec
from pyloader.errors import import_optional
from pyloader.ragged import Ragged
from pyloader.write.array_form import ArrayForm
from pyloader.write.arrow_form import TableForm
from pyloader.write.arrow_types import stored_schema
from pyloader.write.blocks import BLOCK_BYTES
from pyloader.write.forms import Form, RecordForm
from pyloader.write.ragged_form import RaggedForm
from pyloader.write.rows import Rows, join_rows
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["FORMATS", "ChunkFormat", "format_of_tokens"]

_ZSTD_LEVEL = 3

# Records of an ArrayRecord file that are packed, and read, together.  Range reads of a whole file are the usual way;
# single records stay reachable at the price of unpacking this many.
_GROUP_SIZE = 256

_ARROW_TYPES = {"str": "string", "bytes": "binary", "bool": "bool", "int": "int64", "float": "float64"}
_JSON_HOLDS = "write jsonl.zst instead, unless there are bytes"


@dataclass(frozen=True, slots=True)
class ChunkFormat:
    """A format that chunks can be written in.

    Attributes:
      name: As it is given to `format=` and `--to`.
      suffix: What its chunks' names end with.
      reader: The registered name of the reader for it.
      forms: The forms of rows it takes; the first one it can be written from at least cost.
      write: Writes rows, which come in parts, to a path that does not exist yet.
      reader_options: What the reader is made with; the manifest lists it.
    """

    name: str
    suffix: str
    reader: str
    forms: tuple[str, ...]
    write: Callable[[Path, Sequence[Rows], Form], None]
    reader_options: Mapping[str, Any] = field(default_factory=dict)


def _write_jsonl(path: Path, parts: Sequence[Rows], form: Form) -> None:
    with open(path, "wb") as file:
        file.writelines(rows.data for rows in parts)


def _write_jsonl_zst(path: Path, parts: Sequence[Rows], form: Form) -> None:
    # A context of its own for each chunk: one must never be used by two threads.
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    size = sum(len(rows.data) for rows in parts)
    with open(path, "wb") as file, compressor.stream_writer(file, size=size, write_size=2**20) as packed:
        for rows in parts:
            packed.write(rows.data)


def _write_columns(path: Path, parts: Sequence[Rows], form: Form) -> None:
    path.mkdir()
    for name, values in form.to_columns(join_rows(parts)).items():
        if isinstance(values, Ragged):
            _write_npy(path / f"{name}.values.npy", values.values.view("S1") if values.is_bytes else values.values)
            _write_npy(path / f"{name}.offsets.npy", values.offsets)
        else:
            assert isinstance(values, np.ndarray)
            _write_npy(path / f"{name}.npy", values)


def _write_npy(path: Path, values: np.ndarray) -> None:
    with open(path, "wb") as file:
        # As np.save does; but an error of the disk keeps its number.
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(values))
        file.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


def _write_arrayrecord(path: Path, parts: Sequence[Rows], form: Form) -> None:
    module = import_optional("array_record.python.array_record_module", wanted_by="The format arrayrecord")
    writer = module.ArrayRecordWriter(str(path), f"group_size:{_GROUP_SIZE}")
    try:
        for rows in parts:
            for record in _records(rows, form):
                writer.write(record)
    finally:
        writer.close()


def _records(rows: Rows, form: Form) -> Sequence[bytes]:
    if form.name == "packed":
        return list(next(iter(form.to_columns(rows).values())))
    return rows.pieces() if form.name == "array" else bytes(rows.data).splitlines()


def _write_parquet(path: Path, parts: Sequence[Rows], form: Form) -> None:
    arrow = import_optional("pyarrow", wanted_by="The format parquet")
    parquet = import_optional("pyarrow.parquet", wanted_by="The format parquet")
    if isinstance(form, TableForm):
        table = arrow.concat_tables([form.to_table(rows) for rows in _blocks(parts)])
    else:
        assert not isinstance(form, RaggedForm)
        table = arrow.table(_arrow_columns(arrow, parts, form))
        try:
            stored_schema(table.schema)
        except ValueError as exc:
            raise UnfitColumnsError(f"{exc}; {_JSON_HOLDS}") from exc
    # As one array again: where arrays end would be seen in the pages of the file.
    parquet.write_table(table.combine_chunks(), path, compression="zstd")


def _blocks(parts: Sequence[Rows]) -> Iterator[Rows]:
    """Yield the rows in small parts: as Python's objects they take many times their bytes."""
    for rows in parts:
        step = max(1, len(rows) * BLOCK_BYTES // max(1, len(rows.data)))
        for start in range(0, len(rows), step):
            yield rows.slice(start, start + step)


def _arrow_columns(arrow: Any, parts: Sequence[Rows], form: RecordForm | ArrayForm) -> dict[str, Any]:
    found: dict[str, Any] = {spec.name: [] for spec in form.specs}
    num_rows = 0
    for rows in _blocks(parts):
        try:
            columns = form.to_columns(rows)
        except UnfitColumnsError as exc:
            if exc.row is None:
                raise
            raise exc.at(num_rows + exc.row) from exc
        for spec in form.specs:
            values = columns[spec.name]
            found[spec.name] += [_arrow_array(arrow, values, spec)] if _has_type(spec) else values
        num_rows += len(rows)
    for spec in form.specs:
        whole = found[spec.name]
        found[spec.name] = arrow.chunked_array(whole) if _has_type(spec) else _arrow_array(arrow, whole, spec)
    return found


def _has_type(spec: ColumnSpec) -> bool:
    """Tell whether Arrow is told the type of a column; else it finds that by looking at all values."""
    return spec.kind == "array" or spec.kind in _ARROW_TYPES


def _arrow_array(arrow: Any, values: Column, spec: ColumnSpec) -> Any:
    try:
        if isinstance(values, np.ndarray):
            # Rows of numbers as lists of fixed size, the innermost last.
            flat = _flat_array(arrow, np.ascontiguousarray(values).reshape(-1), spec.name)
            return functools.reduce(arrow.FixedSizeListArray.from_arrays, reversed(spec.item_shape), flat)
        if spec.kind in _ARROW_TYPES:
            return arrow.array(values, type=arrow.type_for_alias(_ARROW_TYPES[spec.kind]))
        array = arrow.array(values)
    except (arrow.ArrowException, TypeError, OverflowError) as exc:
        raise UnfitColumnsError(f"has {spec.name!r} of mixed kinds ({exc}); {_JSON_HOLDS}") from exc
    # Arrow makes the values of a column alike: it gives dicts each other's keys, and whole numbers a fraction.
    back = array.to_pylist()
    if msgspec.msgpack.encode(back) == msgspec.msgpack.encode(values):
        return array
    for row, (made, value) in enumerate(zip(back, values, strict=True)):
        if msgspec.msgpack.encode(made) != msgspec.msgpack.encode(value):
            what = f"has {value!r:.60} in column {spec.name!r}, of which Arrow would make {made!r:.60}"
            raise UnfitColumnsError(f"{what}; {_JSON_HOLDS}", row)
    return array


def _flat_array(arrow: Any, numbers: np.ndarray, name: str) -> Any:
    array = arrow.array(numbers)
    if numbers.dtype.kind in "mM":
        # Arrow makes days of 64 bits days of 32, NaT null, and Parquet milliseconds of seconds.
        array = array.cast(stored_schema(arrow.schema([(name, array.type)])).field(0).type)
        changed = array.to_numpy(zero_copy_only=False) != numbers
        if changed.any():
            odd = numbers[int(np.argmax(changed))]
            raise UnfitColumnsError(
                f"has {odd.astype(np.int64)} {numbers.dtype} in column {name!r}, which Parquet cannot hold"
            )
    return array


def _write_tokens(path: Path, parts: Sequence[Rows], form: Form, *, stride: int = 0) -> None:
    """Write windows one after another; with `stride`, what two neighbours share only once."""
    (windows,) = form.to_columns(join_rows(parts)).values()
    assert isinstance(windows, np.ndarray)
    once = np.append(windows[:-1, :stride], windows[-1]) if stride else windows
    with open(path, "wb") as file:
        tokens = np.ascontiguousarray(once).reshape(-1)
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(tokens))
        file.write(tokens.view(np.uint8).data)


def format_of_tokens(windows: ColumnSpec, stride: int) -> ChunkFormat:
    """Return the format of chunks of tokens.

    Args:
      windows: The column.
      stride: From the beginning of a window to that of the next, where they overlap and follow one another; else 0.
    """
    (window,) = windows.item_shape
    options: dict[str, Any] = {"window": window, "stride": stride or window}
    options |= {} if windows.name == "tokens" else {"name": windows.name}
    write = functools.partial(_write_tokens, stride=stride)
    return replace(FORMATS["tokens"], write=write, reader_options=options)


FORMATS = {
    found.name: found
    for found in (
        ChunkFormat("jsonl.zst", ".jsonl.zst", "jsonl", ("json",), _write_jsonl_zst),
        ChunkFormat("jsonl", ".jsonl", "jsonl", ("json",), _write_jsonl),
        ChunkFormat("columns", ".columns", "columns", ("array", "ragged"), _write_columns),
        ChunkFormat("arrayrecord", ".arrayrecord", "arrayrecord", ("array", "json", "packed"), _write_arrayrecord),
        ChunkFormat("parquet", ".parquet", "parquet", ("array", "json", "packed", "table"), _write_parquet),
        ChunkFormat("tokens", ".npy", "tokens", ("array",), _write_tokens),
    )
}
