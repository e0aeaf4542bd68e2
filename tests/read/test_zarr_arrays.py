"""Zarr: arrays as the zarr package wrote them, in versions 2 and 3, come back as they were, without that package."""

from __future__ import annotations

import shutil
import struct
import warnings
import zipfile

import numpy as np
import pytest
from part_copies import check_parts

from pyloader import DataLoader, Ragged
from pyloader.errors import ChunkReadError, MemoryBoundError
from pyloader.files import room_of
from pyloader.read import ZarrReader
from pyloader.testing import check_reader

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")
pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning", "ignore::FutureWarning")

NUMBERS = np.arange(60).reshape(20, 3)
TEXTS = [f"text {number} é" for number in range(20)]
CODECS = zarr.codecs


def group(store, version: int):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zarr.open_group(store, mode="w", zarr_format=version)


def array(into, name: str, data: np.ndarray, **options) -> np.ndarray:
    with warnings.catch_warnings():  # of what version 3 does not say
        warnings.simplefilter("ignore")
        made = into.create_array(name, shape=data.shape, dtype=options.pop("dtype", data.dtype), **options)
        made[:] = data
    return data


def zipped(path) -> None:
    """Pack a group into a zip file, and remove its directory."""
    with zipfile.ZipFile(f"{path}.zip", "w") as archive:
        for file in sorted(path.rglob("*")):
            archive.write(file, file.relative_to(path).as_posix())
    shutil.rmtree(path)


@pytest.fixture(scope="module", autouse=True)
def zarr_has_its_threads():
    """Have zarr start the threads that it keeps."""
    array(group(zarr.storage.MemoryStore(), 3), "x", NUMBERS, chunks=(1, 1))


def written(path, version: int) -> dict[str, np.ndarray]:
    into = group(path, version)
    common = {
        "plain": array(into, "plain", NUMBERS, chunks=(6, 2), compressors=None),
        "default": array(into, "default", NUMBERS / 7, chunks=(6, 2), fill_value=np.nan),
        "good": array(into, "good", NUMBERS[:, 0] % 2 == 0, chunks=(7,)),
        "complex": array(into, "complex", NUMBERS[:, 0] * 1j, chunks=(7,)),
        "when": array(into, "when", NUMBERS[:, 0].astype("M8[ns]"), chunks=(7,)),
        "half": array(into, "half", NUMBERS.astype("f2"), chunks=(20, 3)),
    }
    if version == 2:
        return common | {
            "blosc": array(
                into, "blosc", NUMBERS.astype(">f8"), chunks=(6, 2), order="F", compressors=numcodecs.Blosc()
            ),
            "lz4": array(into, "lz4", NUMBERS[:, 0], chunks=(7,), compressors=numcodecs.LZ4()),
            "bz2": array(into, "bz2", NUMBERS, chunks=(7, 3), compressors=numcodecs.BZ2()),
            "xz": array(into, "xz", NUMBERS, chunks=(7, 3), compressors=numcodecs.LZMA()),
            "zlib": array(into, "zlib", NUMBERS, chunks=(7, 3), compressors=numcodecs.Zlib()),
            "delta": array(into, "delta", NUMBERS[:, 0].astype("i4"), chunks=(7,), filters=[numcodecs.Delta("<i4")]),
        }
    return common | {
        "shards": array(into, "shards", NUMBERS, chunks=(2, 3), shards=(8, 3)),
        "blosc": array(into, "blosc", NUMBERS, chunks=(6, 2), compressors=CODECS.BloscCodec(cname="zstd")),
        "turned": array(
            into,
            "turned",
            NUMBERS,
            chunks=(6, 2),
            filters=[CODECS.TransposeCodec(order=(1, 0))],
            compressors=[CODECS.GzipCodec(), CODECS.Crc32cCodec()],
        ),
        "big": array(into, "big", NUMBERS, chunks=(6, 2), serializer=CODECS.BytesCodec(endian="big")),
        "dots": array(into, "dots", NUMBERS, chunks=(6, 2), chunk_key_encoding={"name": "v2", "separator": "."}),
    }


@pytest.mark.parametrize("in_zip", [False, True], ids=["directory", "zip"])
@pytest.mark.parametrize("version", [2, 3])
def test_arrays_come_back_by_the_bit(tmp_path, version, in_zip):
    path = tmp_path / "a.zarr"
    expected = written(path, version)
    if in_zip:
        zipped(path)
    columns = check_reader(ZarrReader(), tmp_path / ("a.zarr.zip" if in_zip else "a.zarr"))
    assert columns.keys() == expected.keys()
    for name, data in expected.items():
        np.testing.assert_array_equal(columns[name], data, err_msg=name)
        assert columns[name].dtype == data.dtype.newbyteorder("="), name


