"""Unpack a chunk of Zarr, and no more of it than it may hold."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import zstandard

from pyloader.errors import import_optional
from pyloader.read.zarr_metadata import ZarrError

__all__ = ["crc32c", "unfiltered", "unpacked"]

_BLOSC_HEADER_BYTES = 16
_FILTERS = {"delta", "shuffle", "fixedscaleoffset", "bitround", "astype", "packbits", "quantize"}
_CASTAGNOLI = 0x82F63B78


def unpacked(data: bytes, packings: Sequence[tuple[str, Mapping[str, Any]]], most: int) -> bytes:
    """Return a chunk's bytes as they were before they were packed.

    Args:
      data: The bytes.
      packings: (name, configuration), in the order of writing.
      most: How many bytes they may become.

    Raises:
      ZarrError: they are damaged, become more, or are packed by what is not known; pickles are not.
      MissingDependencyError: numcodecs is needed, and not installed.
    """
    for name, _ in reversed(packings):
        try:
            data = _unpacked_once(data, name.removeprefix("numcodecs."), most)
        except (ValueError, EOFError, OSError, RuntimeError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as exc:
            if isinstance(exc, ZarrError):
                raise
            raise ZarrError(f"is damaged ({name}: {exc}).") from exc
    return data


def unfiltered(data: Any, filters: Sequence[Mapping[str, Any]]) -> Any:
    """Return a chunk's bytes as they were before numcodecs' filters.

    Raises:
      ZarrError: a filter is not known, or they are damaged.
      MissingDependencyError: numcodecs is not installed.
    """
    for each in reversed(filters):
        name = each.get("id")
        if name not in _FILTERS:
            raise ZarrError(f"has the filter {str(name)[:80]!r}, which is not known.")
        codecs = import_optional("numcodecs", wanted_by=f"ZarrReader (filter {name!r})")
        try:
            data = codecs.get_codec(dict(each)).decode(data)
        except Exception as exc:  # numcodecs raises almost anything
            raise ZarrError(f"is damaged ({name}: {exc}).") from exc
    return data


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_CASTAGNOLI if byte & 1 else 0)
    return byte


_TABLE = [_remainder(byte) for byte in range(256)]


def _unpacked_once(data: bytes, name: str, most: int) -> bytes:
    if name == "zstd":
        return _zstd(data, most)
    if name in ("gzip", "zlib"):
        return _streamed(zlib.decompressobj(31 if name == "gzip" else 15), data, most)
    if name == "bz2":
        return _streamed(bz2.BZ2Decompressor(), data, most)
    if name == "lzma":
        return _streamed(lzma.LZMADecompressor(lzma.FORMAT_XZ), data, most)
    if name == "crc32c":
        body, stored = data[:-4], data[-4:]
        if crc32c(body).to_bytes(4, "little") != stored:
            raise ZarrError("is damaged: its checksum is another (crc32c).")
        return body
    if name == "blosc":
        # Version, flags and so on, then three lengths: unpacked, of a block, packed.
        if len(data) < _BLOSC_HEADER_BYTES or struct.unpack_from("<I", data, 12)[0] != len(data):
            raise ZarrError("is cut (blosc).")
        return _by_numcodecs(data, name, struct.unpack_from("<I", data, 4)[0], most)
    if name == "lz4":
        if len(data) < 4:
            raise ZarrError("is cut (lz4).")
        return _by_numcodecs(data, name, struct.unpack_from("<i", data)[0], most)
    raise ZarrError(f"is packed by {name[:80]!r}, which is not known.")


def _by_numcodecs(data: bytes, name: str, says: int, most: int) -> bytes:
    if not 0 <= says <= most:
        raise _too_much(most)
    codec = import_optional(f"numcodecs.{name}", wanted_by=f"ZarrReader (packed by {name!r})")
    return bytes(codec.decompress(data))


def _zstd(data: bytes, most: int) -> bytes:
    says = zstandard.frame_content_size(data)
    if says > most:
        raise _too_much(most)
    if says >= 0:
        return zstandard.ZstdDecompressor().decompress(data)
    found = zstandard.ZstdDecompressor().stream_reader(data).read(most + 1)
    if len(found) > most:
        raise _too_much(most)
    return found


def _streamed(reader: Any, data: bytes, most: int) -> bytes:
    found = reader.decompress(data, most + 1)
    if len(found) > most:
        raise _too_much(most)
    if not reader.eof:
        raise ZarrError("ends early.")
    return bytes(found)


def _too_much(most: int) -> ZarrError:
    return ZarrError(f"has a chunk that unpacks to more than the {most:,} bytes of one, or is damaged.")
