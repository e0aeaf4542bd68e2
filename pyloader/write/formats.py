"""The formats a chunk can be written in, one function each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

_BATCH_ROWS = 1024  # that Arrow writes to a Parquet file at a time, where texts are not long
_BATCH_BYTES = 2**22  # of a column of long texts, that it writes at a time

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
    write: Callable[[Path, Iterable[Rows], Form], None]
    reader_options: Mapping[str, Any] = field(default_factory=dict)


def _write_jsonl(path: Path, parts: Iterable[Rows], form: Form) -> None:
    with open(path, "wb") as file:
        file.writelines(rows.data for rows in parts)


def _write_jsonl_zst(path: Path, parts: Iterable[Rows], form: Form) -> None:
    # A context of its own for each chunk: one must never be used by two threads.
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    whole = list(parts)
    size = sum(len(rows.data) for rows in whole)
    with open(path, "wb") as file:
        packed = compressor.stream_writer(file, size=size, write_size=2**20, closefd=False)
        for rows in whole:
            packed.write(rows.data)
        # Not after an error of the disk, which would become one of the missing bytes.
        packed.flush(zstandard.FLUSH_FRAME)


def _write_columns(path: Path, parts: Iterable[Rows], form: Form) -> None:
    whole = list(parts)
    num_rows = sum(map(len, whole))
    path.mkdir()
    if not isinstance(form, ArrayForm):
        for name, values in form.to_columns(join_rows(whole)).items():
            if isinstance(values, Ragged):
                of_bytes = values.values.view("S1") if values.is_bytes else values.values
                _write_npy(path / f"{name}.values.npy", len(of_bytes), of_bytes.dtype, (), [of_bytes])
                _write_npy(
                    path / f"{name}.offsets.npy", len(values.offsets), values.offsets.dtype, (), [values.offsets]
                )
            else:
                assert isinstance(values, np.ndarray)
                _write_npy(path / f"{name}.npy", len(values), values.dtype, values.shape[1:], [values])
        return
    for spec in form.specs:
        columns = (form.column(rows, spec) for rows in whole)
        _write_npy(path / f"{spec.name}.npy", num_rows, np.dtype(spec.dtype), spec.item_shape, columns)


def _write_npy(
    path: Path, num_rows: int, dtype: np.dtype, item_shape: tuple[int, ...], parts: Iterable[np.ndarray]
) -> None:
    with open(path, "wb") as file:
        # As np.save does; but an error of the disk keeps its number.
        header = np.lib.format.header_data_from_array_1_0(np.empty((0, *item_shape), dtype))
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (num_rows, *item_shape)})
        for part in parts:
            file.write(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)


def _write_arrayrecord(path: Path, parts: Iterable[Rows], form: Form) -> None:
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


def _write_parquet(path: Path, parts: Iterable[Rows], form: Form) -> None:
    arrow = import_optional("pyarrow", wanted_by="The format parquet")
    parquet = import_optional("pyarrow.parquet", wanted_by="The format parquet")
    if isinstance(form, TableForm):
        schema = form.schema
        tables = [form.to_table(rows) for rows in _blocks(parts)]
        columns = [[table.column(index).chunk(0) for table in tables] for index in range(len(schema))]
        del tables
    else:
        assert not isinstance(form, RaggedForm)
        found = _arrow_columns(arrow, parts, form)
        schema = arrow.schema([(name, arrays[0].type) for name, arrays in found.items()])
        columns = list(found.values())
        try:
            stored_schema(schema)
        except ValueError as exc:
            raise UnfitColumnsError(f"{exc}; {_JSON_HOLDS}") from exc
    batch_rows = min(map(_rows_of_a_batch, columns))
    joined = [_in_batches(arrow, columns.pop(0), batch_rows) for _ in range(len(schema))]
    table = arrow.Table.from_arrays(joined, schema=schema)
    parquet.write_table(table, path, compression="zstd", write_batch_size=batch_rows)


def _rows_of_a_batch(arrays: Sequence[Any]) -> int:
    """Return how many rows Arrow is to write at a time, of this column: only then it looks whether a page is full.

    Of long texts 1,024 are a page of any size, which is in memory twice, here and where it is read.
    """
    from pyarrow import types

    tests = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    if not any(test(arrays[0].type) for test in tests):
        return _BATCH_ROWS
    width = sum(array.nbytes for array in arrays) // sum(map(len, arrays))
    return min(_BATCH_ROWS, 2 ** ((_BATCH_BYTES // max(1, width)).bit_length() - 1) if width < _BATCH_BYTES else 1)


def _blocks(parts: Iterable[Rows]) -> Iterator[Rows]:
    """Yield the rows in small blocks, whatever the parts that they come in: as Python's objects they take more memory.

    No block goes over the end of a batch of `_BATCH_ROWS`, of several where rows are short.
    """
    waiting: list[Rows] = []
    num_rows = num_bytes = 0
    for rows in parts:
        # Of short rows many batches at a time: each block costs some microseconds.
        step = _BATCH_ROWS * max(1, BLOCK_BYTES // _BATCH_ROWS // rows.width if rows.width else 1)
        start = begin = 0
        while start < len(rows):
            fit = int(np.searchsorted(rows.ends, begin + BLOCK_BYTES - num_bytes, side="right"))
            stop = min(max(fit, start if waiting else start + 1), start + step - num_rows % step)
            if stop > start:
                waiting.append(rows.slice(start, stop))
                num_rows += stop - start
                num_bytes += len(waiting[-1].data)
                start, begin = stop, int(rows.ends[stop - 1])
            if start < len(rows) or num_rows % step == 0:
                yield join_rows(waiting)
                waiting, num_bytes = [], 0
    if waiting:
        yield join_rows(waiting)


def _in_batches(arrow: Any, arrays: list[Any], batch_rows: int) -> Any:
    """Return `arrays`, and empty the list, as a column; the pages of the file would show those that end within a batch.

    Those are joined, and each array is let go of as soon as it is.
    """
    kind, pool = arrays[0].type, arrow.system_memory_pool()
    joined: list[Any] = []
    waiting: list[Any] = []
    num_rows = 0
    while arrays:
        array = arrays.pop(0)
        # What is of whole batches stays as it is, but where texts are long.
        starts = [0]
        if batch_rows < _BATCH_ROWS:
            starts += range(batch_rows - num_rows % batch_rows, len(array), batch_rows)
        for start, stop in zip(starts, [*starts[1:], len(array)], strict=True):
            waiting.append(array.slice(start, stop - start))
            num_rows += stop - start
            if num_rows % batch_rows == 0 or (not arrays and stop == len(array)):
                is_whole = len(waiting) == len(starts) == 1
                joined.append(array if is_whole else arrow.concat_arrays(waiting, memory_pool=pool))
                waiting.clear()
    return arrow.chunked_array(joined, kind)


def _arrow_columns(arrow: Any, parts: Iterable[Rows], form: RecordForm | ArrayForm) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {spec.name: [] for spec in form.specs}
    num_rows = 0
    for rows in _blocks(parts):
        try:
            columns = form.to_columns(rows)
            for spec in form.specs:
                found[spec.name].append(_arrow_array(arrow, columns[spec.name], spec))
        except UnfitColumnsError as exc:
            if exc.row is None:
                raise
            raise exc.at(num_rows + exc.row) from exc
        num_rows += len(rows)
    return {spec.name: _of_one_type(arrow, found.pop(spec.name), spec) for spec in form.specs}


def _of_one_type(arrow: Any, arrays: list[Any], spec: ColumnSpec) -> list[Any]:
    """Return the arrays of a column; where Arrow has found several types, one, whose type is that of all values."""
    if len({array.type for array in arrays}) == 1:
        return arrays
    return [_arrow_array(arrow, [value for array in arrays for value in array.to_pylist()], spec)]


def _arrow_array(arrow: Any, values: Column, spec: ColumnSpec) -> Any:
    pool = arrow.system_memory_pool()  # Arrow's own gives nothing back to Python, nor takes anything from it
    try:
        if isinstance(values, np.ndarray):
            # Rows of numbers as lists of fixed size, the innermost last.
            flat = _flat_array(arrow, np.ascontiguousarray(values).reshape(-1), spec.name)
            return functools.reduce(arrow.FixedSizeListArray.from_arrays, reversed(spec.item_shape), flat)
        if spec.kind in _ARROW_TYPES:
            return arrow.array(values, type=arrow.type_for_alias(_ARROW_TYPES[spec.kind]), memory_pool=pool)
        array = arrow.array(values, memory_pool=pool)
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


def _write_tokens(path: Path, parts: Iterable[Rows], form: Form, *, stride: int = 0) -> None:
    """Write windows one after another; with `stride`, what two neighbours share only once."""
    (windows,) = form.to_columns(join_rows(list(parts))).values()
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
