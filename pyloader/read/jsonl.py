"""JSON lines -> columns."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import closing, contextmanager
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from pyloader.columns import Column, Columns, columns_bytes
from pyloader.errors import ChunkReadError
from pyloader.files import Room, chunk_room, count_newlines, first_line, line_blocks, sniffed, text_of
from pyloader.part import InOrder, Part, hint_in_part
from pyloader.read.json_problems import NOT_FINITE, json_problem
from pyloader.read.line_parts import line_parts
from pyloader.read.numbers import NumberError, as_array, as_column
from pyloader.read.options import ColumnReader
from pyloader.read.ragged import ragged_of_lists, with_ragged_lists

__all__ = ["JsonLineDataReader", "JsonlReader"]

_SAMPLE_ROWS = 16  # of a block, whose memory is measured
_NUMBER_BYTES = 8


class JsonlReader(ColumnReader):
    """Chunk files with one JSON object per line, all with the same keys; .gz, .zst, .xz and .bz2 too.

    A column of numbers is an array: of int64 (all int), float64 (float, or int and float) or bool.  Any other is a
    list, null being None.  Lines of nothing but white space are left out.

    Args:
      columns: The keys to read; others are passed over, faster than they could be read.  None: those of the first line,
        and a line with other keys is an error.
      fill: What stands where a line has no such key, or null: {"score": float("nan")}.  It may add keys to those of
        the first line.
      dtypes: The dtypes of number columns, {"score": "float32"}; object for a column that is to stay a list, whatever
        it holds.  A column of lists of numbers, all of the same length, becomes an array too when it is named here.  A
        number that the dtype cannot hold is an error; null is NaN where the dtype is of floats, as JSON has no NaN.
      ragged: The columns of lists of numbers that become `Ragged`, of the dtype that `dtypes` names; without one, of
        int64 or float64, as the chunk has it.  True for all whose first list that is not empty holds a number.

    A file without lines gives ({}, 0), unless both `columns` and `dtypes` say what it would have had.
    """

    is_thread_safe = True
    finds_by_ranges = finds_side_by_side = True

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read one JSON object per line.

        Returns:
          The columns, and how many lines there were.

        Raises:
          ChunkReadError: a line is not a JSON object, or has other keys; a number does not fit its column; the file is
            cut, damaged or not UTF-8.
        """
        return self._whole(path, None)

    def find_parts(
        self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None, in_order: InOrder = map
    ) -> list[Part] | None:
        """Find spans of lines: in a plain file, or one of several frames of Zstandard.

        Raises:
          ChunkReadError: the file is cut or damaged, or is no JSON.
        """
        sizes: dict[str, Any] = {"chunk_bytes": chunk_bytes, "chunk_samples": chunk_samples}
        return line_parts(path, "jsonl", **sizes, blank=b" \t\n\r\x0b\x0c", in_order=in_order)

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read some lines.

        Raises:
          ChunkReadError: as `read_file`, or the part is not one of lines.
        """
        return self._whole(path, part)

    def _whole(self, path: str, part: Part | None) -> tuple[Columns, int]:
        with self._lines(path, part) as (blocks, room):
            return self._read(path, blocks, room, part)

    @contextmanager
    def _lines(self, path: str, part: Part | None) -> Iterator[tuple[Iterator[bytes], Room]]:
        """Give the lines of a file, or of a part of it, in blocks, and the room for them."""
        room = chunk_room(path, part)
        with closing(line_blocks(path, room=room, part=part)) as blocks:
            yield sniffed(blocks, path, "jsonl") if first_line(path, part) == 1 else blocks, room

    def read_damaged_file(self, path: str) -> tuple[Columns, int, dict[int, str]]:
        """Read one JSON object per line, less the lines that are none or have other keys than the first that is one.

        Raises:
          ChunkReadError: no line can be read; a number does not fit its column; the file is cut or damaged.
        """
        return self._damaged(path, None)

    def read_damaged_part(self, path: str, part: Part) -> tuple[Columns, int, dict[int, str]]:
        """Read some lines, less the bad ones, as `read_damaged_file` does."""
        return self._damaged(path, part)

    def _damaged(self, path: str, part: Part | None) -> tuple[Columns, int, dict[int, str]]:
        bad_rows: dict[int, str] = {}
        with self._lines(path, part) as (blocks, room):
            mended = self._mended(path, blocks, bad_rows, first_line(path, part))
            columns, num_samples = self._read(path, mended, room, part)
        return columns, num_samples, bad_rows

    def _mended(self, path: str, blocks: Iterable[bytes], bad_rows: dict[int, str], line: int) -> Iterator[bytes]:
        """Yield the lines that are not blank, the last good one again for each that is bad, which `bad_rows` gets."""
        rows_of: _RowDecoder | None = None
        good, row, error = b"", 0, None
        for block in blocks:
            mended = []
            for number, text in _lines(block, line):
                try:
                    if rows_of is None:
                        rows_of = _RowDecoder(path, number, text, columns=self.columns, fill=self.fill)
                        mended += [text] * row  # in place of the bad lines before it
                    rows_of(text, number, 1)
                    good = text
                except ChunkReadError as exc:
                    bad_rows[row] = str(exc)
                    error = error or exc
                if rows_of is not None:
                    mended.append(good)
                row += 1
            line += block.count(b"\n")
            yield b"".join(text + b"\n" for text in mended)
        if rows_of is None and error is not None:
            raise error

    def _read(self, path: str, blocks: Iterable[bytes], room: Room, part: Part | None) -> tuple[Columns, int]:
        rows_of: _RowDecoder | None = None
        lists: dict[str, list[Any]] = {}
        line = first_line(path, part)
        for block in blocks:
            num_lines = count_newlines(block) + (not block.endswith(b"\n"))
            if rows_of is None and (first := next(_lines(block, line), None)) is not None:
                rows_of = _RowDecoder(path, *first, columns=self.columns, fill=self.fill)
                lists = {key: [] for key in rows_of.keys}
            if rows_of is not None:
                rows = rows_of(block, line, num_lines)
                for values, value_of in zip(lists.values(), rows_of.getters, strict=True):
                    new = list(map(value_of, rows))
                    _take(room, new)
                    values += new
            line += num_lines
        if rows_of is None:
            return self._no_rows(), 0
        if unknown := self.unknown_name(lists):
            raise ChunkReadError(path, f"has keys {sorted(lists)}, and {unknown}.")
        num_samples = len(next(iter(lists.values())))
        return {key: self._column(path, key, lists.pop(key), part) for key in rows_of.keys}, num_samples

    def _column(self, path: str, key: str, values: list[Any], part: Part | None) -> Column:
        if key in self.fill and None in values:
            values = [self.fill[key] if value is None else value for value in values]
        dtype = self.dtypes.get(key)
        try:
            if self.is_named_ragged(key):
                return ragged_of_lists(values, dtype)
            if key in self.list_columns:
                return values
            if self.ragged is True and not isinstance(column := with_ragged_lists(values, dtype), list):
                return column
            if dtype is not None and dtype.kind == "f" and None in values:
                values = [math.nan if value is None else value for value in values]
            return as_column(values) if dtype is None else as_array(values, dtype)
        except NumberError as exc:
            line = _line_of_row(path, exc.row, part)
            raise ChunkReadError(path, f"{key!r} {exc.what}", hint_in_part(exc.hint, part), line=line) from exc

    def _no_rows(self) -> Columns:
        if not self._all_known:
            return {}
        return {key: self._column("", key, [], None) for key in self.columns or ()}


class _RowDecoder:
    """Decodes blocks of lines that all have the same keys.

    A type made for these keys has msgspec check them, and pass over the others, in C: half as much time again as dicts
    take, and no dict per line.

    Attributes:
      keys: The columns.
      getters: For each, what takes its value from a row.
    """

    def __init__(
        self, path: str, line: int, text: bytes, *, columns: tuple[str, ...] | None, fill: Mapping[str, Any]
    ) -> None:
        self._path, self._first_line, self._projected, self._fill = path, line, columns is not None, fill
        self._first_keys = tuple(_object(path, line, text))
        self.keys = tuple(dict.fromkeys([*self._first_keys, *fill])) if columns is None else columns
        if not self.keys:
            raise ChunkReadError(path, "the object has no keys.", line=line)
        self.getters: list[Callable[[Any], Any]]
        self._decoder: Any
        if any(re.search(r'[\\"\x00-\x1f]', key) for key in self.keys):  # msgspec has no types with such names
            self._decoder = None
            self.getters = [itemgetter(key) for key in self.keys]
        else:
            self._decoder = msgspec.json.Decoder(self._row_type())
            self.getters = [attrgetter(f"c{index}") for index in range(len(self.keys))]

    def __call__(self, block: bytes, line: int, num_lines: int) -> list[Any]:
        """Return the rows of a block of `num_lines` lines, the first one being `line`."""
        if self._decoder is not None:
            try:
                rows: list[Any] = self._decoder.decode_lines(block)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # to name the line
            else:
                if len(rows) == num_lines:  # or two objects share a line, or some lines are blank
                    return rows
        return [self._row(number, text) for number, text in _lines(block, line)]

    def _row(self, line: int, text: bytes) -> Any:
        sample = _object(self._path, line, text)
        self._check_keys(line, sample.keys())
        if self._decoder is not None:
            return self._decoder.decode(text)
        return {key: sample.get(key) for key in self.keys}

    def _row_type(self) -> type[msgspec.Struct]:
        fields: list[Any] = [
            (f"c{index}", Any, None) if key in self._fill else (f"c{index}", Any) for index, key in enumerate(self.keys)
        ]
        return msgspec.defstruct(
            "Row",
            fields,
            rename={f"c{index}": key for index, key in enumerate(self.keys)},
            forbid_unknown_fields=not self._projected,
            kw_only=True,
            gc=False,  # rows are dropped block by block, and hold no cycles
        )

    def _check_keys(self, line: int, found: Set[str]) -> None:
        missing = [key for key in self.keys if key not in found and key not in self._fill]
        if self._projected:
            if missing:
                hint = f"Pass fill={{{missing[0]!r}: ...}} to say what stands for it"
                raise ChunkReadError(self._path, f"has keys {list(found)}, and no {missing[0]!r}.", hint, line=line)
        elif missing or found - set(self.keys):
            shared = [key for key in self._first_keys if key in found]
            hint = f"Pass columns={shared!r} to read only the shared ones"
            if not shared:
                hint = "Split the two kinds of lines into files of their own"
            elif missing:
                hint += f", or fill={{{missing[0]!r}: ...}} to say what stands for it"
            what = f"has keys {list(found)}, but line {self._first_line:,} has {list(self._first_keys)}."
            raise ChunkReadError(self._path, what, hint, line=line)


def _take(room: Room, values: list[Any]) -> None:
    """Count a block's values of one column: numbers will be an array."""
    if math.isinf(room.limit) or not values:
        return
    num_bytes = columns_bytes({"": values}, sample_rows=_SAMPLE_ROWS)
    is_number = isinstance(values[0], int | float)
    room.take(num_bytes, kept=_NUMBER_BYTES * len(values) if is_number else num_bytes)


