"""Hugging Face datasets as save_to_disk leaves them (Arrow streams) -> columns."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, import_optional
from pyloader.files import Room, check_fits, named_by_content
from pyloader.part import Part, joined_ranges
from pyloader.read.arrow_messages import Batch, batches_of_stream
from pyloader.read.options import check_no_name_twice
from pyloader.read.parquet import counted
from pyloader.read.ragged_tables import RaggedTableReader

__all__ = ["HuggingFaceReader"]

_AGAIN = "Fetch it again, or max_skipped=1 to go on without it"
_PATH = ".path"


class HuggingFaceReader(RaggedTableReader):
    """The files of a Hugging Face dataset that save_to_disk wrote, by pyarrow; the datasets package is not needed.

    Columns come as `ParquetReader` gives them, and:

    - lists of numbers of unequal length, and bytes, as Ragged;
    - pictures and sounds (Image, Audio, Video) as Ragged of their bytes, undecoded; `columns=["image", "image.path"]`
      asks for their paths too, a list of str (None where there is none);
    - Array2D to Array5D as one array of shape [rows, ...], where the shape is fixed;
    - class labels as int64: `class_names` says what they mean.

    Args:
      columns: The columns to read; others are not unpacked.  None: all.
      fill: What stands for null, by column.
      dtypes: The dtypes of number columns; object for a column that is to stay a list, whatever it holds.
      ragged: The columns that become `Ragged`, in Arrow's memory; True (the default): all lists of numbers, and bytes.
        A null in them is an error.
    """

    is_thread_safe = True

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read the file.

        Returns:
          The columns, and how many rows there are.

        Raises:
          ChunkReadError: the file is cut or damaged, or lacks one of `columns`; a picture is only named, not there.
          MissingDependencyError: pyarrow is not installed.
        """
        with _open(path) as (file, size):
            _, batches, _ = batches_of_stream(file, path, size)
            check_fits(path, size)
            return self._columns_in(path, file, [(0, size)]), sum(batch.num_rows for batch in batches)

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find parts of whole record batches, of which only the headers are read.

        Returns:
          The parts; None where columns share dictionaries, which lie between the batches.

        Raises:
          ChunkReadError: the file is cut, or damaged, as far as it was looked at.
        """
        with _open(path) as (file, size):
            schema_stop, batches, has_dictionaries = batches_of_stream(file, path, size)
        if has_dictionaries:
            return None
        parts: list[Part] = []
        first = 0
        for some in _runs([batch for batch in batches if batch.num_rows], chunk_bytes, chunk_samples):
            num_rows = sum(batch.num_rows for batch in some)
            ranges = joined_ranges([(0, schema_stop), *((batch.start, batch.stop) for batch in some)])
            parts.append(Part(first, num_rows, ranges))
            first += num_rows
        return parts

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read the part's record batches; see `read_file`."""
        with _open(path) as (file, _):
            return self._columns_in(path, file, part.ranges), part.num_samples

    def class_names(self, path: str) -> dict[str, list[str]]:
        """Return what class labels mean: by column, the name of each number.

        Raises:
          ChunkReadError: the file is cut or damaged.
        """
        pyarrow = import_optional("pyarrow", wanted_by="HuggingFaceReader")
        with _open(path) as (file, _), _damage_named(path):
            features = _features(pyarrow.ipc.open_stream(file).schema)
        return {name: list(said["names"]) for name, said in features.items() if said.get("_type") == "ClassLabel"}

    def _columns_in(self, path: str, file: Any, ranges: Sequence[tuple[int, int]]) -> Columns:
        pyarrow = import_optional("pyarrow", wanted_by="HuggingFaceReader")
        with _damage_named(path):
            stream = pyarrow.ipc.open_stream(pyarrow.BufferReader(_bytes_in(file, path, ranges)))
            room, batches = Room(path), []
            for batch in stream:
                batch.validate(full=True)  # places are taken from the file as they are: wrong ones end the process
                batches.append(counted(batch, room))
            table = pyarrow.Table.from_batches(batches, stream.schema)
        names = table.column_names if self.columns is None else self.columns
        if not names:
            raise ChunkReadError(path, "has no columns.", _AGAIN)
        check_no_name_twice(path, table.column_names)
        return self.columns_of(path, self._plain(path, table, names, _features(stream.schema)))

    def _plain(self, path: str, table: Any, wanted: Sequence[str], features: dict[str, Any]) -> Any:
        """Return the wanted columns: pictures as their bytes, and those of several dimensions as tensors."""
        pyarrow = import_optional("pyarrow", wanted_by="HuggingFaceReader")
        columns: dict[str, Any] = {}
        names = table.column_names
        for name in wanted:
            stem = name.removesuffix(_PATH)
            is_path = name not in names and stem in names and _is_media(table.column(stem).type)
            if name not in names and not is_path:
                raise ChunkReadError(path, f"has columns {names}, and no {name!r}.")
            column = table.column(stem if is_path else name)
            is_tensor = isinstance(column.type, pyarrow.FixedShapeTensorType)
            if isinstance(column.type, pyarrow.BaseExtensionType) and not is_tensor:  # known where datasets is imported
                column = pyarrow.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
            if _is_media(column.type):
                column = _media(column, path, name, "path" if is_path else "bytes")
            shape = features.get(name, {}).get("shape")
            tensors = _of_shape(column, shape) if isinstance(shape, list) and name not in self.list_columns else None
            columns[name] = column if tensors is None else tensors
        return pyarrow.table(columns)


