"""MDS shards: every encoding as MosaicML writes it, compared with index.json; parts by the table of offsets."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shards import SHARDS, WritesAFile, assert_parts_are_the_whole, rows_of, write_fresh

from pyloader import DataLoader, MDSReader, PaddingDataCollator, Ragged
from pyloader.cli.main import main
from pyloader.errors import ChunkReadError
from pyloader.part import Part
from pyloader.testing import check_reader

ROWS = rows_of("mds")
PLAIN, PACKED = SHARDS / "mds", SHARDS / "mds-zstd"


def shards_of(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if ".mds" in path.name)


def shard(path: Path, columns: dict[str, str], samples: list[list[bytes]], **said: Any) -> Path:
    """Write a shard by hand: the bytes of each value of each sample, all of a length that varies."""
    config = {"version": 2, "format": "mds", "column_names": list(columns), "column_encodings": list(columns.values())}
    config |= {"column_sizes": [None] * len(columns)} | said
    text = json.dumps(config).encode()
    sizes = config["column_sizes"]
    bodies = [
        b"".join(struct.pack("<I", len(v)) for v, size in zip(values, sizes, strict=True) if size is None)
        + b"".join(values)
        for values in samples
    ]
    offsets = 4 * (2 + len(bodies)) + len(text) + np.cumsum([0, *map(len, bodies)])
    path.write_bytes(struct.pack("<I", len(bodies)) + offsets.astype("<u4").tobytes() + text + b"".join(bodies))
    return path


def assert_rows(columns: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    for name, values in columns.items():
        for value, row in zip(values, rows, strict=True):
            np.testing.assert_equal(value, row[name])
            assert getattr(value, "dtype", None) == getattr(row[name], "dtype", getattr(value, "dtype", None)), name


@pytest.mark.slow
@pytest.mark.parametrize("directory", [PLAIN, PACKED], ids=["plain", "zstd"])
def test_what_mosaicml_wrote_comes_back_bit_for_bit(directory):
    first = 0
    for path in shards_of(directory):
        columns = check_reader(MDSReader(), path)
        count = len(columns["id"])
        assert_rows(columns, ROWS[first : first + count])
        first += count
    assert first == len(ROWS)
    kinds = {name: type(values) for name, values in columns.items()}
    assert [name for name, kind in kinds.items() if kind is Ragged] == ["image", "tokens"]
    assert [name for name, kind in kinds.items() if kind is np.ndarray] == ["half", "id", "third", "vector"]


@pytest.mark.frameworks
@pytest.mark.parametrize("compression", [None, "zstd", "gz", "bz2"])
def test_fresh_shards_of_mosaicml_come_back(tmp_path, compression):
    rows = write_fresh(tmp_path / "s", "mds", num_rows=200, seed=5, compression=compression, size_limit=2**14)
    parts = [MDSReader().read_file(str(path)) for path in shards_of(tmp_path / "s")]
    assert len(parts) > 2
    for columns, count in parts:
        assert_rows(columns, rows[:count])
        rows = rows[count:]


def test_images_and_lists_of_them_arrive_as_they_are_stored(tmp_path):
    def items(*values: bytes, before: bytes = b"") -> bytes:
        return before + struct.pack(f"<{1 + len(values)}I", len(values), *map(len, values)) + b"".join(values)

    columns = {"a": "jpeg", "b": "list[png]", "c": "jpeg_array"}
    samples = [
        [b"j", items(b"x", b"yy", before=b"\0\0\0\0"), items(b"z")],
        [b"", items(before=b"\0\0\0\0"), items(b"")],
    ]
    got = check_reader(MDSReader(), shard(tmp_path / "a.mds", columns, samples))
    assert (list(got["a"]), got["b"], got["c"]) == ([b"j", b""], [[b"x", b"yy"], []], [[b"z"], [b""]])


@pytest.mark.parametrize("same", [True, False])
def test_arrays_of_any_shape_and_dtype_come_back(tmp_path, same):
    encoded = {
        "ndarray": lambda a: bytes([33, a.ndim << 2]) + bytes(a.shape) + a.astype("<i4").tobytes(),
        "ndarray:int32": lambda a: bytes([a.ndim << 2]) + bytes(a.shape) + a.astype("<i4").tobytes(),
    }
    arrays = [np.ones((2, 3), "i4"), np.zeros((2, 3) if same else (6,), "i4")]
    for encoding, encode in encoded.items():
        path = shard(tmp_path / "a.mds", {"x": encoding}, [[encode(array)] for array in arrays])
        values = check_reader(MDSReader(), path)["x"]
        assert isinstance(values, list)  # whether they have one shape, or several
        np.testing.assert_equal(list(values), arrays)


@pytest.mark.parametrize("encoding", ["ndarray", "ndarray:uint16"])
def test_short_and_long_arrays_in_one_shard_are_one_ragged_column(tmp_path, encoding):
    arrays = [np.arange(length, dtype="<u2") for length in (3, 300, 255, 256, 0, 70_000)]
    dtype = bytes([16]) if encoding == "ndarray" else b""

    def encode(array: np.ndarray) -> bytes:  # as MosaicML does: the length in as few bytes as hold it
        width = next(width for width in range(3) if len(array) < 2 ** (8 << width))
        return dtype + bytes([4 | width]) + len(array).to_bytes(1 << width, "little") + array.tobytes()

    path = shard(tmp_path / "a.mds", {"x": encoding}, [[encode(array)] for array in arrays])
    values = check_reader(MDSReader(), path)["x"]
    assert values == Ragged.from_rows(arrays)


def test_pickles_arrive_as_bytes_and_are_never_opened(tmp_path):
    made = tmp_path / "made"
    pickled = pickle.dumps(WritesAFile(str(made)))
    path = shard(tmp_path / "a.mds", {"x": "pkl"}, [[pickled]])
    assert list(check_reader(MDSReader(), path)["x"]) == [pickled]
    assert not made.exists()


@pytest.mark.parametrize("sizes", [{"chunk_bytes": 1}, {"chunk_bytes": 400}, {"chunk_samples": 3}, {}])
@pytest.mark.parametrize("directory", [PLAIN, PACKED], ids=["plain", "zstd"])
def test_parts_joined_are_the_whole_shard(tmp_path, directory, sizes):
    for path in shards_of(directory):
        parts = assert_parts_are_the_whole(MDSReader(), path, tmp_path, **sizes)
        assert len(parts) == 1 or directory is PLAIN


def test_a_part_beyond_the_shard_is_refused():
    path = str(shards_of(PLAIN)[0])
    with pytest.raises(ChunkReadError, match=r"has \d+ samples, and a part of 90 to 99\. Index the file again"):
        MDSReader().read_part(path, Part(90, 9, ((0, 8),)))


def test_a_loader_reads_a_directory_of_shards_and_passes_over_its_index():
    options = {"datareader": MDSReader(columns=["id", "tokens"]), "datacollator": PaddingDataCollator(pad_value=0)}
    with DataLoader(data_dir=PLAIN, batch_size=4, shuffle=True, num_epochs=1, **options) as loader:
        ids = [number for batch in loader for number in batch["id"].tolist()]
    assert sorted(ids) == [row["id"] for row in ROWS]


def test_peek_shows_arrays_of_any_shape(capsys):
    assert main(["peek", str(PLAIN)]) == 0
    assert "grid" in capsys.readouterr().out


@pytest.mark.parametrize("directory", [PLAIN, PACKED], ids=["plain", "zstd"])
def test_a_shard_that_differs_from_its_index_is_an_error(tmp_path, directory):
    copy = shutil.copytree(directory, tmp_path / "s")
    path, index = shards_of(copy)[0], copy / "index.json"
    said = json.loads(index.read_text())
    said["shards"][0]["raw_data"]["hashes"]["xxh3_64"] = "0" * 16
    index.write_text(json.dumps(said))
    with pytest.raises(ChunkReadError, match=r"is damaged: its xxh3_64 differs from that in index\.json\. Fetch it"):
        MDSReader().read_file(str(path))
    said["shards"][0]["raw_data"] |= {"bytes": 5}
    index.write_text(json.dumps(said))
    with pytest.raises(ChunkReadError, match=r"has [\d,]+ bytes, and index\.json says 5"):
        MDSReader().read_file(str(path))
    index.write_text("[]")
    with pytest.raises(ChunkReadError, match=r"index\.json: is no index of MDS shards"):
        MDSReader().read_file(str(path))
    index.unlink()
    assert MDSReader().read_file(str(path))[1] > 0


def test_another_number_of_samples_than_the_index_says_is_an_error(tmp_path):
    copy = shutil.copytree(PLAIN, tmp_path / "s")
    said = json.loads((copy / "index.json").read_text())
    said["shards"][0]["samples"] += 1
    (copy / "index.json").write_text(json.dumps(said))
    with pytest.raises(ChunkReadError, match=r"has \d+ samples, and index\.json says"):
        MDSReader().read_file(str(shards_of(copy)[0]))


@pytest.mark.parametrize("size", [0, 6, 30, 500, -1])
def test_a_shard_that_was_cut_is_an_error_and_no_end(tmp_path, size):
    path = tmp_path / "a.mds"
    path.write_bytes(shards_of(PLAIN)[0].read_bytes()[:size])
    for ask in (MDSReader().read_file, lambda p: MDSReader().find_parts(p, chunk_bytes=1)):
        with pytest.raises(ChunkReadError, match=r"a\.mds: (is no MDS shard, or was cut|was cut: it has)"):
            ask(str(path))


SAMPLES = {
    "of a text that is not UTF-8": ("str", b"\xff", "sample 1 has 'x' that is no str"),
    "of JSON that is none": ("json", b"{", "sample 1 has 'x' that is no json"),
    "of a number that is none": ("str_int", b"x", "sample 1 has 'x' that is no str_int"),
    "of an array that is too short": ("ndarray", bytes([33, 4, 9, 0, 0]), "sample 1 has 'x' whose numbers do not fill"),
    "of an unknown dtype": ("ndarray", bytes([7, 4, 1, 0]), "sample 1 has 'x' of a dtype that is not known"),
    "of images that are too many": ("list[png]", b"\0" * 4 + b"\xff" * 4, r"sample 1 has 'x' that is no list\[png\]"),
}
GOOD = {"ndarray": bytes([33, 4, 1, 0, 0, 0, 0]), "list[png]": bytes(8)}


@pytest.mark.parametrize("what", SAMPLES)
def test_a_value_that_is_not_of_its_encoding_is_named(tmp_path, what):
    encoding, value, expected = SAMPLES[what]
    path = shard(tmp_path / "a.mds", {"x": encoding}, [[GOOD.get(encoding, b"1")], [value]])
    with pytest.raises(ChunkReadError, match=rf"a\.mds: {expected}"):
        MDSReader().read_file(str(path))


def test_a_sample_that_its_values_do_not_fill_is_named(tmp_path):
    path = shard(tmp_path / "a.mds", {"x": "bytes", "y": "bytes"}, [[b"1", b"2"], [b"345", b"6"]])
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<II", 3, 1), struct.pack("<II", 2, 1)))
    with pytest.raises(ChunkReadError, match=r"a\.mds: sample 1 is damaged: its values do not fill it"):
        MDSReader().read_file(str(path))
    path.write_bytes(data.replace(struct.pack("<II", 3, 1), struct.pack("<II", 2**32 - 1, 1)))
    with pytest.raises(ChunkReadError, match=r"a\.mds: sample 1 is damaged"):
        MDSReader().read_file(str(path))


def test_what_a_shard_says_of_itself_is_checked(tmp_path):
    values = [[b"12345678"]]
    for said, expected in (
        ({"column_sizes": [4]}, r"says that 'x', of int, has 4 bytes in each sample; it has 8"),
        ({"column_names": ["x", "x"]}, "lists that do not agree"),
        ({"column_encodings": [f"ndarray:int8:{10**30}"], "column_sizes": [10**30]}, "larger than it is|can be read"),
        ({"column_encodings": ["str"], "column_sizes": [-4]}, "said to be larger than it is"),
        ({"version": 1}, "is of the format 'mds', version 1"),
        ({"column_names": 5}, "says nothing of its columns that can be read"),
        ({"column_encodings": ["of my own"]}, r"'x' has the encoding 'of my own', which is not known\. Name the other"),
    ):
        path = shard(tmp_path / "a.mds", {"x": "int"}, values, **({"column_sizes": [8]} | said))
        with pytest.raises(ChunkReadError, match=expected):
            MDSReader().read_file(str(path))


def test_columns_are_chosen_by_name():
    path = str(shards_of(PLAIN)[0])
    assert list(MDSReader(columns=["text", "id"]).read_file(path)[0]) == ["text", "id"]
    with pytest.raises(ChunkReadError, match=r"has no column 'y'; it has 'exact', .*Name some of these"):
        MDSReader(columns=["y"]).read_file(path)


def test_a_shard_without_samples_has_none(tmp_path):
    path = shard(tmp_path / "a.mds", {"x": "str"}, [])
    assert MDSReader().read_file(str(path)) == ({}, 0)
    assert MDSReader().find_parts(str(path), chunk_bytes=1) == []