def test_what_zarr_writes_into_a_zip_file_itself_comes_back(tmp_path):
    with warnings.catch_warnings():  # metadata are written twice
        warnings.simplefilter("ignore")
        with zarr.storage.ZipStore(tmp_path / "a.zarr.zip", mode="w") as store:
            array(group(store, 3), "x", NUMBERS, chunks=(6, 2))
    np.testing.assert_array_equal(check_reader(ZarrReader(), tmp_path / "a.zarr.zip")["x"], NUMBERS)


@pytest.mark.parametrize("version", [2, 3])
def test_text_and_bytes_come_back(tmp_path, version):
    into = group(tmp_path / "a.zarr", version)
    array(into, "text", np.array(TEXTS, object), dtype=str, chunks=(7,))
    array(into, "fixed", np.array(TEXTS), chunks=(7,))
    array(into, "code", np.array([text[:6].encode() for text in TEXTS]), chunks=(7,))
    if version == 3:
        raw = np.array([b"x" * number for number in range(20)], object)
        array(into, "raw", raw, dtype="variable_length_bytes", chunks=(7,))
    columns = check_reader(ZarrReader(), tmp_path / "a.zarr")
    assert columns["text"] == columns["fixed"] == TEXTS
    assert columns["code"] == [text[:6] for text in TEXTS]
    if version == 3:
        assert columns["raw"] == Ragged.from_rows([b"x" * number for number in range(20)])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "fill"), [("f4", np.nan), ("f8", -np.inf), ("i2", 7), ("?", True), ("c8", 1 + 2j), ("M8[s]", "NaT")]
)
def test_chunks_that_are_not_there_hold_the_fill_value(tmp_path, version, dtype, fill):
    into = group(tmp_path / "a.zarr", version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        into.create_array("x", shape=(10, 2), chunks=(3, 2), dtype=dtype, fill_value=np.array(fill, dtype)[()])
        expected = into["x"][...]
    np.testing.assert_array_equal(ZarrReader().read_file(str(tmp_path / "a.zarr"))[0]["x"], expected)
    assert np.isin(expected, np.array(fill, dtype)).all() or expected[0, 0] != expected[0, 0]


def test_missing_chunks_of_shards_and_text_are_filled(tmp_path):
    into = group(tmp_path / "a.zarr", 3)
    into.create_array("x", shape=(20,), chunks=(2,), shards=(8,), dtype="i4", fill_value=5)[8:10] = 1
    into.create_array("text", shape=(20,), chunks=(4,), dtype=str, fill_value="none")[4:6] = "some"
    columns, _ = ZarrReader().read_file(str(tmp_path / "a.zarr"))
    assert columns["x"].tolist() == [5] * 8 + [1, 1] + [5] * 10
    assert columns["text"] == ["none"] * 4 + ["some"] * 2 + ["none"] * 14


@pytest.mark.parametrize("in_zip", [False, True], ids=["directory", "zip"])
def test_parts_begin_where_chunks_or_shards_begin_in_all_arrays(tmp_path, in_zip):
    path = tmp_path / "a.zarr"
    into = group(path, 3)
    array(into, "x", np.arange(100), chunks=(4,))
    array(into, "y", np.arange(300).reshape(100, 3), chunks=(3, 2), shards=(6, 4))
    array(into, "text", np.array(TEXTS * 5, object), dtype=str, chunks=(12,))
    array(into, "beside/other", np.arange(1000))
    if in_zip:
        zipped(path)
        path = tmp_path / "a.zarr.zip"
    parts = check_parts(ZarrReader(), path, tmp_path / "copies", chunk_samples=30)
    assert [part.first for part in parts] == [0, 24, 48, 72, 96]
    assert all(part.num_bytes < sum(part.num_bytes for part in parts) / 3 for part in parts)


def test_arrays_are_named_by_their_paths_and_an_array_alone_is_a_column(tmp_path):
    path = tmp_path / "a.zarr"
    into = group(path, 3)
    for name, data in (("train/x", NUMBERS), ("train/y", NUMBERS[:, 0]), ("y", NUMBERS[:5])):
        array(into, name, data)
    into.create_array("single", shape=(), dtype="f4")
    columns, _ = ZarrReader(columns=["train/y", "train/x"]).read_file(str(path))
    np.testing.assert_array_equal(columns["train/x"], NUMBERS)
    assert list(ZarrReader().read_file(str(path))[0]) == ["y"]
    for names, match in (
        (["train"], r"has no array 'train'; it has 'single', 'y'\. Name the arrays to read: columns="),
        (["../a.zarr/y"], "has no array"),
        (["single"], "array 'single' is a single value, not rows"),
        (["train/x", "y"], "'train/x' has 20 rows and 'y' has 5"),
        ([], "holds no arrays with rows"),
    ):
        with pytest.raises(ChunkReadError, match=rf"a\.zarr: {match}"):
            ZarrReader(columns=names).read_file(str(path))
    columns, _ = ZarrReader().read_file(str(path / "train" / "x"))
    np.testing.assert_array_equal(columns["data"], NUMBERS)


def test_a_cut_chunk_is_an_error_that_names_the_array(tmp_path):
    path = tmp_path / "a.zarr"
    written(path, 3)
    files = [file for file in path.rglob("*") if file.is_file() and file.name.isdecimal()]
    assert len(files) > 20
    for file in files:
        whole = file.read_bytes()
        name = file.relative_to(path).parts[0]
        for length in (0, 1, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:length])
            with pytest.raises(ChunkReadError, match=rf"a\.zarr: array '{name}' .*Fetch it again, or max_skipped=1"):
                ZarrReader(columns=[name]).read_file(str(path))
        file.write_bytes(whole)


