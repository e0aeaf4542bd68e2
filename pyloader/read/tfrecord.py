"""TFRecord files, each record with its checksums -> columns of tf.train.Example, or raw bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from pyloader.columns import Columns, ColumnSpec
from pyloader.errors import ChunkReadError, import_optional
from pyloader.files import named_by_content, packing_of, refuse_pointer
from pyloader.files.unpacking import FETCH_AGAIN
from pyloader.machine.memory import keep_freed_memory
from pyloader.part import INDEX_AGAIN, Part
from pyloader.read.cutting import BLOCK_BYTES, Cutter, FileBytes
from pyloader.read.file_ranges import all_of, range_of
from pyloader.read.options import NamedColumnsReader, column_names
from pyloader.read.spans import bytes_at
from pyloader.read.tf_examples import KINDS, ExampleError, example_columns
from pyloader.read.tfrecord_headers import first_damaged, masked, record_starts

__all__ = ["TFRecordReader", "example_options"]

_HEADER_BYTES, _FOOTER_BYTES = 12, 4  # before a record, and after it: the checksum of its bytes
_STRETCH_BYTES = 2**21  # in which small records are looked for
_FLOATS = {np.dtype(np.float32).str: "float32"}


class TFRecordReader(NamedColumnsReader):
    """TFRecord files (.tfrecord, .tfrecords, x.tfrecord-00000-of-00010), also packed: .tfrecord.gz.

    Each feature of the tf.train.Example or SequenceExample in a record is a column: of numbers an array where each
    record has as many, int64 or float32, else `Ragged`; of one bytes value a Ragged of bytes; of several, a list of
    lists of bytes.  Both checksums of each record are compared.  TensorFlow is not needed, google-crc32c is.

    Args:
      records: "example" (the default), or "bytes": the column "record" has the records as they are.
      columns: Which features to read, in this order; None for all, sorted by name.
      ragged: Which features have any number of values: Ragged, or of bytes a list of lists, also in a file where each
        record happens to have as many.
      kinds: What a feature holds, "bytes", "float32" or "int64", where a file may have no value of it.  (Of those that
        are not named, nothing is int64.)
      missing: "error" (the default), or "empty", which needs `columns`: a record that lacks one has no values in it.

    Raises:
      TypeError, ValueError: an option is none of these.
    """

    is_thread_safe = True
    finds_by_ranges = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        records: str = "example",
        columns: Sequence[str] | None = None,
        ragged: Sequence[str] = (),
        kinds: Mapping[str, str] | None = None,
        missing: str = "error",
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, columns=columns, **old_names)
        for option, value, known in (
            ("records", records, ("example", "bytes")),
            ("missing", missing, ("error", "empty")),
        ):
            if value not in known:
                raise ValueError(f"{option} must be {known[0]!r} or {known[1]!r}, got {value!r}")
        if missing == "empty" and columns is None:
            raise ValueError("missing='empty' needs columns=[...]: a file may lack one in all of its records")
        for name, kind in (kinds or {}).items():
            if kind not in KINDS:
                raise ValueError(f"kinds[{name!r}] must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
        self.records, self.missing, self.kinds = records, missing, dict(kinds or {})
        self.ragged = column_names(ragged) or ()

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read all records.

        Returns:
          A column for each feature, or {"record": Ragged of bytes}, and how many records there are.

        Raises:
          ChunkReadError: the file is cut or damaged, or a record is no Example; one lacks a feature, or has it of
            another kind.
          MissingDependencyError: google-crc32c is not installed.
        """
        keep_freed_memory()
        refuse_pointer(path, os.path.getsize(path))
        return self._columns(path, all_of(path, self._memory), 0, 0)

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find parts: the lengths of records are read and compared with their checksums, not the records."""
        if packing_of(path):
            return None
        crc = _crc32c()
        keep_freed_memory()
        cutter, number, at, at_once = Cutter(chunk_bytes, chunk_samples), 0, 0, BLOCK_BYTES
        with FileBytes(path) as file:
            while at < file.size:
                starts, after = _checked_starts(crc, path, file.stretch(at, at_once), number, at)
                cutter.records(at + starts)
                number, at = number + len(starts), at + after
                # Large records are passed over.
                at_once = _STRETCH_BYTES if len(starts) > 1 else BLOCK_BYTES
            if at > file.size:
                raise _cut(path, number - 1, file.size)
        return [Part(cut.first, cut.num_samples, ((cut.start, cut.stop),)) for cut in cutter.cuts(at)]

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read the records of a part."""
        if len(part.ranges) != 1:
            raise ChunkReadError(path, "has a part that is not one of a TFRecord file.", INDEX_AGAIN)
        ((start, stop),) = part.ranges
        return self._columns(path, range_of(path, start, stop, self._memory), start, part.first)

    def _columns(self, path: str, data: bytes | memoryview, offset: int, first: int) -> tuple[Columns, int]:
        """Return the columns of the records in `data`, which are at `offset` in the file, the first of this number."""
        starts, stops = _spans(path, data, offset, first)
        if not len(starts):
            return {}, 0
        raw = np.frombuffer(data, np.uint8)
        if self.records == "bytes":
            return {"record": bytes_at(raw, starts, stops)}, len(starts)
        try:
            made = example_columns(
                raw, starts, stops, columns=self.columns, ragged=self.ragged, kinds=self.kinds, missing=self.missing
            )
        except ExampleError as exc:
            number, at = first + exc.record, offset + int(starts[exc.record]) - _HEADER_BYTES
            hint = f"TFRecordReader({exc.hint})" if exc.hint else "TFRecordReader(records='bytes') gives it as it is"
            raise ChunkReadError(path, f"record {number:,} at byte {at:,} {exc.what}.", hint) from exc
        return made, len(starts)


