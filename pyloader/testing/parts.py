"""The contract of `find_parts` and `read_part`, to be tested on one's own reader."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pyloader.columns import Column, Columns, row_count
from pyloader.datareader import (
    DataReader,
    can_find_by_ranges,
    can_find_side_by_side,
    can_read_parts,
    parts_of_file,
    read_chunk,
)
from pyloader.files import FetchTerms, StoredPath
from pyloader.files.stores import LocalStore
from pyloader.part import Part, part_name

__all__ = ["check_parts_of_file"]

_BLOCK_BYTES = 2**20


def check_parts_of_file(reader: DataReader, path: str, whole: Columns) -> None:
    """Assert that a reader finds and reads the parts of a file as it should; nothing, where it has no such methods.

    A part's array may be of another dtype than the whole one: of integers, where another part has fractions.

    Args:
      reader: The reader.
      path: A small file, of some rows.
      whole: What `read_file` reads.

    Raises:
      AssertionError: it does not; the message says what differs, and where.
    """
    if not can_read_parts(reader):
        return
    name, num_rows, num_bytes = type(reader).__name__, row_count(whole), os.path.getsize(path)
    for share in (3, 10):
        for samples in (None, max(1, num_rows // share)):
            sizes: dict[str, Any] = {"chunk_bytes": max(1, num_bytes // share), "chunk_samples": samples}
            parts = parts_of_file(reader, path, **sizes)
            if parts is None:
                return
            said = f"{name}.find_parts with {sizes} found in {path}"
            assert parts == parts_of_file(reader, path, **sizes), f"{said} other parts the second time"
            if can_find_by_ranges(reader) and os.path.isfile(path):
                by_ranges = parts_of_file(reader, _as_object(path), **sizes)
                assert by_ranges in (parts, None), f"{said} other parts by ranges: is the file not read by open_bytes?"
            if can_find_side_by_side(reader):
                side_by_side = parts_of_file(reader, path, **sizes, in_order=_last_first)
                assert side_by_side == parts, f"{said} other parts where its places are looked at in another order"
            parts = [_through_json(part, said) for part in parts]
            found = parts[-1].stop if parts else 0
            assert found == num_rows, f"{said} {found:,} rows, and read_file reads {num_rows:,}"
            read = [read_chunk(reader, path, part) for part in parts]
            _assert_joined(read, whole, f"{name} read the parts of {path} one by one")
            if os.path.isfile(path):
                _assert_within_ranges(reader, path, parts, read, num_bytes)


def _last_first(look: Callable[[Any], Any], places: Iterable[Any]) -> Iterator[Any]:
    return iter([look(place) for place in reversed([*places])][::-1])


def _as_object(path: str) -> StoredPath:
    """Return a file as the object of a store."""
    directory, name = os.path.split(os.path.abspath(path))
    store = LocalStore(directory)
    return StoredPath(store, store.head(name), FetchTerms(wait=lambda _seconds: False))


def _through_json(part: Part, said: str) -> Part:
    try:
        again = msgspec.json.decode(msgspec.json.encode(part), type=Part)
    except (TypeError, ValueError, msgspec.MsgspecError) as exc:
        raise AssertionError(f"{said} a detail that JSON cannot hold: {part.detail!r} ({exc})") from exc
    assert again == part, f"{said} a detail that JSON gives back as another: {part.detail!r}, then {again.detail!r}"
    return again


def _assert_joined(parts: Sequence[Columns], whole: Columns, what: str) -> None:
    for number, columns in enumerate(parts):
        assert set(columns) == set(whole), f"{what}: part {number} has columns {list(columns)}, not {list(whole)}"
    for name, values in whole.items():
        arrays = [columns[name] for columns in parts]
        is_array = all(isinstance(column, np.ndarray) for column in [values, *arrays])
        if is_array and np.array_equal(np.concatenate(arrays or [values]), values):
            continue  # it is row by row that takes long
        joined = [value for columns in parts for value in _rows(columns[name])]
        for row, (value, other) in enumerate(zip(joined, _rows(values), strict=True)):
            _assert_equal(value, other, f"{what}: row {row:,} of {name!r} is {value!r}, and {other!r} in the whole")


def _assert_within_ranges(
    reader: DataReader, path: str, parts: Sequence[Part], read: Sequence[Columns], num_bytes: int
) -> None:
    """Assert that the first, the middle and the last part need nothing of the file but their ranges."""
    for number in sorted({0, len(parts) // 2, len(parts) - 1}) if parts else ():
        part = parts[number]
        ends = [0, *(place for span in part.ranges for place in span), num_bytes]
        said = f"the ranges {part.ranges} of {part_name(path, part)}"
        assert ends == sorted(ends), f"{said} are not one after another inside of {num_bytes:,} bytes"
        if not part.ranges:  # it is not known where the part is
            continue
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory, os.path.basename(path))
            with open(path, "rb") as source, open(copy, "xb") as target:
                target.truncate(num_bytes)
                for start, stop in part.ranges:
                    source.seek(start)
                    target.seek(start)
                    while start < stop and (block := source.read(min(_BLOCK_BYTES, stop - start))):
                        start += target.write(block)
            _assert_joined([read_chunk(reader, copy, part)], read[number], f"{said} were read alone")


def _rows(values: Column) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else list(values)


def _assert_equal(value: Any, other: Any, message: str) -> None:
    try:
        np.testing.assert_equal(value, other)  # NaN equals NaN, at any depth
    except AssertionError as exc:
        raise AssertionError(message) from exc
