"""TFRecord files: Examples as columns, bit for bit; each checksum compared; parts at the beginning of a record."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shards import SHARDS, assert_parts_are_the_whole, rows_of, write_fresh

from pyloader import DataLoader, Ragged, TFRecordReader, reader_for
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError
from pyloader.files import read_manifest
from pyloader.read import wire
from pyloader.testing import check_reader

crc32c = pytest.importorskip("google_crc32c")

EXAMPLES, SEQUENCES = SHARDS / "a.tfrecord", SHARDS / "b.tfrecord"


def read(path: Path, **options: Any) -> dict[str, Any]:
    return check_reader(TFRecordReader(**options), path)


def masked(data: bytes) -> bytes:
    crc = crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def records(path: Path, contents: list[bytes]) -> Path:
    """Write records as TensorFlow does."""
    parts = []
    for content in contents:
        length = struct.pack("<Q", len(content))
        parts += [length, masked(length), content, masked(content)]
    path.write_bytes(b"".join(parts))
    return path


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes of a message, of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def example(**features: bytes) -> bytes:
    """Return an Example of features, each a list as a Feature holds it."""
    entries = (field(1, field(1, name.encode()) + field(2, feature)) for name, feature in features.items())
    return field(1, b"".join(entries))


@pytest.mark.slow
def test_the_examples_that_tensorflow_wrote_come_back_bit_for_bit():
    rows, columns = rows_of("example"), read(EXAMPLES)
    assert list(columns) == ["image", "label", "tokens", "vector", "words"]
    assert list(columns["image"]) == [row["image"] for row in rows]
    assert columns["label"].dtype == np.int64
    assert columns["label"].tolist() == [row["label"] for row in rows]
    assert columns["vector"].dtype == np.float32
    np.testing.assert_array_equal(columns["vector"], np.stack([row["vector"] for row in rows]))
    assert [row.tolist() for row in columns["tokens"]] == [row["tokens"].tolist() for row in rows]
    assert columns["words"] == [row["words"] for row in rows]


@pytest.mark.slow
def test_the_sequence_examples_that_tensorflow_wrote_come_back_step_by_step():
    rows, columns = rows_of("sequence"), read(SEQUENCES)
    assert columns["id"].tolist() == [row["id"] for row in rows]
    assert [row.tolist() for row in columns["steps"]] == [row["steps"].tolist() for row in rows]
    assert columns["frames"] == [row["frames"] for row in rows]
    np.testing.assert_array_equal(np.stack(columns["points"]), np.stack([row["points"] for row in rows]))


@pytest.mark.frameworks
@pytest.mark.parametrize("kind", ["example", "sequence"])
def test_a_fresh_file_of_tensorflow_comes_back(tmp_path, kind):
    rows = write_fresh(tmp_path / "a.tfrecord", kind, num_rows=300, seed=3)
    columns = read(tmp_path / "a.tfrecord")
    for name, values in columns.items():
        for value, row in zip(values, rows, strict=True):
            np.testing.assert_equal(value, row[name])


@pytest.mark.slow
def test_parsing_many_records_and_few_is_the_same(tmp_path):
    contents = [bytes(row) for row in read(EXAMPLES, records="bytes")["record"]]
    few, many = read(EXAMPLES), read(records(tmp_path / "a.tfrecord", contents * 20))
    for name, values in few.items():
        for row in range(len(contents) * 20):
            np.testing.assert_equal(many[name][row], values[row % len(contents)])


@pytest.mark.parametrize("sizes", [{"chunk_bytes": 1}, {"chunk_bytes": 500}, {"chunk_samples": 5}, {}])
@pytest.mark.parametrize("path", [EXAMPLES, SEQUENCES], ids=["examples", "sequences"])
def test_parts_joined_are_the_whole_file(tmp_path, path, sizes):
    if path == SEQUENCES and sizes == {"chunk_bytes": 1}:
        pytest.skip("of no step nobody knows what it would hold")
    parts = assert_parts_are_the_whole(TFRecordReader(ragged=["tokens", "words"]), path, tmp_path, **sizes)
    assert sum(part.num_samples for part in parts) == 12


@pytest.mark.slow
def test_a_packed_file_is_one_chunk(tmp_path):
    path = tmp_path / "a.tfrecord.gz"
    path.write_bytes(gzip.compress(EXAMPLES.read_bytes()))
    assert read(path)["words"] == read(EXAMPLES)["words"]
    assert TFRecordReader().find_parts(str(path), chunk_bytes=1) is None


def test_files_are_known_by_the_names_of_tensorflow_and_tfds(tmp_path):
    for number in range(2):
        (tmp_path / f"mnist-train.tfrecord-0000{number}-of-00002").write_bytes(EXAMPLES.read_bytes())
    for beside in ("dataset_info.json", "features.json"):
        (tmp_path / beside).write_text("{}")
    reader = TFRecordReader(columns=["label"])
    with DataLoader(reader, data_dir=tmp_path, batch_size=6, num_epochs=1) as loader:
        labels = [label for batch in loader for label in batch["label"].tolist()]
    assert labels == [row["label"] for row in rows_of("example")] * 2
    assert isinstance(reader_for(tmp_path / "mnist-train.tfrecord-00000-of-00002"), TFRecordReader)
    assert type(reader_for("x.array_record-00000-of-00002")).__name__ == "ArrayRecordReader"


@pytest.mark.parametrize("number", [0, 1, 127, 128, -1, 2**62, -(2**63), 2**63 - 1])
def test_integers_are_read_packed_and_unpacked(tmp_path, number):
    def varint(value: int) -> bytes:
        value &= 2**64 - 1
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    packed, unpacked = field(1, varint(number) + varint(3)), b"\x08" + varint(number) + b"\x08\x03"
    in_two = field(1, varint(number)) + b"\x08\x03"
    path = records(tmp_path / "a.tfrecord", [example(n=field(3, form)) for form in (packed, unpacked, in_two)])
    assert read(path)["n"].tolist() == [[number, 3]] * 3


def test_floats_are_read_packed_and_unpacked(tmp_path):
    one, two = struct.pack("<f", 1.5), struct.pack("<f", float("nan"))
    forms = [field(1, one + two), b"\x0d" + one + b"\x0d" + two, field(1, one) + b"\x0d" + two]
    path = records(tmp_path / "a.tfrecord", [example(x=field(2, form)) for form in forms])
    np.testing.assert_array_equal(read(path)["x"], np.array([[1.5, np.nan]] * 3, np.float32))


@pytest.mark.slow
def test_ragged_says_that_a_feature_is_ragged_whatever_its_lengths():
    assert isinstance(read(EXAMPLES, ragged=["label"])["label"], Ragged)
    assert isinstance(read(EXAMPLES, ragged=["label"])["vector"], np.ndarray)
    assert read(EXAMPLES, ragged=["image"])["image"] == [[row["image"]] for row in rows_of("example")]


def test_a_record_that_lacks_a_feature_is_named_or_empty_where_that_was_asked_for(tmp_path):
    label, word = field(3, field(1, b"\x05")), field(1, field(1, b"w"))
    path = records(tmp_path / "a.tfrecord", [example(n=label, w=word), example(w=word), example(n=label)])
    with pytest.raises(ChunkReadError, match=r"record 1 at byte \d+ has no 'n'\. TFRecordReader\(missing='empty'"):
        TFRecordReader().read_file(str(path))
    with pytest.raises(ChunkReadError, match=r"record 0 at byte 0 has no 'other'\. TFRecordReader\(missing"):
        TFRecordReader(columns=["other"]).read_file(str(path))
    columns = read(path, missing="empty", columns=["n", "w"], ragged=["n"], kinds={"w": "bytes"})
    assert [row.tolist() for row in columns["n"]] == [[5], [], [5]]
    assert list(columns["w"]) == [b"w", b"w", b""]
    with pytest.raises(ValueError, match=r"missing='empty' needs columns=\[\.\.\.\]"):
        TFRecordReader(missing="empty")


def test_kinds_say_what_a_feature_holds_that_no_record_has(tmp_path):
    path = records(tmp_path / "a.tfrecord", [example(w=field(1, field(1, b"w")))])
    kinds = {"b": "bytes", "x": "float32"}
    columns = read(path, missing="empty", columns=["w", "b", "x", "n"], kinds=kinds, ragged=["x"])
    assert (list(columns["b"]), columns["x"].dtype, columns["n"].dtype) == ([b""], np.float32, np.int64)
    with pytest.raises(ValueError, match=r"kinds\['b'\] must be one of 'bytes', 'float32', 'int64', got 'int32'"):
        TFRecordReader(kinds={"b": "int32"})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"hello", r"is no tf\.train\.Example \(a field"),
        (field(1, field(1, field(1, b"n"))), r"is no tf\.train\.Example \(an entry has not one name and one value\)"),
        (field(3, b""), r"is no tf\.train\.Example \(a message has a field 3\)"),
        (b"\x0a\x05a", r"is no tf\.train\.Example \(a field goes beyond its message\)"),
        (b"\x80" * 11, r"is no tf\.train\.Example \(a number has more than 10 bytes\)"),
        (example(n=field(1, field(1, b"text"))), r"has a feature 'n' that holds bytes, and integers in records before"),
        (example(n=field(3, field(1, b"\x80"))), r"has a feature 'n' that is no list of integers"),
        (example(n=field(3, b"\x0a\x05\x01")), r"has a feature 'n' that is no list of"),
        (example(n=field(3, b"") + field(1, b"")), r"has a feature 'n' that holds several lists"),
    ],
)
def test_a_record_that_is_no_example_is_named_with_its_place(tmp_path, content, expected):
    good = example(n=field(3, field(1, b"\x05")))
    for times in (1, 40):  # one by one, and all together
        path = records(tmp_path / "a.tfrecord", [good] * times + [content])
        place = len(good) * times + 16 * times
        with pytest.raises(ChunkReadError, match=rf"a\.tfrecord: record {times} at byte {place:,} {expected}"):
            TFRecordReader().read_file(str(path))
    assert list(read(path, records="bytes")["record"]) == [good] * 40 + [content]


@pytest.mark.parametrize("place", [0, 8, 12, 20, -1])
def test_a_changed_bit_anywhere_is_an_error(tmp_path, place):
    path, data = tmp_path / "a.tfrecord", bytearray(EXAMPLES.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    with pytest.raises(ChunkReadError, match=r"a\.tfrecord: .*checksum.*Fetch it again, or max_skipped=1"):
        TFRecordReader().read_file(str(path))


@pytest.mark.parametrize("size", [5, 13, 300, -1])
def test_a_file_that_was_cut_is_an_error_and_no_end(tmp_path, size):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(EXAMPLES.read_bytes()[:size])
    with pytest.raises(ChunkReadError, match=r"ends early, inside of record \d+, after [\d,]+ bytes"):
        TFRecordReader().read_file(str(path))
    with pytest.raises(ChunkReadError, match=r"ends early, inside of record"):
        TFRecordReader().find_parts(str(path), chunk_bytes=1)


def test_a_message_of_very_many_fields_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wire, "_MOST_FIELDS", 1000)
    path = records(tmp_path / "a.tfrecord", [b"\x0a\x00" * 1001])
    with pytest.raises(ChunkReadError, match=r"record 0 at byte 0 is no .*a message has more than 1,000 fields"):
        TFRecordReader().read_file(str(path))


def test_a_damaged_length_takes_no_memory(tmp_path):
    path = tmp_path / "a.tfrecord"
    length = struct.pack("<Q", 2**60)
    path.write_bytes(length + masked(length) + b"x" * 100)
    with pytest.raises(ChunkReadError, match="ends early, inside of record 0"):
        TFRecordReader().read_file(str(path))


def test_another_kind_of_file_is_named(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"hello, this is text\n" * 3)
    with pytest.raises(ChunkReadError, match="is no TFRecord file, or its first record is damaged"):
        TFRecordReader().read_file(str(path))
    path.write_bytes(b"")
    assert TFRecordReader().read_file(str(path)) == ({}, 0)
    assert TFRecordReader().find_parts(str(path), chunk_bytes=1) == []


def test_an_index_says_what_features_are_also_for_a_file_that_has_no_value_of_them(tmp_path):
    full = [bytes(row) for row in read(EXAMPLES, records="bytes")["record"]]
    records(tmp_path / "0.tfrecord", full[1:])
    records(tmp_path / "1.tfrecord", full[:1])  # tokens are missing in it, and of its words there are two
    options = ["--reader", "tfrecord", "--option", 'ragged=["tokens", "words"]']
    assert main(["index", str(tmp_path), *options, "--quiet"]) == 0
    reader = reader_for(tmp_path / "1.tfrecord", manifest=read_manifest(tmp_path / "manifest.json"))
    columns = check_reader(reader, tmp_path / "1.tfrecord")
    assert [row.tolist() for row in columns["tokens"]] == [[]]
    assert (columns["words"], list(columns["image"]), columns["vector"].shape) == ([[b"a", b""]], [b""], (1, 3))


@pytest.mark.parametrize("options", [{"records": "text"}, {"missing": "no"}])
def test_an_option_that_is_not_known_is_refused(options):
    with pytest.raises(ValueError, match=r"must be '\w+' or '\w+', got"):
        TFRecordReader(**options)
