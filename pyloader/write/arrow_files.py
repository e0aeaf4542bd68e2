"""Parquet and Arrow files, as blocks of one schema: what drifts from file to file is promoted, or refused by name."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any, NamedTuple

from pyloader.errors import SplitError, import_optional
from pyloader.files import named_by_content
from pyloader.write.arrow_types import bare_type, common_type
from pyloader.write.blocks import BLOCK_BYTES, Block, Source, Span
from pyloader.write.input_files import InputFile, open_input

__all__ = ["arrow_sources"]

_MAX_BATCH_ROWS = 2**16
_WANTED_BY = "Parquet input"


def arrow_sources(
    files: Sequence[InputFile],
    input_format: str,
    *,
    columns: Sequence[str] | None = None,
    fill: Mapping[str, Any] | None = None,
) -> tuple[tuple[Source, ...], Any]:
    """Return the sources, whose blocks are Arrow tables, and the schema that all of these have.

    Args:
      files: Of a dump.
      input_format: "parquet" or "arrow".
      columns: The columns to keep; None keeps all.
      fill: Column -> what will stand for null; a column that is named here may be missing in a file.

    Raises:
      SplitError: a file is damaged, has two columns of one name, lacks a column, or has it as another type.
    """
    import_optional("pyarrow", wanted_by=_WANTED_BY)
    found = [_head(file, input_format) for file in files]
    schemas = [
        (file.path, _chosen(file.path, head.schema, columns, fill or {}))
        for file, head in zip(files, found, strict=True)
    ]
    schema = _filled(_common_schema(schemas, fill or {}), columns, fill or {})
    sources = [
        Source(
            file.path,
            file.num_bytes,
            partial(_blocks, file, input_format, schema),
            head.raw_bytes,
            head.num_rows,
            head.cuts,
        )
        for file, head in zip(files, found, strict=True)
    ]
    return tuple(sources), schema


class _Head(NamedTuple):
    """What the head or the foot of a file says.

    A file without an index of its parts has no rows here: it is read whole.

    Attributes:
      schema: Its Arrow schema.
      raw_bytes: Unpacked, about.
      num_rows: Of all parts, row groups or record batches.
      cuts: The first row of each part but the first.
    """

    schema: Any
    raw_bytes: int
    num_rows: int = 0
    cuts: tuple[int, ...] = ()


def _head(file: InputFile, input_format: str) -> _Head:
    import pyarrow

    size = file.num_bytes
    try:
        with open_input(file, packing="") as stream:
            if input_format == "arrow":
                return _Head(_arrow_reader(stream).schema, size)
            parquet = import_optional("pyarrow.parquet", wanted_by=_WANTED_BY)
            with parquet.ParquetFile(stream) as read:
                groups = [read.metadata.row_group(index) for index in range(read.metadata.num_row_groups)]
                *starts, num_rows = itertools.accumulate((group.num_rows for group in groups), initial=0)
                raw_bytes = max(size, sum(group.total_byte_size for group in groups))
                return _Head(read.schema_arrow, raw_bytes, num_rows, tuple(starts[1:]))
    except (pyarrow.ArrowException, OSError) as exc:
        error = SplitError(file.path, f"cannot be read ({str(exc).strip().rstrip('.')}).", "Fetch it again")
        raise named_by_content(error) from exc


def _chosen(path: str, schema: Any, columns: Sequence[str] | None, fill: Mapping[str, Any]) -> Any:
    import pyarrow

    names = schema.names
    wanted = [name for name in columns if name in names or name not in fill] if columns is not None else names
    for name in wanted:
        if name not in names:
            raise SplitError(path, f"has no column {name!r}; it has {', '.join(names)}.")
        if names.count(name) > 1:
            single = [other for other in names if names.count(other) == 1]
            hint = "Rename one" + (f", or keep others: --columns {','.join(single)}" if single else "")
            raise SplitError(path, f"has two columns called {name!r}.", hint)
    # What pandas noted of its index is not true of a chunk.
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != b"pandas"}
    return pyarrow.schema([(name, bare_type(schema.field(name).type)) for name in wanted], metadata=metadata)


def _common_schema(schemas: Sequence[tuple[str, Any]], fill: Mapping[str, Any]) -> Any:
    import pyarrow

    first, schema = schemas[0]
    types = dict(zip(schema.names, schema.types, strict=True))
    giver = dict.fromkeys(types, first)  # the file that a column's type is from, for the message
    for path, other in schemas[1:]:
        for name in [*types, *other.names]:
            if (name in types) != (name in other.names) and name not in fill:
                lacking, having = (path, first) if name in types else (first, path)
                shared = [known for known in types if known in other.names]
                keep = f", or keep only the shared ones: --columns {','.join(shared)}" if shared else ""
                hint = f"Say what to put there: --fill {name}=...{keep}"
                raise SplitError(lacking, f"lacks {name!r}, which {having} has.", hint)
        for name, kind in zip(other.names, other.types, strict=True):
            common = common_type(types.get(name, kind), kind)
            if common is None:
                what = f"has {name!r} as {kind}, but {giver[name]} has it as {types[name]}."
                others = [known for known in types if known != name]
                keep = f", or keep the others: --columns {','.join(others)}" if others else ""
                raise SplitError(path, what, f"Cast one of them{keep}, or split them into directories of their own")
            if types.get(name) != common:
                types[name], giver[name] = common, path
    return pyarrow.schema(types.items(), metadata=schema.metadata)


def _filled(schema: Any, columns: Sequence[str] | None, fill: Mapping[str, Any]) -> Any:
    """Return the schema with room for what stands for null."""
    import pyarrow

    types = dict(zip(schema.names, schema.types, strict=True))
    for name, value in fill.items():
        if columns is not None and name not in columns:
            continue
        try:
            own = pyarrow.scalar(value).type
        except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError) as exc:
            raise ValueError(f"fill: {name} cannot be {value!r} ({exc})") from exc
        kind = types.get(name, own)
        kind = own if pyarrow.types.is_null(kind) else kind
        common = kind if _holds(kind, value) else common_type(kind, own)
        if common is None:
            raise ValueError(f"fill: {name} cannot be {value!r}; the column is {kind}")
        types[name] = common
    order = types if columns is None else columns
    return pyarrow.schema([(name, types[name]) for name in order], metadata=schema.metadata)


def _holds(kind: Any, value: Any) -> bool:
    """Tell whether a column of this type takes a value: as it is, or rounded to a fraction of fewer bits."""
    import pyarrow

    try:
        held = pyarrow.scalar(value, kind).as_py()
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return bool(held == value or pyarrow.types.is_floating(kind))


def _blocks(
    file: InputFile, input_format: str, schema: Any, span: Span, *, block_bytes: int = BLOCK_BYTES
) -> Generator[Block, None, None]:
    """Yield the blocks of a span, which ends where a row group ends."""
    import pyarrow

    row = span.start
    try:
        with open_input(file, packing="") as stream:
            batches = _parquet_batches if input_format == "parquet" else _arrow_batches
            for batch in batches(stream, schema.names, block_bytes, span):
                rows = _conformed(file.path, batch, schema, row)
                yield Block(rows, row + 1, stream.tell())
                row += len(batch)
    except (pyarrow.ArrowException, OSError) as exc:
        error = SplitError(file.path, f"cannot be read: row {row + 1:,} ({exc}).", "Fetch it again")
        raise named_by_content(error) from exc


def _parquet_batches(stream: IO[bytes], names: Sequence[str], block_bytes: int, span: Span) -> Iterator[Any]:
    parquet = import_optional("pyarrow.parquet", wanted_by=_WANTED_BY)
    # Through a buffer: a column of a row group is else read as a whole, whatever its size.
    with parquet.ParquetFile(stream, buffer_size=block_bytes, pre_buffer=False) as file:
        stop = 0
        for group in range(file.metadata.num_row_groups):
            about = file.metadata.row_group(group)
            start, stop = stop, stop + about.num_rows
            if start < span.start or (span.stop is not None and start >= span.stop):
                continue
            rows = min(_MAX_BATCH_ROWS, block_bytes * about.num_rows // max(1, about.total_byte_size))
            there = [name for name in names if name in file.schema_arrow.names]
            yield from file.iter_batches(batch_size=max(1, rows), row_groups=[group], columns=there)


def _arrow_batches(stream: IO[bytes], names: Sequence[str], block_bytes: int, span: Span) -> Iterator[Any]:
    reader = _arrow_reader(stream)
    stored = map(reader.get_batch, range(reader.num_record_batches)) if hasattr(reader, "get_batch") else reader
    for batch in stored:
        rows = min(_MAX_BATCH_ROWS, max(1, block_bytes * len(batch) // max(1, batch.nbytes)))
        for first in range(0, len(batch), rows):
            yield batch.slice(first, rows)


def _arrow_reader(stream: IO[bytes]) -> Any:
    ipc = import_optional("pyarrow.ipc", wanted_by=_WANTED_BY)
    import pyarrow

    try:
        return ipc.open_file(stream)
    except pyarrow.ArrowInvalid:  # Hugging Face writes the streaming form
        stream.seek(0)
        return ipc.open_stream(stream)


def _conformed(path: str, batch: Any, schema: Any, first_row: int) -> Any:
    """Return the rows as a table of the schema; what the file lacks is null."""
    import pyarrow

    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        column = pyarrow.nulls(len(batch), field.type) if index < 0 else batch.column(index)
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pyarrow.ArrowException as exc:
            row = _first_unfit(column, field.type)
            what = f"has {column[row].as_py()!r} in {field.name!r}, which {field.type} cannot hold exactly."
            hint = f"Other files have it as {field.type}: split them into directories of their own"
            raise SplitError(path, what, hint, first_row + row + 1) from exc
    return pyarrow.Table.from_arrays(columns, schema=schema)


def _first_unfit(column: Any, kind: Any) -> int:
    """Return the first row of a column that cannot be cast, by halves."""
    import pyarrow

    start, stop = 0, len(column)
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            column.slice(start, middle - start).cast(kind)
            start = middle
        except pyarrow.ArrowException:
            stop = middle
    return start
