"""What the JSON of a Zarr array says: its shape, its chunks, what they are packed with.  Versions 2 and 3."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Shards", "ZarrArray", "ZarrError", "array_of_v2", "array_of_v3"]

_MOST_DIMENSIONS = 32
_VALUES = {  # of version 3; a name may have a byte order in "bytes"
    **{name: np.dtype(name) for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")},
    **{name: np.dtype(name) for name in ("uint64", "float16", "float32", "float64", "complex64", "complex128")},
}
_UNEQUAL = {"string": "vlen-utf8", "variable_length_bytes": "vlen-bytes", "bytes": "vlen-bytes"}
_UNEQUAL_CODECS = ("vlen-utf8", "vlen-bytes", "vlen-array")


class ZarrError(ValueError):
    """What the metadata says cannot be read; the text is the rest of a sentence that begins with the array."""


@dataclass(frozen=True)
class Shards:
    """The chunks within a stored chunk."""

    index_at_end: bool
    index_has_checksum: bool


@dataclass(frozen=True)
class ZarrArray:
    """An array, as far as reading it goes."""

    shape: tuple[int, ...]
    stored_shape: tuple[int, ...]  # of what lies in one file: a chunk, or a shard
    chunk_shape: tuple[int, ...]  # of what is unpacked at once
    dtype: np.dtype[Any]  # as stored; of the items, where rows have unequal lengths
    fill: Any  # what chunks hold that are not there
    axes: tuple[int, ...]  # in which order a chunk's axes are stored
    key_start: str  # what the name of a chunk's file begins with
    separator: str  # and what stands between the numbers
    unequal: str = ""  # "vlen-utf8", "vlen-bytes" or "vlen-array", where rows have unequal lengths
    filters: tuple[Mapping[str, Any], ...] = ()  # of version 2, in the order of writing
    packings: tuple[tuple[str, Mapping[str, Any]], ...] = ()  # (name, configuration), in the order of writing
    shards: Shards | None = None

    @property
    def chunk_items(self) -> int:
        """How many items a chunk has."""
        return math.prod(self.chunk_shape)

    def key(self, place: Sequence[int]) -> str:
        """Return the name of the file of a chunk, by its place in the grid."""
        return self.key_start + (self.separator.join(map(str, place)) if place else "")


def array_of_v2(said: Mapping[str, Any]) -> ZarrArray:
    """Return what a `.zarray` describes.

    Raises:
      ZarrError: it is damaged, or has what is not read: pickled objects, say.
    """
    shape, chunks = _sizes(said, "shape", 0), _sizes(said, "chunks", 1)
    order, separator = said.get("order", "C"), said.get("dimension_separator", ".")
    if len(shape) != len(chunks) or order not in ("C", "F") or separator not in (".", "/"):
        raise ZarrError("has metadata that are damaged (.zarray).")
    filters = list(said.get("filters") or [])
    for each in filters:
        if not isinstance(each, dict):
            raise ZarrError(f"has a filter that is damaged: {str(each)[:80]}.")
        if each.get("id") == "pickle":
            raise ZarrError("holds pickled Python objects, which would run what they say, and are not read.")
    unequal = filters.pop(0) if filters and filters[0].get("id") in _UNEQUAL_CODECS else {}
    if unequal and filters:
        raise ZarrError("has filters beside rows of unequal length.")
    if said.get("dtype") == "|O" and not unequal:
        how = f"by {filters[0].get('id')!r}" if filters else "nobody says how"
        raise ZarrError(f"holds Python objects, stored {how}, which are not read.")
    dtype = _plain_dtype(unequal.get("dtype", "u1") if unequal else said.get("dtype"))
    compressor = said.get("compressor")
    if compressor is not None and not isinstance(compressor, dict):
        raise ZarrError("has metadata that are damaged (compressor).")
    packed = [] if compressor is None else [(str(compressor.get("id")), compressor)]
    axes = tuple(range(len(shape)))
    return ZarrArray(
        shape,
        chunks,
        chunks,
        dtype,
        _text_fill(said.get("fill_value")) if unequal else _fill(dtype, said.get("fill_value"), 2),
        axes if order == "C" else axes[::-1],
        "" if shape else "0",
        separator,
        unequal.get("id", ""),
        tuple(filters),
        tuple(packed),
    )


def array_of_v3(said: Mapping[str, Any]) -> ZarrArray:
    """Return what a `zarr.json` of an array describes.

    Raises:
      ZarrError: it is damaged, or has what is not read.
    """
    grid_name, grid = _named(said.get("chunk_grid"))
    keys_name, keys = _named(said.get("chunk_key_encoding"))
    shape, stored = _sizes(said, "shape", 0), _sizes(grid, "chunk_shape", 1)
    if grid_name != "regular" or keys_name not in ("default", "v2") or len(shape) != len(stored):
        raise ZarrError(f"has chunks laid out as {grid_name!r} and {keys_name!r}, which is not known.")
    separator = keys.get("separator", "/" if keys_name == "default" else ".")
    if separator not in ("/", "."):
        raise ZarrError("has metadata that are damaged (separator).")
    if said.get("storage_transformers"):
        raise ZarrError("has storage transformers, which are not known.")
    dtype, unequal = _v3_dtype(said.get("data_type"))
    codecs = [_named(each) for each in said.get("codecs") or []]
    shards, chunks = None, stored
    if codecs and codecs[0][0] == "sharding_indexed":
        (_, config), *outside = codecs
        if outside:
            raise ZarrError("has shards that are packed as a whole.")
        chunks, shards = _sizes(config, "chunk_shape", 1), _shards(config)
        if len(chunks) != len(stored) or any(a % b for a, b in zip(stored, chunks, strict=True)):
            raise ZarrError("has shards that do not hold whole chunks.")
        codecs = [_named(each) for each in config.get("codecs") or []]
    axes = tuple(range(len(shape)))
    while codecs and codecs[0][0] == "transpose":
        order = tuple(_sizes(codecs.pop(0)[1], "order", 0))
        if sorted(order) != list(range(len(shape))):
            raise ZarrError("has metadata that are damaged (transpose).")
        axes = tuple(axes[axis] for axis in order)
    name, config = codecs.pop(0) if codecs else ("", {})
    if name != (unequal or "bytes"):
        raise ZarrError(f"is stored by the codec {name!r}, which is not known.")
    if config.get("endian") == "big":
        dtype = dtype.newbyteorder(">")
    fill = _text_fill(said.get("fill_value")) if unequal else _fill(dtype, said.get("fill_value"), 3)
    if keys_name == "default":
        start = f"c{separator}" if shape else "c"
    else:
        start = "" if shape else "0"
    return ZarrArray(shape, stored, chunks, dtype, fill, axes, start, separator, unequal, (), tuple(codecs), shards)


def _shards(config: Mapping[str, Any]) -> Shards:
    where = config.get("index_location", "end")
    codecs = [_named(each) for each in config.get("index_codecs") or []]
    names = [name for name, _ in codecs]
    if where not in ("start", "end") or names[:1] != ["bytes"] or names[1:] not in ([], ["crc32c"]):
        raise ZarrError("has an index of shards of an unknown form.")
    if codecs[0][1].get("endian", "little") != "little":
        raise ZarrError("has an index of shards of an unknown form.")
    return Shards(where == "end", len(names) > 1)


def _named(said: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the configuration of what is written as a name, or as a name and a configuration."""
    if isinstance(said, str):
        return said, {}
    if isinstance(said, dict) and isinstance(said.get("name"), str):
        config = said.get("configuration") or {}
        if isinstance(config, dict):
            return said["name"], config
    raise ZarrError(f"has metadata that are damaged ({str(said)[:80]}).")