def example_options(columns: Sequence[ColumnSpec]) -> dict[str, Any]:
    """Return the options with which a TFRecordReader gives these columns, whatever a file holds."""
    names = [spec.name for spec in columns]
    if names == ["record"]:
        return {}
    is_bytes = {spec.name: spec.kind == "list" or spec.dtype == np.dtype(bytes).str for spec in columns}
    is_ragged = {
        spec.name: spec.kind == "list" or (spec.kind == "ragged" and not is_bytes[spec.name]) for spec in columns
    }
    kinds = {spec.name: "bytes" if is_bytes[spec.name] else _FLOATS.get(spec.dtype, "int64") for spec in columns}
    return {"columns": names, "ragged": [name for name in names if is_ragged[name]], "kinds": kinds}


def _spans(path: str, data: bytes | memoryview, offset: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each record begins and ends in `data`; checksums are as they should be."""
    crc = _crc32c()
    starts, after = _checked_starts(crc, path, data, first, offset) if data else (np.empty(0, np.int64), 0)
    if after != len(data):
        raise _cut(path, first + len(starts) - (after > len(data)), offset + len(data))
    stops = np.append(starts[1:], after)[: len(starts)] - _FOOTER_BYTES
    starts = starts + _HEADER_BYTES
    spans, value = zip(starts.tolist(), stops.tolist(), strict=True), crc.value
    found = np.fromiter((value(bytes(data[start:stop])) for start, stop in spans), np.uint32, len(starts))
    said = np.frombuffer(data, np.uint8)[stops[:, None] + np.arange(_FOOTER_BYTES)].view("<u4")[:, 0]
    damaged = np.flatnonzero(masked(found) != said)
    if len(damaged):
        number, at = first + int(damaged[0]), offset + int(starts[damaged[0]]) - _HEADER_BYTES
        what = f"record {number:,} at byte {at:,} is damaged: its checksum differs."
        raise ChunkReadError(path, what, FETCH_AGAIN)
    return starts, stops


def _checked_starts(
    crc: ModuleType, path: str, data: bytes | memoryview, number: int, at: int
) -> tuple[np.ndarray, int]:
    """Return where records begin in `data`, and where the next one would; their lengths are as they should be.

    Args:
      crc: Computes checksums.
      path: Named in errors.
      data: Bytes of the file, one at least.
      number: How many records the file has before them.
      at: Where in the file they begin.
    """
    starts, after = record_starts(data)
    bad = first_damaged(data, starts, crc) if len(starts) else -1
    if bad >= 0:
        if number + bad == 0:
            what = "is no TFRecord file, or its first record is damaged: the checksum of its length differs."
            raise named_by_content(ChunkReadError(path, what, FETCH_AGAIN))
        what = f"is damaged: the length of record {number + bad:,} at byte {at + int(starts[bad]):,} differs from its"
        raise ChunkReadError(path, f"{what} checksum.", FETCH_AGAIN)
    if not len(starts):
        raise _cut(path, number, at + len(data))
    return starts, after


def _cut(path: str, number: int, size: int) -> ChunkReadError:
    return ChunkReadError(path, f"ends early, inside of record {number:,}, after {size:,} bytes.", FETCH_AGAIN)


def _crc32c() -> ModuleType:
    return import_optional("google_crc32c", wanted_by="TFRecordReader")
