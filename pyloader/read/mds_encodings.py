"""The encodings of MDS shards: the bytes of a column's values -> the column."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal, DecimalException
from typing import Any

import numpy as np

from pyloader.columns import Column
from pyloader.ragged import Ragged
from pyloader.read.offset_tables import SampleError
from pyloader.read.spans import bytes_at, numbers_at, ragged_numbers, words_at

__all__ = ["column_of", "fixed_bytes"]

_DTYPES = {
    8: "u1", 9: "i1", 16: "<u2", 17: "<i2", 18: "<f2", 32: "<u4", 33: "<i4", 34: "<f4", 64: "<u8", 65: "<i8", 66: "<f8",
}  # fmt: skip  # of arrays, by the byte that says so
_SCALARS = {np.dtype(dtype).name: dtype for dtype in _DTYPES.values()}
_AS_THEY_ARE = {"bytes", "jpeg", "png", "pil", "pkl"}
_LISTS = {"list[jpeg]": 4, "list[png]": 4, "list[pil]": 4, "jpeg_array": 0, "jpegarray": 0}  # bytes before the count
_WORD = 4


def fixed_bytes(encoding: str) -> int | None:
    """Return how many bytes each value has; None where they differ, or the encoding is not known."""
    if encoding == "int":
        return 8
    if encoding in _SCALARS:
        return np.dtype(_SCALARS[encoding]).itemsize
    if encoding == "ndarray" or encoding.startswith("ndarray:"):
        try:
            dtype, shape = _array_form(encoding)
        except SampleError:
            return None
        return None if dtype is None or shape is None else np.dtype(dtype).itemsize * math.prod(shape)
    return None


def column_of(data: np.ndarray, starts: np.ndarray, stops: np.ndarray, encoding: str, name: str) -> Column:
    """Return the column of values that lie at these places, in an encoding.

    Raises:
      SampleError: the encoding is not known, or a value is not of it.
    """
    try:
        if encoding in _AS_THEY_ARE:
            return bytes_at(data, starts, stops)
        if encoding == "int" or encoding in _SCALARS:
            return numbers_at(data, starts, _SCALARS.get(encoding, "<i8"))
        if encoding in _TEXTS:
            return _texts(data, starts, stops, encoding, name)
        if encoding in _LISTS:
            return [
                _items(data, start, stop, encoding, name, row)
                for row, (start, stop) in enumerate(_pairs(starts, stops))
            ]
        if encoding == "ndarray" or encoding.startswith("ndarray:"):
            return _arrays(data, starts, stops, encoding, name)
    except SampleError:
        raise
    except ValueError as exc:
        raise SampleError(None, f"is damaged: {name!r} is not of the encoding {encoding} ({exc})") from exc
    what = f"{name!r} has the encoding {encoding[:60]!r}, which is not known"
    raise SampleError(None, what, "Name the other columns: MDSReader(columns=[...])")


def _texts(data: np.ndarray, starts: np.ndarray, stops: np.ndarray, encoding: str, name: str) -> Column:
    decode, raw, values = _TEXTS[encoding], data.data, []
    try:
        for start, stop in _pairs(starts, stops):
            values.append(decode(str(raw[start:stop], "utf-8")))
    except (ValueError, RecursionError, DecimalException) as exc:
        raise SampleError(len(values), f"has {name!r} that is no {encoding} ({exc})") from exc
    return np.array(values, np.float64) if encoding == "str_float" else values


def _items(data: np.ndarray, start: int, stop: int, encoding: str, name: str, row: int) -> list[bytes]:
    """Return the bytes of each image in a list of them."""
    try:
        at = start + _LISTS[encoding]
        (count,) = words_at(data, at, 1, "<u4").tolist()
        lengths = words_at(data[:stop], at + _WORD, count, "<u4")
    except ValueError as exc:
        raise SampleError(row, f"has {name!r} that is no {encoding} ({exc})") from exc
    bounds = at + _WORD * (1 + count) + np.append(0, np.cumsum(lengths))
    if bounds[-1] != stop:
        raise SampleError(row, f"has {name!r} that is no {encoding} (its items do not fill it)")
    return [data[begin:end].tobytes() for begin, end in _pairs(bounds[:-1], bounds[1:])]


def _arrays(data: np.ndarray, starts: np.ndarray, stops: np.ndarray, encoding: str, name: str) -> Column:
    dtype, shape = _array_form(encoding)
    if dtype is not None and shape is not None:
        return numbers_at(data, starts, dtype, shape)
    # A byte for the dtype, where it is not said; one for how many axes, and how wide their lengths are; then these.
    num_bytes = (dtype is None) + (shape is None)
    heads = numbers_at(data, starts, "u1", (num_bytes,))
    forms = heads[:, -1]
    if dtype is None and (heads[:, 0] == heads[0, 0]).all():
        dtype = _DTYPES.get(int(heads[0, 0]))
        if dtype is None:
            raise SampleError(0, f"has {name!r} of a dtype that is not known, {int(heads[0, 0])}")
    if dtype is not None:
        begin = starts + num_bytes
        if shape is not None:
            _check_filled(begin, stops, np.dtype(dtype).itemsize * math.prod(shape), name)
            return numbers_at(data, begin, dtype, shape)
        if (forms >> 2 == 1).all():
            return _vectors(data, begin, stops, forms, dtype, name)
        if (forms == forms[0]).all():
            num_axes, word = int(forms[0]) >> 2, _word_of(int(forms[0]))
            lengths = numbers_at(data, begin, word, (num_axes,))
            if (lengths == lengths[0]).all():  # a list all the same: in the next shard they may differ
                begin = begin + num_axes * word.itemsize
                shape = tuple(lengths[0].tolist())
                _check_filled(begin, stops, np.dtype(dtype).itemsize * math.prod(shape), name)
                return list(numbers_at(data, begin, dtype, shape))
    return [_array(data, start, stop, encoding, name, row) for row, (start, stop) in enumerate(_pairs(starts, stops))]


def _vectors(
    data: np.ndarray, begin: np.ndarray, stops: np.ndarray, forms: np.ndarray, dtype: str, name: str
) -> Ragged:
    """Return arrays of one axis, whose length comes first: short ones have it in fewer bytes than long ones."""
    lengths, firsts = np.empty(len(begin), np.uint64), np.empty_like(begin)
    for form in np.unique(forms).tolist():
        mine, word = np.flatnonzero(forms == form), _word_of(form)
        lengths[mine] = numbers_at(data, begin[mine], word)
        firsts[mine] = begin[mine] + word.itemsize
    wrong = (lengths > len(data)) | (lengths * np.uint64(np.dtype(dtype).itemsize) != stops - firsts)
    if wrong.any():
        raise SampleError(int(wrong.argmax()), f"has {name!r} whose numbers do not fill its shape")
    return ragged_numbers(bytes_at(data, firsts, stops), dtype)


def _word_of(form: int) -> np.dtype[Any]:
    """Return the dtype of the lengths of axes, by the byte that says also how many there are."""
    return np.dtype(f"<u{1 << (form & 3)}")


def _check_filled(begin: np.ndarray, stops: np.ndarray, num_bytes: int, name: str) -> None:
    if (wrong := stops - begin != num_bytes).any():
        raise SampleError(int(wrong.argmax()), f"has {name!r} whose numbers do not fill its shape")


def _array(data: np.ndarray, start: int, stop: int, encoding: str, name: str, row: int) -> np.ndarray:
    """Return one array: where they differ in dtype or shape."""
    dtype, shape = _array_form(encoding)
    if dtype is None:
        dtype = _DTYPES.get(int(data[start]))
        start += 1
    if dtype is None:
        raise SampleError(row, f"has {name!r} of a dtype that is not known")
    if shape is None:
        num_axes, word = int(data[start]) >> 2, _word_of(int(data[start]))
        shape = tuple(words_at(data, start + 1, num_axes, word).tolist())
        start += 1 + num_axes * word.itemsize
    if stop - start != np.dtype(dtype).itemsize * math.prod(shape):
        raise SampleError(row, f"has {name!r} whose numbers do not fill its shape")
    return numbers_at(data, np.array([start]), dtype, shape).reshape(shape)


def _array_form(encoding: str) -> tuple[str | None, tuple[int, ...] | None]:
    """Return the dtype and the shape that an encoding of arrays says: "ndarray:uint16:4,4"."""
    _, *said = encoding.split(":")
    try:
        dtype = _SCALARS[said[0]] if said else None
        shape = tuple(map(int, said[1].split(","))) if len(said) > 1 else None
        if len(said) > 2 or (shape is not None and min(shape) < 1):
            raise ValueError(encoding)
    except (KeyError, ValueError) as exc:
        raise SampleError(None, f"the encoding {encoding[:60]!r} is not known") from exc
    return dtype, shape


def _pairs(starts: np.ndarray, stops: np.ndarray) -> Iterator[tuple[int, int]]:
    return zip(starts.tolist(), stops.tolist(), strict=True)


def _same(text: str) -> str:
    return text


_TEXTS: dict[str, Callable[[str], Any]] = {
    "str": _same,
    "json": json.loads,
    "str_int": int,
    "str_float": float,
    "str_decimal": Decimal,
}