def test_a_damaged_index_of_shards_is_found_by_its_checksum(tmp_path):
    into = group(tmp_path / "a.zarr", 3)
    array(into, "x", np.arange(16), chunks=(2,), shards=(8,))
    shard = tmp_path / "a.zarr" / "x" / "c" / "0"
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ChunkReadError, match="array 'x' is damaged: the checksum of the index of x/c/0 is another"):
        ZarrReader().read_file(str(tmp_path / "a.zarr"))


@pytest.mark.parametrize("where", ["start", "end"])
def test_an_index_of_shards_without_a_checksum_is_bounded_by_its_file(tmp_path, where):
    into = group(tmp_path / "a.zarr", 3)
    codec = CODECS.ShardingCodec(chunk_shape=(2,), index_location=where, index_codecs=[CODECS.BytesCodec()])
    array(into, "x", np.arange(16), chunks=(8,), serializer=codec, compressors=None)
    assert ZarrReader().read_file(str(tmp_path / "a.zarr"))[0]["x"].tolist() == list(range(16))
    shard = tmp_path / "a.zarr" / "x" / "c" / "0"
    data = bytearray(shard.read_bytes())
    for offset, length in ((2**40, 16), (0, 2**62), (2**64 - 2, 1)):
        struct.pack_into("<QQ", data, 0 if where == "start" else len(data) - 64, offset, length)
        shard.write_bytes(data)
        with pytest.raises(ChunkReadError, match="array 'x' is damaged: the index of x/c/0 reaches beyond its end"):
            ZarrReader().read_file(str(tmp_path / "a.zarr"))


def test_rows_that_only_metadata_have_are_not_cut_into_parts(tmp_path):
    group(tmp_path / "a.zarr", 3).create_array("x", shape=(10**15,), chunks=(1,), dtype="i1")
    with pytest.raises(ChunkReadError, match=r"says that it has 1,000,000,000,000,000 rows, in a file of"):
        ZarrReader().find_parts(str(tmp_path / "a.zarr"), chunk_bytes=1, chunk_samples=1)
    with pytest.raises(ChunkReadError, match=r"array 'x' has 1,000,000,000,000,000 chunks, and 100,000,000 at most"):
        ZarrReader().find_parts(str(tmp_path / "a.zarr"), chunk_bytes=2**60)


def test_what_is_no_zarr_is_an_error(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr.zip").write_bytes(b"PK" + bytes(100))
    with pytest.raises(ChunkReadError, match=r"a\.zarr: holds no arrays with rows at its root"):
        ZarrReader().read_file(str(tmp_path / "a.zarr"))
    with pytest.raises(ChunkReadError, match=r"a\.zarr\.zip: is damaged, or no Zarr"):
        ZarrReader().read_file(str(tmp_path / "a.zarr.zip"))
    with pytest.raises(FileNotFoundError, match=r"none\.zarr"):
        ZarrReader().read_file(str(tmp_path / "none.zarr"))


def test_rows_that_were_never_written_are_stopped_at_the_bound(tmp_path):
    group(tmp_path / "a.zarr", 3).create_array("x", shape=(10**12,), chunks=(10**6,), dtype="f8")
    with room_of(10**6), pytest.raises(MemoryBoundError, match=r"a\.zarr: takes more than"):
        ZarrReader().read_file(str(tmp_path / "a.zarr"))


def test_directories_are_chunks_of_a_set(tmp_path):
    for number in range(3):
        array(group(tmp_path / f"{number}.zarr", 3), "x", NUMBERS + 60 * number, chunks=(6, 3))
    with DataLoader(data_dir=tmp_path, batch_size=8, shuffle=True, num_epochs=1, num_workers=2) as loader:
        rows = np.concatenate([batch["x"] for batch in loader])
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.arange(180).reshape(60, 3))
