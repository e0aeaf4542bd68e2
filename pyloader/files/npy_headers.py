"""Headers of .npy files, by a parser of our own.

NumPy has Python parse a header, by `ast.literal_eval`.  That raises almost anything for a damaged one, and up to
CPython 3.11.7 also for a good one, when another thread compiles something at the same time (gh-106905).
"""

from __future__ import annotations

import codecs
import math
import re
from typing import IO, Any

import numpy as np

__all__ = ["NpyHeaderError", "read_npy_header", "rows_without_bytes"]

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
_LONGEST = 2**20
_DEEPEST = 16  # lists and tuples in each other: fields of fields
_MOST_AXES = 32  # what every NumPy takes
_KEYS = {"descr", "fortran_order", "shape"}

# As numpy.save writes it for plain numbers.
_USUAL = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z]\d*(?:\[\w+\])?)', 'fortran_order': (False|True), "
    r"'shape': \(((?:\d{1,19}, ?)*(?:\d{1,19})?)\), ?\} *\n?"
)
_ESCAPE = r"""\\(?:[\\'"abfnrtv]|[0-3]?[0-7]{1,2}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"""
_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?\d+)L?\b|(?P<word>True|False|None)\b|(?P<mark>[{}()\[\],:])|"
    rf"""[ub]?(?P<text>'(?:[^'\\\n]|{_ESCAPE})*'|"(?:[^"\\\n]|{_ESCAPE})*"))"""
)
_DTYPE = re.compile(r"[<>|=]?[a-zA-Z]\w*(\[[\w/]+\])?")


class NpyHeaderError(ValueError):
    """These bytes are no header of a .npy; the message says why."""


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read a .npy from its start up to its numbers.

    Returns:
      The shape, whether the first axis varies fastest (Fortran order), and the dtype, which may be of Python objects.

    Raises:
      NpyHeaderError: it is no header, or is one of an array that no memory could hold.
    """
    start = _read(file, len(_MAGIC) + 2)
    if not start.startswith(_MAGIC):
        raise NpyHeaderError(f"it begins with {start[: len(_MAGIC)]!r}, not with {_MAGIC!r}")
    version = start[-2], start[-1]
    if version not in _LENGTH_BYTES:
        raise NpyHeaderError(f"format version {version[0]}.{version[1]}")
    length = int.from_bytes(_read(file, _LENGTH_BYTES[version]), "little")
    if length > _LONGEST:
        raise NpyHeaderError(f"it is said to be {length:,} bytes long")
    try:
        text = _read(file, length).decode("utf-8" if version == (3, 0) else "latin-1")
    except UnicodeDecodeError as exc:
        raise NpyHeaderError(f"it is no text ({exc.reason})") from exc
    shape, by_columns, dtype = _usual(text) or _unusual(text)
    _check(shape, dtype)
    return shape, by_columns, dtype


def rows_without_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Return what is wrong with rows of no bytes, in words; "" when there are none.

    A file of 78 bytes can have 10^9 of them, and their order takes 8 bytes each.
    """
    if not shape[0] or math.prod(shape) * dtype.itemsize:
        return ""
    return f"has {shape[0]:,} rows of no bytes: {dtype} of shape {list(shape[1:])}."


def _read(file: IO[bytes], num_bytes: int) -> bytes:
    parts, missing = [], num_bytes
    while missing and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    if missing:
        raise NpyHeaderError("the file ends in it")
    return b"".join(parts)


def _usual(text: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]] | None:
    found = _USUAL.fullmatch(text)
    if found is None:
        return None
    descr, by_columns, shape = found.groups()
    if "," not in shape and shape:  # "(3)" is a number in parentheses
        return None
    return tuple(map(int, re.findall(r"\d+", shape))), by_columns == "True", _dtype(descr)


