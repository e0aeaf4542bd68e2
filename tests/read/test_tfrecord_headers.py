"""Headers of TFRecord files that are looked at many at a time are those that are looked at one by one."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from pyloader import TFRecordReader
from pyloader.errors import ChunkReadError
from pyloader.read import tfrecord
from pyloader.read.tfrecord_headers import first_damaged, record_starts

crc = pytest.importorskip("google_crc32c")


def masked(content: bytes) -> bytes:
    value = crc.value(content)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def records(lengths) -> bytes:
    made = b""
    for number, length in enumerate(lengths):
        header, content = struct.pack("<Q", length), bytes([number % 256]) * length
        made += header + masked(header) + content + masked(content)
    return made


def test_any_length_has_the_checksum_of_the_library():
    rng = np.random.default_rng(0)
    lengths = [struct.pack("<Q", int(rng.integers(2**63)) >> int(rng.integers(64))) for _ in range(200)]
    data = b"".join(length + masked(length) for length in lengths)
    starts = np.arange(0, len(data), 12)
    for some in (starts, starts[65:75]):  # a few are looked at one by one
        assert first_damaged(data, some, crc) == -1
        for place in (12 * 70, 12 * 70 + 7, 12 * 70 + 11):
            damaged = bytearray(data)
            damaged[place] ^= 1
            assert some[first_damaged(bytes(damaged), some, crc)] == 12 * 70


def test_records_are_followed_past_the_end_and_no_further_than_headers_go():
    data = records([5, 0, 300])
    assert record_starts(data)[0].tolist() == [0, 21, 37]
    assert record_starts(data)[1] == len(data)
    starts, after = record_starts(data[:60])
    assert (starts.tolist(), after) == ([0, 21, 37], len(data))
    assert record_starts(data[:40])[0].tolist() == [0, 21]


def test_parts_are_the_same_in_stretches_of_any_length(tmp_path, monkeypatch):
    path, lengths = tmp_path / "a.tfrecord", [*range(60), 900, 5, 2000, 0, 7]
    path.write_bytes(records(lengths))
    found = []
    for at_once in (13, 64, 500, 2**20):
        monkeypatch.setattr(tfrecord, "BLOCK_BYTES", at_once)
        monkeypatch.setattr(tfrecord, "_STRETCH_BYTES", 2 * at_once)
        reader = TFRecordReader(records="bytes")
        found.append([reader.find_parts(str(path), chunk_bytes=size) for size in (1, 100, 1000)])
        found[-1].append(reader.find_parts(str(path), chunk_bytes=1, chunk_samples=7))
    assert found[0] == found[1] == found[2] == found[3]
    assert [len(parts) for parts in found[0]] == [65, 25, 5, 10]


@pytest.mark.parametrize("more", [b"x", b"x" * 11])
def test_a_header_that_is_cut_is_an_error(tmp_path, more):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(records([5, 6]) + more)
    for read in (
        lambda: TFRecordReader().find_parts(str(path), chunk_bytes=1),
        lambda: TFRecordReader().read_file(str(path)),
    ):
        with pytest.raises(ChunkReadError, match="ends early, inside of record 2"):
            read()
