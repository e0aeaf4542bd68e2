"""WebDataset shards: samples as webdataset groups them, parts at the first header of a sample, damage by its place."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from shards import SHARDS, WritesAFile, assert_parts_are_the_whole, rows_of, write_fresh

from pyloader import DataLoader, WebDatasetReader, reader_for
from pyloader.errors import ChunkReadError, MemoryBoundError
from pyloader.files import room_of
from pyloader.part import Part
from pyloader.read.webdataset import key_and_extension
from pyloader.testing import check_reader

SHARD = SHARDS / "a.tar"
ROWS = rows_of("webdataset")


def archive(path: Path, files: list[tuple[str, bytes]], *, format: int = tarfile.USTAR_FORMAT, **options: Any) -> Path:
    """Write files into an archive, as Python does."""
    with tarfile.open(path, "w", format=format, **options) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def read(path: Path, **options: Any) -> dict[str, Any]:
    return check_reader(WebDatasetReader(**options), path)


def lists(columns: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in columns.items()}


def test_what_webdataset_wrote_comes_back_byte_for_byte():
    columns = read(SHARD)
    assert list(columns) == ["__key__", "cls", "json", "npy", "seg.png"]
    assert columns["__key__"] == [row["__key__"] for row in ROWS]
    assert list(columns["seg.png"]) == [row["seg.png"] for row in ROWS]
    assert list(columns["cls"]) == [str(row["cls"]).encode() for row in ROWS]
    assert [json.loads(value) for value in columns["json"]] == [row["json"] for row in ROWS]


def as_webdataset_reads(path: Path) -> list[dict[str, Any]]:
    """Return the samples that webdataset makes of a shard."""
    iterators = pytest.importorskip("webdataset.tariterators")
    with open(path, "rb") as stream:
        files = iterators.tar_file_expander([{"url": "", "stream": stream}])
        return [{n: v for n, v in s.items() if n != "__url__"} for s in iterators.group_by_keys(files)]


@pytest.mark.frameworks
def test_a_fresh_shard_of_webdataset_is_read_as_webdataset_reads_it(tmp_path):
    write_fresh(tmp_path / "a.tar", "webdataset", num_rows=100, seed=1)
    columns, theirs = read(tmp_path / "a.tar"), as_webdataset_reads(tmp_path / "a.tar")
    assert lists(columns) == {name: [sample[name] for sample in theirs] for name in columns}
    assert len(theirs) == 50


def test_decode_makes_numbers_text_and_arrays():
    columns = read(SHARD, decode={"cls": int, "json": "json", "npy": "npy"}, columns=["cls", "npy", "json"])
    assert list(columns) == ["cls", "npy", "json"]
    assert columns["cls"].dtype == np.int64
    assert columns["cls"].tolist() == [row["cls"] for row in ROWS]
    np.testing.assert_array_equal(columns["npy"], np.stack([row["npy"] for row in ROWS]))
    assert columns["json"] == [row["json"] for row in ROWS]


def test_arrays_of_unequal_length_are_ragged(tmp_path):
    def npy(array: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue()

    path = archive(tmp_path / "a.tar", [(f"{i}.npy", npy(np.arange(i))) for i in range(4)])
    assert [row.tolist() for row in read(path, decode={"npy": "npy"})["npy"]] == [list(range(i)) for i in range(4)]


NAMES: list[tuple[list[str], dict[str, Any]]] = [
    (["a/b.c/x.jpg", "a/b.c/x.CLS"], {"__key__": ["a/b.c/x"], "cls": 1, "jpg": 1}),
    (["x.seg.png", "x.png"], {"__key__": ["x"], "png": 1, "seg.png": 1}),
    (["./x.jpg", "./y.jpg"], {"__key__": ["./x", "./y"], "jpg": 2}),
    (["README", "__meta__", "__v__/x.jpg", "x.jpg"], {"__key__": ["x"], "jpg": 1}),
]


@pytest.mark.parametrize(("names", "groups"), NAMES)
def test_names_are_grouped_as_webdataset_groups_them(tmp_path, names, groups):
    path = archive(tmp_path / "a.tar", [(name, b"1") for name in names])
    columns = read(path)
    assert {name: v if name == "__key__" else len(v) for name, v in columns.items()} == groups


@pytest.mark.slow
@given(name=st.text("a./_", max_size=12))
def test_keys_are_what_the_pattern_of_webdataset_finds(name):
    found = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", name)  # webdataset.tariterators.base_plus_ext, 1.0.2
    assert key_and_extension(name) == (None if found is None else found.groups())


@pytest.mark.frameworks
@pytest.mark.parametrize("names", [names for names, _ in NAMES])
def test_webdataset_groups_these_names_in_the_same_way(tmp_path, names):
    path = archive(tmp_path / "a.tar", [(name, name.encode()) for name in names])
    columns = lists(read(path))
    assert [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)] == [
        {name: sample[name] for name in columns} for sample in as_webdataset_reads(path)
    ]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_come_whole_and_a_part_begins_at_their_own_headers(tmp_path, format):
    deep = "d" * 60 + "/" + "e" * (90 if format == tarfile.USTAR_FORMAT else 200)
    path = archive(tmp_path / "a.tar", [(f"{deep}{i}.txt", b"text") for i in range(5)], format=format)
    assert read(path)["__key__"] == [f"{deep}{i}" for i in range(5)]
    parts = assert_parts_are_the_whole(WebDatasetReader(), path, tmp_path, chunk_samples=2)
    assert [part.num_samples for part in parts] == [2, 2, 1]


def test_directories_and_links_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind, name in ((tarfile.DIRTYPE, "d.x"), (tarfile.REGTYPE, "d.x/1.txt"), (tarfile.SYMTYPE, "d.x/1.lnk")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "1.txt" if kind == tarfile.SYMTYPE else ""
            tar.addfile(info)
    assert lists(read(tmp_path / "a.tar")) == {"__key__": ["d.x/1"], "txt": [b""]}


def test_what_global_headers_say_is_kept_for_later_parts(tmp_path):
    path = archive(
        tmp_path / "a.tar",
        [(f"{i}.txt", b"12345678") for i in range(6)],
        format=tarfile.PAX_FORMAT,
        pax_headers={"comment": "é", "size": "8"},
    )
    parts = assert_parts_are_the_whole(WebDatasetReader(), path, tmp_path, chunk_samples=4)
    assert [part.detail for part in parts] == [{"said": {"size": "8"}}] * 2
    for said in ({"size": 8}, {"size": "x"}, {"size": "9" * 5000}, {"other": "1"}, None, ["size"]):
        forged = Part(0, 4, parts[0].ranges, {"said": said})
        with pytest.raises(ChunkReadError, match=r"a part that is not one of a tar archive\. Index the file again"):
            WebDatasetReader().read_part(str(path), forged)


@pytest.mark.parametrize("sizes", [{"chunk_bytes": 1}, {"chunk_bytes": 12_000}, {"chunk_samples": 4}, {}])
def test_parts_joined_are_the_whole_shard(tmp_path, sizes):
    parts = assert_parts_are_the_whole(WebDatasetReader(), SHARD, tmp_path, **sizes)
    assert sum(part.num_samples for part in parts) == len(ROWS)
    assert len(parts) == {"chunk_bytes": 2, "chunk_samples": 2}.get(next(iter(sizes), ""), 1) or sizes == {
        "chunk_bytes": 1
    }


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_packed_shard_is_one_chunk_with_the_same_samples(tmp_path, pack):
    path = tmp_path / f"a.tar.{'gz' if pack is gzip.compress else 'zst'}"
    path.write_bytes(pack(SHARD.read_bytes()))
    assert isinstance(reader_for(path), WebDatasetReader)
    assert lists(check_reader(reader_for(path), path)) == lists(read(SHARD))
    assert WebDatasetReader().find_parts(str(path), chunk_bytes=1) is None
    with room_of(30_000), pytest.raises(MemoryBoundError, match=r"a\.tar\."):
        WebDatasetReader().read_file(str(path))


def test_a_key_that_comes_back_is_an_error_with_both_places(tmp_path):
    path = archive(tmp_path / "a.tar", [("1.jpg", b"a"), ("2.jpg", b"b"), ("1.txt", b"c")])
    expected = r"a\.tar: the key '1' at byte 0 comes back at byte 2,048, after another sample\. Put the files of a"
    with pytest.raises(ChunkReadError, match=expected):
        WebDatasetReader().read_file(str(path))
    with pytest.raises(ChunkReadError, match=expected):
        WebDatasetReader().find_parts(str(path), chunk_bytes=1)


def test_an_extension_that_a_sample_has_twice_is_an_error(tmp_path):
    path = archive(tmp_path / "a.tar", [("1.jpg", b"a"), ("1.JPG", b"b")])
    with pytest.raises(ChunkReadError, match=r"the sample '1' has 'jpg' twice, again at byte 1,024"):
        WebDatasetReader().read_file(str(path))


@pytest.mark.parametrize(
    "names", [["1.jpg", "1.cls", "2.jpg"], ["1.jpg", "2.jpg", "2.cls"], ["1.jpg", "2.cls", "2.jpg"]]
)
def test_a_sample_that_lacks_a_column_is_named_or_empty_where_that_was_asked_for(tmp_path, names):
    path = archive(tmp_path / "a.tar", [(name, name.encode()) for name in names])
    with pytest.raises(
        ChunkReadError, match=r"the sample '[12]' at byte [\d,]+ has no 'cls'\. WebDatasetReader\(columns"
    ):
        WebDatasetReader().read_file(str(path))
    assert lists(read(path, columns=["jpg"])) == {"jpg": [b"1.jpg", b"2.jpg"]}
    with_cls = {name[0]: name.encode() for name in names if name.endswith("cls")}
    cls = [with_cls.get(key, b"") for key in "12"]
    assert lists(read(path, missing="empty", columns=["txt", "cls"])) == {"txt": [b"", b""], "cls": cls}
    with pytest.raises(ValueError, match=r"missing='empty' needs columns=\[\.\.\.\]"):
        WebDatasetReader(missing="empty")


def test_pickles_arrive_as_bytes_and_are_never_opened(tmp_path):
    made = tmp_path / "made"
    pickled = pickle.dumps(WritesAFile(str(made)))
    objects = io.BytesIO()
    np.save(objects, np.array([WritesAFile(str(made))], object), allow_pickle=True)
    files = [("1.pyd", pickled), ("1.pickle", pickled), ("1.pth", pickled), ("1.npy", objects.getvalue())]
    path = archive(tmp_path / "a.tar", files)
    assert list(read(path)["pyd"]) == [pickled]
    with pytest.raises(ValueError, match=r"decode\['pyd'\] must be one of 'int', .*, got 'pickle'; pickles stay bytes"):
        WebDatasetReader(decode={"pyd": "pickle"})
    with pytest.raises(ChunkReadError, match=r"'npy' of the sample '1' is no npy \(Object arrays cannot be loaded"):
        WebDatasetReader(decode={"npy": "npy"}).read_file(str(path))
    assert not made.exists()


@pytest.mark.parametrize(
    ("kind", "content"), [("int", b"x"), ("str", b"\xff"), ("json", b"{"), ("npy", b"no"), ("int", b"9" * 30)]
)
def test_bytes_that_are_not_what_decode_says_are_an_error_that_says_what_helps(tmp_path, kind, content):
    path = archive(tmp_path / "a.tar", [("1.x", content)])
    with pytest.raises(ChunkReadError, match=r"a\.tar: 'x'.*Leave 'x' out of decode: then it is bytes"):
        WebDatasetReader(decode={"x": kind}).read_file(str(path))
    assert lists(read(path))["x"] == [content]


CUTS = {
    "inside of a file": (512, r"at byte 0: it ends inside of n01/00000\.cls, which has 1 bytes"),
    "inside of a header": (1024 + 100, r"it ends inside of a header, after 100 of 512 bytes"),
    "before its end": (24_064, "the zero block is missing that ends an archive"),
    "to nothing": (0, "the zero block is missing"),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("way", ["read_file", "find_parts"])
def test_a_shard_that_was_cut_is_an_error_and_no_end(tmp_path, cut, way):
    size, expected = CUTS[cut]
    path = tmp_path / "a.tar"
    path.write_bytes(SHARD.read_bytes()[:size])
    ask = {
        "read_file": WebDatasetReader().read_file,
        "find_parts": lambda p: WebDatasetReader().find_parts(p, chunk_bytes=1),
    }
    with pytest.raises(ChunkReadError, match=rf"a\.tar: is no whole tar archive.*{expected}.*Fetch it again"):
        ask[way](str(path))


def test_the_remedy_for_a_shard_that_was_not_closed_helps(tmp_path):
    path = archive(tmp_path / "a.tar", [("1.txt", b"text")])
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(ChunkReadError, match=r"close it: head -c 1024 /dev/zero >> .*a\.tar"):
        WebDatasetReader().read_file(str(path))
    with open(path, "ab") as file:
        file.write(bytes(1024))
    assert lists(read(path)) == {"__key__": ["1"], "txt": [b"text"]}


def test_what_follows_the_end_is_an_error(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(SHARD.read_bytes() * 2)  # as `cat a.tar b.tar` does: webdataset would lose the second half
    with pytest.raises(ChunkReadError, match="something follows the zero block that ends an archive"):
        WebDatasetReader().read_file(str(path))


def test_a_header_whose_checksum_differs_is_an_error_with_its_place(tmp_path):
    path, data = tmp_path / "a.tar", bytearray(SHARD.read_bytes())
    data[1024] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChunkReadError, match=r"at byte 1,024: there is no header of a member, or its checksum differs"):
        WebDatasetReader().read_file(str(path))


@pytest.mark.parametrize("said", [b"-0000001000\0", b"+0000000003\0", b"0000_000003\0", b"00000000009\0"])
def test_a_size_that_is_no_number_is_an_error_and_not_a_way_back(tmp_path, said):
    data = bytearray(archive(tmp_path / "a.tar", [("0.txt", b"abc")]).read_bytes())
    data[124:136] = said
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 0x20 + sum(data[156:512]))
    (tmp_path / "a.tar").write_bytes(data)
    for ask in (WebDatasetReader().read_file, lambda path: WebDatasetReader().find_parts(path, chunk_bytes=1)):
        with pytest.raises(ChunkReadError, match=r"at byte 0: there is no header of a member: .* is no number"):
            ask(str(tmp_path / "a.tar"))


def test_another_kind_of_file_is_named(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(gzip.compress(SHARD.read_bytes()))
    with pytest.raises(ChunkReadError, match=r"is packed, as \.gz\."):
        WebDatasetReader().read_file(str(path))


def test_an_archive_without_samples_has_none(tmp_path):
    path = archive(tmp_path / "a.tar", [("README", b"text")])
    assert WebDatasetReader().read_file(str(path)) == ({}, 0)
    assert WebDatasetReader().find_parts(str(path), chunk_bytes=1) == []


def test_a_loader_reads_a_directory_of_shards(tmp_path):
    for name in ("0.tar", "1.tar"):
        (tmp_path / name).write_bytes(SHARD.read_bytes())
    with DataLoader(data_dir=tmp_path, batch_size=4, shuffle=True, num_epochs=1) as loader:
        keys = [key for batch in loader for key in batch["__key__"]]
    assert sorted(keys) == sorted([row["__key__"] for row in ROWS] * 2)
