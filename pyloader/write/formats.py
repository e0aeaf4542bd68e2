"""The formats a chunk can be written in, one function each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zstandard

from pyloader.columns import Column, ColumnSpec
from pyloader.optional import import_optional
from pyloader.write.forms import Form, UnfitColumnsError
from pyloader.write.rows import Rows

__all__ = ["FORMATS", "ChunkFormat", "chunk_format"]

_ZSTD_LEVEL = 3

# Records of an ArrayRecord file that are packed, and read, together.  Range reads of a whole file are the usual way;
# single records stay reachable at the price of unpacking this many.
_GROUP_SIZE = 256


@dataclass(frozen=True, slots=True)
class ChunkFormat:
    """A format that chunks can be written in.

    Attributes:
      name: As it is given to `format=` and `--to`.
      suffix: What its chunks' names end with.
      reader: The registered name of the reader for it.
      forms: The forms of rows it takes; the first one it can be written from at least cost.
      write: Writes rows to a path that does not exist yet.
    """

    name: str
    suffix: str
    reader: str
    forms: tuple[str, ...]
    write: Callable[[Path, Rows, Form], None]


def chunk_format(name: str) -> ChunkFormat:
    """Return the format called `name`.

    Raises:
      ValueError: there is none; the message lists those that there are.
    """
    if name not in FORMATS:
        raise ValueError(f"there is no chunk format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def _write_jsonl(path: Path, rows: Rows, form: Form) -> None:
    path.write_bytes(rows.data)


def _write_jsonl_zst(path: Path, rows: Rows, form: Form) -> None:
    # A context of its own for each chunk: one must never be used by two threads.
    path.write_bytes(zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(rows.data))


def _write_columns(path: Path, rows: Rows, form: Form) -> None:
    path.mkdir()
    for name, values in form.to_columns(rows).items():
        assert isinstance(values, np.ndarray)
        np.save(path / f"{name}.npy", values, allow_pickle=False)


def _write_arrayrecord(path: Path, rows: Rows, form: Form) -> None:
    module = import_optional("array_record.python.array_record_module", wanted_by="The format arrayrecord")
    writer = module.ArrayRecordWriter(str(path), f"group_size:{_GROUP_SIZE}")
    try:
        for record in _records(rows, form):
            writer.write(record)
    finally:
        writer.close()


def _records(rows: Rows, form: Form) -> Sequence[bytes]:
    if form.name == "packed":
        return list(next(iter(form.to_columns(rows).values())))
    return rows.pieces() if form.name == "array" else bytes(rows.data).splitlines()


def _write_parquet(path: Path, rows: Rows, form: Form) -> None:
    arrow = import_optional("pyarrow", wanted_by="The format parquet")
    parquet = import_optional("pyarrow.parquet", wanted_by="The format parquet")
    columns = form.to_columns(rows)
    arrays = {spec.name: _arrow_array(arrow, columns[spec.name], spec) for spec in form.specs}
    parquet.write_table(arrow.table(arrays), path, compression="zstd")


def _arrow_array(arrow: Any, values: Column, spec: ColumnSpec) -> Any:
    if isinstance(values, np.ndarray):
        # Rows of numbers as lists of fixed size, the innermost last.
        flat = arrow.array(np.ascontiguousarray(values).reshape(-1))
        return functools.reduce(arrow.FixedSizeListArray.from_arrays, reversed(spec.item_shape), flat)
    if spec.kind in ("str", "bytes"):
        return arrow.array(values, type=arrow.string() if spec.kind == "str" else arrow.binary())
    if spec.kind in ("bool", "int", "float"):
        raise UnfitColumnsError(f"has null among the numbers of {spec.name!r}; fill it (--fill {spec.name}=0)")
    try:
        array = arrow.array(values)
    except arrow.ArrowException as exc:
        raise UnfitColumnsError(f"has {spec.name!r} of mixed kinds ({exc})") from exc
    # Arrow makes the values of a column alike: it gives dicts each other's keys, and whole numbers a fraction.
    if msgspec.msgpack.encode(array.to_pylist()) != msgspec.msgpack.encode(values):
        raise UnfitColumnsError(f"has lists or dicts in {spec.name!r} that Arrow would change; write jsonl.zst instead")
    return array


FORMATS = {
    found.name: found
    for found in (
        ChunkFormat("jsonl.zst", ".jsonl.zst", "jsonl", ("json",), _write_jsonl_zst),
        ChunkFormat("jsonl", ".jsonl", "jsonl", ("json",), _write_jsonl),
        ChunkFormat("columns", ".columns", "columns", ("array",), _write_columns),
        ChunkFormat("arrayrecord", ".arrayrecord", "arrayrecord", ("array", "json", "packed"), _write_arrayrecord),
        ChunkFormat("parquet", ".parquet", "parquet", ("array", "json", "packed"), _write_parquet),
    )
}
