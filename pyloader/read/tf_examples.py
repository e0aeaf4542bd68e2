"""Records of tf.train.Example and tf.train.SequenceExample -> columns, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns
from pyloader.ragged import Ragged
from pyloader.read.spans import bytes_at, even, numbers_at
from pyloader.read.wire import BYTES, FIXED32, VARINT, Fields, WireError, fields_of, packed_integers, varints_at

__all__ = ["KINDS", "ExampleError", "example_columns"]

_CONTEXT, _FEATURE_LISTS = 1, 2  # fields of a record; an Example has the first alone
_KEY, _VALUE = 1, 2  # fields of an entry of a map
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3  # fields of a Feature
KINDS = {"bytes": _BYTES_LIST, "float32": _FLOAT_LIST, "int64": _INT64_LIST}
_KINDS = {_BYTES_LIST: "bytes", _FLOAT_LIST: "floats", _INT64_LIST: "integers"}
_PACKED, _FLOAT_TAG, _VARINT_TAG = (1 << 3) | BYTES, (1 << 3) | FIXED32, (1 << 3) | VARINT


class ExampleError(ValueError):
    """A record is no Example, or its features do not make columns.

    Attributes:
      record: Which, counted from 0.
    """

    def __init__(self, record: int, what: str, hint: str = "") -> None:
        super().__init__(record, what, hint)
        self.record, self.what, self.hint = record, what, hint


@dataclass(frozen=True, slots=True)
class _Spans:
    """Messages in the bytes of all records: which record each is of, and where it begins and ends.  int64 arrays."""

    record: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def fields(self, data: np.ndarray, *known: int) -> Fields:
        """Return the fields of these messages, which are bytes and of these numbers; `message` counts the messages."""
        try:
            fields = fields_of(data, self.start, self.stop)
        except WireError as exc:
            raise ExampleError(int(self.record[exc.message]), f"is no tf.train.Example ({exc})") from exc
        if (strange := (fields.kind != BYTES) | (fields.number > max(known)) | (fields.number < min(known))).any():
            place = int(strange.argmax())
            what = f"is no tf.train.Example (a message has a field {fields.number[place]})"
            raise ExampleError(int(self.record[fields.message[place]]), what)
        return fields


def example_columns(
    data: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    *,
    columns: Sequence[str] | None = None,
    ragged: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    missing: str = "error",
) -> Columns:
    """Return the features of records as columns, sorted by name.

    A feature of one number in every record is an array [records]; of as many in each, an array [records, numbers]; else
    it is `Ragged`.  One of one bytes value is a Ragged of bytes; of several, a list of lists of bytes.  A feature list
    of one number a step is Ragged; of several, a list of arrays [steps, numbers]; of bytes, a list of lists of bytes.

    Args:
      data: uint8, in which the records lie.
      starts, stops: int64, where each begins and ends.
      columns: Which features; None for all.
      ragged: Which features have any number of values: Ragged, or a list of lists of bytes, also where each record
        happens to have as many.
      kinds: What a feature holds, one of KINDS, where no record has a value of it; int64 where it is not named.
      missing: "error", or "empty": a record that lacks a feature has no values in it.

    Raises:
      ExampleError: a record is no Example; one lacks a feature, or has it of another kind.
    """
    num_records = len(starts)
    records = _Spans(np.arange(num_records), starts, stops)
    parts = records.fields(data, _CONTEXT, _FEATURE_LISTS)
    made: Columns = {}

    def make(name: str) -> _Feature:
        empty = KINDS.get((kinds or {}).get(name, ""), _INT64_LIST)
        return _Feature(data, name, num_records, missing, name in ragged, empty)

    for part, is_sequence in ((_CONTEXT, False), (_FEATURE_LISTS, True)):
        chosen = parts.where(parts.number == part)
        entries = _Spans(chosen.message, chosen.start, chosen.stop)
        for name, values in _entries(data, entries, columns).items():
            if name in made:
                raise ExampleError(int(values.record[0]), f"has {name!r} as a feature and as a feature list")
            made[name] = make(name).steps(values) if is_sequence else make(name).column(values)
    for name in columns or ():
        if name not in made:
            made[name] = make(name).column(_Spans(*(np.empty(0, np.int64),) * 3))
    return {name: made[name] for name in (columns or sorted(made))}


def _entries(data: np.ndarray, maps: _Spans, columns: Sequence[str] | None) -> dict[str, _Spans]:
    """Return the values of maps by key: of each record the last one of a key, where there are several."""
    entries = maps.fields(data, 1)
    entry = _Spans(maps.record[entries.message], entries.start, entries.stop)
    fields = entry.fields(data, _KEY, _VALUE)
    keys, values = fields.where(fields.number == _KEY), fields.where(fields.number == _VALUE)
    for of in (keys, values):
        counts = np.bincount(of.message, minlength=len(entry.record))
        if (counts != 1).any():
            what = "is no tf.train.Example (an entry has not one name and one value)"
            raise ExampleError(int(entry.record[int((counts != 1).argmax())]), what)
    raw, names = data.data, dict[bytes, int]()
    spans = zip(keys.start.tolist(), keys.stop.tolist(), strict=True)
    ids = np.fromiter((names.setdefault(bytes(raw[a:b]), len(names)) for a, b in spans), np.int64, len(keys.start))
    found = {}
    for key, number in names.items():
        rows = np.flatnonzero(ids == number)
        record = entry.record[rows]
        try:
            name = key.decode()
        except UnicodeDecodeError as exc:
            raise ExampleError(int(record[0]), f"has a feature whose name is not UTF-8: {key[:40]!r}") from exc
        if columns is None or name in columns:
            rows = rows[np.append(record[1:] != record[:-1], True)]
            found[name] = _Spans(entry.record[rows], values.start[rows], values.stop[rows])
    return found


@dataclass(frozen=True, slots=True)
class _Feature:
    """One column in the making."""

    data: np.ndarray
    name: str
    num_records: int
    missing: str
    is_ragged: bool
    empty: int  # which kind of list it is, where no record has a value

    def column(self, features: _Spans) -> Column:
        """Return the column of one Feature in each record."""
        kind, lists = self._lists(features)
        self._check_missing(lists.record)
        if kind == _BYTES_LIST:
            values = self._bytes(lists)
            counts = np.bincount(values.record, minlength=self.num_records)
            rows = bytes_at(self.data, values.start, values.stop)
            if (counts == 1).all() and not self.is_ragged:
                return rows
            if counts.max(initial=0) <= 1 and self.missing == "empty" and not self.is_ragged:
                return Ragged(rows.values, rows.offsets[np.append(0, np.cumsum(counts))], is_bytes=True)
            return _nested(rows.to_list(), counts)
        numbers = self._numbers(kind, lists)
        filled = np.zeros(self.num_records, np.int64)
        filled[lists.record] = numbers.lengths
        column = Ragged(numbers.values, np.append(0, np.cumsum(filled)))
        return column if self.is_ragged else even(column)

    def steps(self, feature_lists: _Spans) -> Column:
        """Return the column of a FeatureList in each record: a Feature for each step."""
        self._check_missing(feature_lists.record)
        steps = feature_lists.fields(self.data, 1)
        features = _Spans(feature_lists.record[steps.message], steps.start, steps.stop)
        num_steps = np.bincount(features.record, minlength=self.num_records)
        kind, lists = self._lists(features)
        if kind == _BYTES_LIST:
            values = self._bytes(_Spans(np.arange(len(lists.record)), lists.start, lists.stop))
            counts = np.bincount(values.record, minlength=len(lists.record))
            items = bytes_at(self.data, values.start, values.stop).to_list()
            return _nested(items if (counts == 1).all() else _nested(items, counts), num_steps)
        numbers = self._numbers(kind, lists)
        if (numbers.lengths == 1).all():
            return Ragged(numbers.values, np.append(0, np.cumsum(num_steps)))
        arrays = even(numbers)
        if isinstance(arrays, Ragged):
            return _nested([np.array(row) for row in arrays], num_steps)
        return np.split(arrays, np.cumsum(num_steps)[:-1])

    def _lists(self, features: _Spans) -> tuple[int, _Spans]:
        """Return which kind of list all features are, and where these lie; those without one are empty."""
        fields = features.fields(self.data, *_KINDS)
        several = np.flatnonzero(fields.message[1:] == fields.message[:-1])
        if len(several):
            raise self._error(features, fields.message[several[0]], "holds several lists")
        if len(fields.number) == 0:
            return self.empty, features
        first = int(fields.number[0])
        if (others := fields.number != first).any():
            place = int(others.argmax())
            what = f"holds {_KINDS[int(fields.number[place])]}, and {_KINDS[first]} in records before"
            raise self._error(features, fields.message[place], what)
        start, stop = features.stop.copy(), features.stop
        start[fields.message] = fields.start
        return first, _Spans(features.record, start, stop)

    def _bytes(self, lists: _Spans) -> _Spans:
        fields = lists.fields(self.data, 1)
        return _Spans(lists.record[fields.message], fields.start, fields.stop)

    def _numbers(self, kind: int, lists: _Spans) -> Ragged:
        """Return the numbers of each list: packed ones by array, others list by list."""
        start, stop = self._packed(lists)
        try:
            if (start < 0).any():
                return self._numbers_in_turn(kind, lists, start, stop)
            return self._packed_numbers(kind, lists, start, stop)
        except WireError as exc:
            raise self._error(lists, exc.message, f"is no list of {_KINDS[kind]} ({exc})") from exc

    def _packed_numbers(self, kind: int, lists: _Spans, start: np.ndarray, stop: np.ndarray) -> Ragged:
        if kind == _FLOAT_LIST:
            wrong = (stop - start) % 4 != 0
            if wrong.any():
                raise WireError(int(wrong.argmax()), "its bytes are no whole number of floats")
            lengths = (stop - start) // 4
            if len(lengths) and (lengths == lengths[0]).all():
                values = numbers_at(self.data, start, "<f4", (int(lengths[0]),)).reshape(-1)
            else:
                values = bytes_at(self.data, start, stop).spanned.view("<f4").astype(np.float32, copy=False)
            return Ragged(values, np.append(0, np.cumsum(lengths)))
        packed = bytes_at(self.data, start, stop)
        return Ragged(*packed_integers(packed.values, packed.offsets))

    def _packed(self, lists: _Spans) -> tuple[np.ndarray, np.ndarray]:
        """Return where the bytes of packed lists lie: empty ones too; -1 for a list that is written in another way."""
        start, stop = lists.start.copy(), lists.stop
        full = np.flatnonzero(lists.start < lists.stop)
        at = lists.start[full]
        is_packed = self.data[at] == _PACKED
        try:
            length, begin = varints_at(self.data, at[is_packed] + 1, stop[full][is_packed], full[is_packed])
        except WireError as exc:
            raise self._error(lists, exc.message, f"is no list of numbers ({exc})") from exc
        whole = begin + length == stop[full][is_packed]
        start[full] = -1
        start[full[is_packed][whole]] = begin[whole]
        return start, stop

    def _numbers_in_turn(self, kind: int, lists: _Spans, start: np.ndarray, stop: np.ndarray) -> Ragged:
        rows = []
        for number, (begin, end) in enumerate(zip(lists.start.tolist(), lists.stop.tolist(), strict=True)):
            one = _Spans(np.zeros(1, np.int64), np.array([begin]), np.array([end]))
            if start[number] >= 0:
                rows.append(
                    self._packed_numbers(kind, one, start[number : number + 1], stop[number : number + 1]).values
                )
                continue
            try:
                rows.append(_unpacked(kind, self.data[begin:end]))
            except WireError as exc:
                raise WireError(number, exc.what) from exc
        return Ragged.from_rows(rows, dtype=np.float32 if kind == _FLOAT_LIST else np.int64)

    def _check_missing(self, present: np.ndarray) -> None:
        if self.missing == "empty" or len(present) == self.num_records:
            return
        lacking = int(np.flatnonzero(np.bincount(present, minlength=self.num_records) == 0)[0])
        hint = "missing='empty' takes it as empty, columns=[...] names the features to read"
        raise ExampleError(lacking, f"has no {self.name!r}", hint)

    def _error(self, spans: _Spans, message: Any, what: str) -> ExampleError:
        return ExampleError(int(spans.record[int(message)]), f"has a feature {self.name!r} that {what}")


def _unpacked(kind: int, message: np.ndarray) -> np.ndarray:
    """Return the numbers of a list that are fields, each of its own, or packed in several pieces."""
    if kind == _FLOAT_LIST and len(message) % 5 == 0 and (message[::5] == _FLOAT_TAG).all():
        return np.ascontiguousarray(message.reshape(-1, 5)[:, 1:]).view("<f4").reshape(-1)
    if kind == _INT64_LIST and message[0] == _VARINT_TAG and message[-1] < 0x80:
        numbers, _ = packed_integers(message, np.array([0, len(message)]))
        if len(numbers) % 2 == 0 and (numbers[::2] == _VARINT_TAG).all():
            return numbers[1::2]
    pieces = []
    fields = fields_of(message, np.zeros(1, np.int64), np.array([len(message)]))
    for field, how, start, stop in zip(*(column.tolist() for column in fields[1:]), strict=True):
        piece = message[start:stop]
        if field != 1 or how not in (BYTES, FIXED32 if kind == _FLOAT_LIST else VARINT):
            raise WireError(0, "it holds something else")
        if kind == _INT64_LIST:
            pieces.append(packed_integers(piece, np.array([0, len(piece)]))[0])
        elif len(piece) % 4:
            raise WireError(0, "its bytes are no whole number of floats")
        else:
            pieces.append(np.ascontiguousarray(piece).view("<f4"))
    return np.concatenate(pieces) if pieces else np.empty(0, np.int64)


def _nested(values: list[Any], counts: np.ndarray) -> list[Any]:
    """Return values as rows of so many each."""
    bounds = np.append(0, np.cumsum(counts)).tolist()
    return [values[start:stop] for start, stop in pairwise(bounds)]