def _lines(block: bytes, line: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, each with its number."""
    for number, text in enumerate(io.BytesIO(block), start=line):  # one by one: often only the first is wanted
        if text.strip():
            yield number, text.removesuffix(b"\n")


def _line_of_row(path: str, row: int, part: Part | None) -> int:
    line = first_line(path, part)
    for block in line_blocks(path, part=part):
        for number, _ in _lines(block, line):
            if row == 0:
                return number
            row -= 1
        line += block.count(b"\n")
    return line


def _object(path: str, line: int, text: bytes) -> dict[str, Any]:
    """Decode one line, or say what is wrong with it."""
    try:
        found = msgspec.json.decode(text)
    except RecursionError as exc:
        hint = "Flatten it, or leave the line out: max_skipped=1"
        raise ChunkReadError(path, "is nested too deep.", hint, line=line) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:  # msgspec's answer to broken UTF-8 depends on its version
        text_of(text, path, line)  # names the byte that is not UTF-8
        what, hint = json_problem(text, exc)
        hint += ", and pass fill={...}" if hint == NOT_FINITE else ""
        raise ChunkReadError(path, what, hint, line=line) from exc
    if not isinstance(found, dict):
        raise ChunkReadError(path, f"is not a JSON object but a {type(found).__name__}.", line=line)
    return found


JsonLineDataReader = JsonlReader