def _runs(batches: list[Batch], chunk_bytes: int, chunk_samples: int | None) -> Iterator[list[Batch]]:
    """Yield runs of batches that are no larger than what is asked for, where there is more than one."""
    some: list[Batch] = []
    for batch in batches:
        if chunk_samples is None:
            is_full = some and batch.stop - some[0].start > chunk_bytes
        else:
            is_full = some and sum(each.num_rows for each in some) + batch.num_rows > chunk_samples
        if is_full:
            yield some
            some = []
        some.append(batch)
    if some:
        yield some


def _bytes_in(file: Any, path: str, ranges: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the bytes of some ranges of a file, one after another: an array of uint8."""
    found = np.empty(sum(stop - start for start, stop in ranges), np.uint8)
    place = 0
    for start, stop in ranges:
        file.seek(start)
        while start < stop:
            count = file.readinto(found[place : place + stop - start].data)
            if not count:
                raise ChunkReadError(path, f"ends early: at {start:,} bytes, {stop:,} expected.", _AGAIN)
            start, place = start + count, place + count
    return found


def _features(schema: Any) -> dict[str, Any]:
    """Return what the features of the columns are, as datasets writes them beside the schema; {} where it did not."""
    try:
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = said["info"]["features"]
        return {name: one for name, one in features.items() if isinstance(one, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_media(kind: Any) -> bool:
    """Tell whether a column holds pictures or the like: their bytes, and a path."""
    types = import_optional("pyarrow.types", wanted_by="HuggingFaceReader")
    if not types.is_struct(kind) or {field.name for field in kind} != {"bytes", "path"}:
        return False
    return bool(types.is_binary(kind.field("bytes").type) or types.is_large_binary(kind.field("bytes").type))


def _media(column: Any, path: str, name: str, field: str) -> Any:
    from pyarrow import compute

    places = compute.struct_field(column, "path")
    found = compute.struct_field(column, field)
    if field == "bytes":
        is_elsewhere = compute.and_(compute.is_null(found), compute.is_valid(places))
        if compute.any(is_elsewhere).as_py():
            row = is_elsewhere.to_pylist().index(True)
            what = f"row {row + 1:,}: {name!r} has no bytes, but a path, {places[row].as_py()[:255]!r}."
            raise ChunkReadError(path, what, "Other files are not opened: save the dataset again with save_to_disk")
    return found


def _of_shape(column: Any, shape: list[Any]) -> Any:
    """Return lists of lists of numbers as tensors of one shape; None where they are not all so."""
    import pyarrow

    types = import_optional("pyarrow.types", wanted_by="HuggingFaceReader")
    values = column.combine_chunks()
    for size in shape:
        if not types.is_list(values.type) or values.null_count or type(size) is not int or size < 1:
            return None
        if (np.diff(values.offsets.to_numpy()) != size).any():
            return None
        values = values.flatten()
    if values.null_count or not (types.is_integer(values.type) or types.is_floating(values.type)):
        return None
    rows = pyarrow.FixedSizeListArray.from_arrays(values, math.prod(shape))
    return pyarrow.ExtensionArray.from_storage(pyarrow.fixed_shape_tensor(values.type, shape), rows)


@contextmanager
def _open(path: str) -> Iterator[tuple[Any, int]]:
    with open(path, "rb", buffering=0) as file:
        yield file, os.fstat(file.fileno()).st_size


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise  # the disk's
        what = f"is damaged, or no Arrow stream ({str(exc).strip().rstrip('.')})."
        raise named_by_content(ChunkReadError(path, what, _AGAIN)) from exc
