"""What the bytes in a column are: numbers, text, JSON, arrays.  Never pickles."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyloader.columns import Column
from pyloader.errors import ChunkReadError
from pyloader.ragged import Ragged
from pyloader.read.spans import even

__all__ = ["array_column", "checked_decode", "decoded"]


def checked_decode(decode: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the option `decode` with the kinds as words; int, float and str may be given as types.

    Raises:
      TypeError: it is no dict.
      ValueError: a kind is not known.
    """
    if decode is not None and not isinstance(decode, Mapping):
        raise TypeError(f"decode must be a dict, column -> kind, got {decode!r}")
    kinds = {name: kind.__name__ if isinstance(kind, type) else kind for name, kind in (decode or {}).items()}
    for name, kind in kinds.items():
        if kind not in _KINDS:
            known = ", ".join(map(repr, _KINDS))
            raise ValueError(f"decode[{name!r}] must be one of {known}, got {kind!r}; pickles stay bytes")
    return kinds


def decoded(rows: Ragged, kind: str, path: str, name: str, keys: Sequence[str]) -> Column:
    """Return what the bytes of a column are.

    Args:
      rows: Bytes.
      kind: One of those that `checked_decode` lets pass.
      path, name, keys: The chunk, the column and the samples, for errors.

    Raises:
      ChunkReadError: the bytes of a row are something else.
    """
    values, decode = [], _KINDS[kind]
    for row, value in enumerate(rows):
        try:
            values.append(decode(bytes(value)))
        except (ValueError, OverflowError, RecursionError, MemoryError, EOFError) as exc:
            what = f"{name!r} of the sample {keys[row]!r} is no {kind} ({str(exc).partition('.')[0]})."
            raise ChunkReadError(path, what, f"Leave {name!r} out of decode: then it is bytes") from exc
    if kind == "npy":
        return array_column(values)
    if kind in ("int", "float"):
        try:
            return np.array(values, np.int64 if kind == "int" else np.float64)
        except OverflowError as exc:
            what = f"{name!r} holds a number that int64 does not hold."
            raise ChunkReadError(path, what, f"Leave {name!r} out of decode: then it is bytes") from exc
    return values


def array_column(arrays: list[np.ndarray]) -> Column:
    """Return arrays as one where they are of one dtype and shape, as Ragged where only their lengths differ.

    Others stay a list.
    """
    if len({array.dtype for array in arrays}) != 1:
        return arrays
    if len({array.shape for array in arrays}) == 1:
        return np.stack(arrays)
    return even(Ragged.from_rows(arrays)) if all(array.ndim == 1 for array in arrays) else arrays


def _array(value: bytes) -> np.ndarray:
    array = np.load(io.BytesIO(value), allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("several arrays")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


_KINDS: dict[str, Callable[[bytes], Any]] = {
    "int": int,
    "float": float,
    "str": bytes.decode,
    "json": json.loads,
    "npy": _array,
}
