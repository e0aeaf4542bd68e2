"""Chunks of Zarr: what becomes more than a chunk holds is stopped, whatever packed it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib

import pytest
import zstandard

from pyloader.read.zarr_codecs import crc32c, unfiltered, unpacked
from pyloader.read.zarr_metadata import ZarrError

DATA = bytes(range(256)) * 40
PACKED = {
    "zstd": zstandard.compress,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
    "crc32c": lambda data: data + crc32c(data).to_bytes(4, "little"),
    "unsized zstd": lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
}


@pytest.mark.parametrize("name", PACKED)
def test_what_is_packed_comes_back_and_no_more_than_may_be(name):
    packings = [(name.rpartition(" ")[2], {})]
    packed = PACKED[name](DATA)
    assert unpacked(packed, packings, len(DATA)) == DATA
    if name != "crc32c":
        with pytest.raises(ZarrError, match="unpacks to more than the 10,239 bytes"):
            unpacked(packed, packings, len(DATA) - 1)
        bomb = PACKED[name](bytes(2**24))
        with pytest.raises(ZarrError, match="unpacks to more than the 1,000 bytes"):
            unpacked(bomb, packings, 1000)


@pytest.mark.parametrize("name", [name for name in PACKED if name != "unsized zstd"])
def test_what_is_cut_or_damaged_is_an_error(name):
    packed = PACKED[name](DATA)
    for broken in (packed[:-1], packed[: len(packed) // 2], b"", b"nothing like it"):
        with pytest.raises(ZarrError, match=r"is damaged|ends early|is cut|checksum"):
            unpacked(broken, [(name, {})], len(DATA))


def test_several_packings_are_taken_off_from_the_last():
    packed = PACKED["crc32c"](PACKED["gzip"](DATA))
    assert unpacked(packed, [("gzip", {}), ("numcodecs.crc32c", {})], len(DATA)) == DATA


@pytest.mark.parametrize("name", ["blosc", "lz4"])
def test_the_length_that_numcodecs_would_believe_is_compared_first(name):
    numcodecs = pytest.importorskip("numcodecs")
    codec = {"blosc": numcodecs.Blosc(), "lz4": numcodecs.LZ4()}[name]
    packed = bytearray(codec.encode(DATA))
    assert unpacked(bytes(packed), [(name, {})], len(DATA)) == DATA
    struct.pack_into("<I", packed, 4 if name == "blosc" else 0, 2**31 - 1)
    with pytest.raises(ZarrError, match="unpacks to more than"):
        unpacked(bytes(packed), [(name, {})], len(DATA))
    for broken in (b"", bytes(packed[:10]), bytes(packed[:-1])):
        with pytest.raises(ZarrError, match=r"is cut|is damaged|unpacks to more"):
            unpacked(broken, [(name, {})], len(DATA))


def test_what_is_not_known_is_an_error_by_name():
    with pytest.raises(ZarrError, match="is packed by 'pickle', which is not known"):
        unpacked(b"", [("pickle", {})], 1)
    with pytest.raises(ZarrError, match="has the filter 'pickle', which is not known"):
        unfiltered(b"", [{"id": "pickle"}])


def test_crc32c_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
