"""The dialect of delimited text, and its rows in it: a quote that takes in whole rows is an error, not a field."""

from __future__ import annotations

import csv
import importlib.util
import io
import itertools
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pyloader.errors import ChunkReadError, FileError
from pyloader.files import conversion

__all__ = ["MAX_ROW_LINES", "NO_QUOTES", "Dialect", "rows_of"]

NO_QUOTES = "none"  # how it is said that quotes mean nothing

MAX_ROW_LINES = 10_000
_LONGEST_FIELD = 2**30

_QUOTES_OFF = 'If quotes mean nothing here, say so: --quote none (DelimitedReader(quote="none"))'
_QUOTES_ON = "; if the field is meant as it is: --quote '\"' (quote='\"')"
_MAC_LINES = "perl -pe 's/\\r\\n?/\\n/g'"


def _own_csv() -> Any:
    """Return a csv module of our own: how long a field may be holds for all that use a module, the user's program too.

    It refuses fields of more than 128 KiB unless told, and a document in a field is often longer.
    """
    spec = importlib.util.find_spec("_csv")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.field_size_limit(_LONGEST_FIELD)
    return module


_csv = _own_csv()


@dataclass(frozen=True, slots=True)
class Dialect:
    """How fields are told apart."""

    delimiter: str  # what stands between fields, one character
    # what may stand around a field, one character; NO_QUOTES where quotes mean nothing; None is '"', unless that takes
    # in what looks like rows
    quote: str | None = None
    # whether the delimiter was not given, so that a header of one name with another one in it is an error
    is_guessed: bool = False

    def __post_init__(self) -> None:
        for name, value in (("delimiter", self.delimiter), ("quote", self.quote)):
            if value is not None and (len(value) != 1 or value in "\r\n") and (name, value) != ("quote", NO_QUOTES):
                also = f', or "{NO_QUOTES}"' if name == "quote" else ""
                raise ValueError(f"{name} must be one character{also}, got {value!r}")
        if self.delimiter == self.character:
            raise ValueError(f"delimiter and quote are both {self.delimiter!r}")

    @classmethod
    def of_file(cls, suffix: str, *, delimiter: str | None, quote: str | None) -> Dialect:
        """Return the dialect of a file with this suffix, and with what the user said of it."""
        guess = "\t" if suffix == ".tsv" else ","
        return cls(guess if delimiter is None else delimiter, quote, is_guessed=delimiter is None)

    @property
    def character(self) -> str:
        """The quote; "" where quotes mean nothing."""
        return "" if self.quote == NO_QUOTES else self.quote or '"'

    def header_problem(self, names: list[str]) -> tuple[str, str] | None:
        """Return what is wrong with a header, and what helps, when it is one name that holds another delimiter."""
        if len(names) != 1 or not self.is_guessed:
            return None
        other = next((mark for mark in ";\t|," if mark in names[0] and mark != self.delimiter), None)
        if other is None:
            return None
        shown = {"\t": "a tab", ",": "a comma"}.get(other, f"{other!r}")
        option, own = ("tab" if mark == "\t" else f"'{mark}'" for mark in (other, self.delimiter))
        what = f"has a header of one name with {shown} in it, {names[0]!r}."
        return what, f"Say what stands between fields: --delimiter {option}, or --delimiter {own} if it is one column"


def rows_of(
    path: str,
    texts: Iterable[str],
    dialect: Dialect,
    *,
    error: Callable[[str, str, str, int], FileError] = ChunkReadError,
) -> Iterator[tuple[list[int], list[list[str]]]]:
    """Return the rows that are not blank, some at a time, with the line that each begins in; first the first one alone.

    Args:
      path: Named in errors.
      texts: All of a file, in stretches of whole lines; about one has the rows that come at a time.
      dialect: How it is read.
      error: Makes what is raised, of the file, what is wrong, what helps, and the line.

    Raises:
      FileError: a quote is not closed, or closes within a field; unless the dialect's quote was given, also: it takes
        in lines that look like rows, or more than 10,000 lines.  It names the line where the quote opens.
    """
    return _Rows(path, dialect, error).of(texts)


class _RowIsOpenError(Exception):
    """A row has more lines than it may have, and goes on."""