def _sizes(said: Mapping[str, Any], name: str, least: int) -> tuple[int, ...]:
    sizes = said.get(name)
    if not isinstance(sizes, list) or len(sizes) > _MOST_DIMENSIONS:
        raise ZarrError(f"has metadata that are damaged ({name}).")
    if not all(type(size) is int and least <= size < 2**62 for size in sizes):
        raise ZarrError(f"has metadata that are damaged ({name}).")
    return tuple(sizes)


def _v3_dtype(said: Any) -> tuple[np.dtype[Any], str]:
    name, config = _named(said)
    if name in _UNEQUAL:
        return np.dtype(np.uint8), _UNEQUAL[name]
    if name in _VALUES:
        return _VALUES[name], ""
    try:
        if name == "fixed_length_utf32":
            return np.dtype(f"<U{config['length_bytes'] // 4}"), ""
        if name == "null_terminated_bytes":
            return np.dtype(f"S{config['length_bytes']}"), ""
        if name in ("numpy.datetime64", "numpy.timedelta64"):
            letter = "M8" if name == "numpy.datetime64" else "m8"
            return _plain_dtype(f"<{letter}[{config.get('scale_factor', 1)}{config['unit']}]"), ""
    except (KeyError, TypeError, ValueError) as exc:
        raise ZarrError(f"has metadata that are damaged ({str(said)[:80]}).") from exc
    raise ZarrError(f"holds values of the kind {name[:80]!r}, which are not read.")


def _plain_dtype(said: Any) -> np.dtype[Any]:
    if not isinstance(said, str):
        raise ZarrError(f"holds compounds ({str(said)[:80]}), which are not read.")
    try:
        dtype = np.dtype(said)
    except (TypeError, ValueError, SyntaxError) as exc:
        raise ZarrError(f"has metadata that are damaged (dtype {said[:80]!r}).") from exc
    if dtype.kind not in "biufcmMUS" or dtype.shape or not dtype.itemsize:
        raise ZarrError(f"holds values of the kind {said[:80]!r}, which are not read.")
    return dtype


def _fill(dtype: np.dtype[Any], said: Any, version: int) -> Any:
    """Return what stands in chunks that are not there, as a value of this dtype."""
    try:
        if said is None:
            return np.zeros((), dtype)
        if dtype.kind == "c" and isinstance(said, list):
            parts = dtype.itemsize // 2
            real, imaginary = (_fill(np.dtype(f"f{parts}"), each, version) for each in said)
            return np.array(complex(real, imaginary), dtype)
        if dtype.kind == "f" and isinstance(said, str) and said.startswith("0x"):
            bits = int(said, 16)
            return np.frombuffer(struct.pack("<Q", bits)[: dtype.itemsize], dtype.newbyteorder("<"))[0].astype(dtype)
        if dtype.kind == "S" and isinstance(said, str):
            return np.array(base64.b64decode(said, validate=True), dtype)
        if dtype.kind in "mM":
            return np.array("NaT" if said == "NaT" else np.int64(said).view(dtype.newbyteorder("=")), dtype)
        return np.array(float(said) if dtype.kind == "f" else said, dtype)
    except (TypeError, ValueError, OverflowError, struct.error) as exc:
        raise ZarrError(f"has metadata that are damaged (fill_value {str(said)[:80]!r}).") from exc


def _text_fill(said: Any) -> Any:
    return said if isinstance(said, str) else ""