def _unusual(text: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    header = _Literal(text).whole()
    if not isinstance(header, dict) or header.keys() != _KEYS:
        raise NpyHeaderError(f"it has to be a dict of {', '.join(sorted(_KEYS))}")
    shape, by_columns = header["shape"], header["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise NpyHeaderError(f"the shape is {_shortened(shape)}")
    if not isinstance(by_columns, bool):
        raise NpyHeaderError(f"fortran_order is {_shortened(by_columns)}")
    return shape, by_columns, _dtype(header["descr"])


def _dtype(descr: Any) -> np.dtype[Any]:
    _check_dtype_names(descr)
    try:
        return np.lib.format.descr_to_dtype(descr)
    except (ArithmeticError, LookupError, TypeError, ValueError) as exc:
        raise NpyHeaderError(f"the dtype is {_shortened(descr)}") from exc


def _check_dtype_names(descr: Any) -> None:
    """Raise unless each dtype in it is a single one: of "i4,f4" NumPy has Python parse the parts."""
    if isinstance(descr, str):
        if not _DTYPE.fullmatch(descr):
            raise NpyHeaderError(f"the dtype is {_shortened(descr)}")
    elif isinstance(descr, tuple) and len(descr) == 2:  # and the shape that it has in each row
        _check_dtype_names(descr[0])
    elif isinstance(descr, list) and all(isinstance(field, tuple) and len(field) in (2, 3) for field in descr):
        for field in descr:
            _check_dtype_names(field[1])
    else:
        raise NpyHeaderError(f"the dtype is {_shortened(descr)}")


def _check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.subdtype is not None:
        raise NpyHeaderError(f"the dtype is {dtype}, an array itself")
    if len(shape) > _MOST_AXES:
        raise NpyHeaderError(f"the array has {len(shape)} axes")
    if 0 in shape and math.prod(size or 1 for size in shape) * (dtype.itemsize or 1) >= 2**63:
        raise NpyHeaderError(f"the shape is {_shortened(shape)}")  # NumPy makes no such array, though it is empty


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(inside: str) -> str:
    """Return what stands between quotes, its escapes resolved."""
    if "\\" not in inside:
        return inside
    try:
        return codecs.decode(inside.encode("latin-1", "backslashreplace"), "unicode_escape")
    except UnicodeDecodeError as exc:
        raise NpyHeaderError(f"it has the text {_shortened(inside)}") from exc


class _Literal:
    """A dict, list, tuple, text, number or truth value, as Python writes it."""

    def __init__(self, text: str) -> None:
        self._text, self._place = text, 0
        self._next()

    def whole(self) -> Any:
        """Return what all of the text says."""
        value = self._value(0)
        if self._kind:
            raise self._wrong()
        return value

    def _next(self) -> None:
        found = _TOKEN.match(self._text, self._place)
        if found is None:
            if self._text[self._place :].strip():
                raise self._wrong()
            self._kind, self._token = "", ""
            return
        self._kind = str(found.lastgroup)
        self._token, self._place = found[self._kind], found.end()

    def _value(self, depth: int) -> Any:
        kind, token = self._kind, self._token
        if not kind or depth > _DEEPEST:
            raise self._wrong()
        self._next()
        if kind == "number":
            if len(token) > 20:
                raise self._wrong()
            return int(token)
        if kind == "word":
            return {"True": True, "False": False}.get(token)
        if kind == "text":
            return _text(token[1:-1])
        if token == "{":
            pairs = self._items("}", depth, self._pair)[0]
            return dict(pairs)
        if token == "[":
            return self._items("]", depth, self._value)[0]
        if token == "(":
            values, has_comma = self._items(")", depth, self._value)
            return tuple(values) if has_comma or not values else values[0]
        raise self._wrong()

    def _items(self, end: str, depth: int, item: Any) -> tuple[list[Any], bool]:
        values: list[Any] = []
        has_comma = False
        while self._token != end or self._kind != "mark":
            values.append(item(depth + 1))
            if has_comma_now := (self._kind, self._token) == ("mark", ","):
                self._next()
            has_comma |= has_comma_now
            if not has_comma_now and (self._kind, self._token) != ("mark", end):
                raise self._wrong()
        self._next()
        return values, has_comma

    def _pair(self, depth: int) -> tuple[Any, Any]:
        if self._kind != "text":
            raise self._wrong()
        key = self._value(depth)
        if (self._kind, self._token) != ("mark", ":"):
            raise self._wrong()
        self._next()
        return key, self._value(depth)

    def _wrong(self) -> NpyHeaderError:
        return NpyHeaderError(f"what it says ends at place {self._place:,}, {_shortened(self._text)}")