class _Rows:
    """The rows, and where the one that is being read began."""

    def __init__(self, path: str, dialect: Dialect, error: Callable[[str, str, str, int], FileError]) -> None:
        self._path, self._dialect, self._error = path, dialect, error
        self._max_lines = MAX_ROW_LINES if dialect.quote is None else sys.maxsize
        self._num_delimiters = 0  # in the first row
        self._end = 0  # the last line of the rows so far
        self._is_new_text = False  # then the next row is the last one of those handed out at a time
        self._held: deque[tuple[int, str]] = deque()  # texts that reach beyond it, each with the line after it

    def of(self, texts: Iterable[str]) -> Iterator[tuple[list[int], list[list[str]]]]:
        options = {"quotechar": self._dialect.character} if self._dialect.character else {"quoting": csv.QUOTE_NONE}
        lines = itertools.chain.from_iterable(self._stretches(texts))
        reader = _csv.reader(lines, delimiter=self._dialect.delimiter, strict=True, **options)
        begins: list[int] = []
        rows: list[list[str]] = []
        begin, most_lines = 1, sys.maxsize
        try:
            for row in reader:
                end = self._end = reader.line_num
                if end - begin >= most_lines:
                    self._check_lines(row, begin)
                if row:
                    begins.append(begin)
                    rows.append(row)
                    if self._is_new_text:
                        if most_lines == sys.maxsize and self._dialect.quote is None:
                            self._num_delimiters = len(row) - 1
                            most_lines = min(self._max_lines, _num_alike(self._num_delimiters) + 1)
                        self._is_new_text = False
                        yield begins, rows
                        begins, rows = [], []
                begin = end + 1
            yield begins, rows
        except _RowIsOpenError as exc:
            raise self._too_long(self._line_of_open_quote()) from exc
        except _csv.Error as exc:
            raise self._malformed(str(exc), reader.line_num) from exc

    def _stretches(self, texts: Iterable[str]) -> Iterator[Iterable[str]]:
        """Yield the lines of each text; when the next one is asked for, the row after `_end` is not complete."""
        after = 1
        for text in texts:
            while self._held and self._held[0][0] <= self._end + 1:
                self._held.popleft()
            if after - 1 - self._end > self._max_lines:
                raise _RowIsOpenError
            is_plain = after == self._end + 1 and (not self._dialect.character or self._dialect.character not in text)
            # Without quotes, the ends of lines are of no use in them; what is split need not be counted as well.
            lines = text.split("\n") if is_plain else None
            after, self._is_new_text = after + (text.count("\n") if lines is None else len(lines) - 1), True
            self._held.append((after, text))
            if lines is not None and not lines[-1]:
                lines.pop()
            yield io.StringIO(text, newline="\n") if lines is None else lines

    def _check_lines(self, row: list[str], line: int) -> None:
        """Refuse a field with lines that look like rows, or with too many."""
        num_alike = _num_alike(self._num_delimiters)
        for field in row:
            lines = field.split("\n")
            if len(lines) > self._max_lines:
                raise self._too_long(line)
            counts = list(map(str.count, lines[1:-1], itertools.repeat(self._dialect.delimiter)))
            if counts.count(self._num_delimiters) >= num_alike:
                for number, group in itertools.groupby(counts):
                    if number == self._num_delimiters and len(list(group)) >= num_alike:
                        what = "opens a quote that takes in whole lines with as many delimiters as the first row has."
                        raise self._error(self._path, what, _QUOTES_OFF + _QUOTES_ON, line)
            line += len(lines) - 1

    def _too_long(self, line: int) -> FileError:
        what = f"opens a quote that is not closed within {self._max_lines:,} lines."
        return self._error(self._path, what, _QUOTES_OFF + _QUOTES_ON, line)

    def _malformed(self, what: str, line: int) -> FileError:
        if what.startswith("new-line character"):
            hint = "Put fields that hold one in quotes"
            if self._held and self._held[-1][0] <= 2:  # it is all one line
                hint = f"Lines end with \\n: {conversion(self._path, _MAC_LINES)}"
            return self._error(self._path, "has a \\r that no \\n follows, outside of quotes.", hint, line)
        opened = self._line_of_open_quote()
        hint = f"A quote is not closed: is the file whole? {_QUOTES_OFF}"
        if "expected after" in what:
            hint = f"A quote inside of a field is written twice. {_QUOTES_OFF}"
            if after := line - opened:
                what += f" {after:,} line{'s' * (after > 1)} further on, where the quote ends that opens here"
        return self._error(self._path, f"is not well-formed ({what}).", hint, opened)

    def _line_of_open_quote(self) -> int:
        """Return where the last quote opens of the row after `_end`, which is not closed, or within a field."""
        quote, line = self._dialect.character, self._end + 1
        text = "".join(text for _, text in self._held)
        place = 0
        for _ in range(line - (self._held[-1][0] - text.count("\n"))):
            place = text.index("\n", place) + 1
        field_end = re.compile(f"[{re.escape(self._dialect.delimiter)}\n]")
        while quote:
            opened = line
            if text.startswith(quote, place):
                closed = text.find(quote, place + 1)
                while closed >= 0 and text.startswith(quote, closed + 1):
                    closed = text.find(quote, closed + 2)
                if closed < 0 or text[closed + 1 : closed + 2] not in ("\n", "\r", self._dialect.delimiter):
                    return opened
                line += text.count("\n", place, closed)
                place = closed + 1
            if not (end := field_end.search(text, place)) or end[0] == "\n":
                break
            place = end.end()
        return line


def _num_alike(num_delimiters: int) -> int:
    """Return how many lines in a row inside of a field, with as many delimiters as rows have, are taken for rows.

    A line of prose has one comma often, and several lines in a row with two commas each are seldom prose.
    """
    return {0: MAX_ROW_LINES, 1: 20}.get(num_delimiters, 3)
