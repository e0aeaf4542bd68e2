"""Directories that are one chunk: their size, and where their bytes are."""

from __future__ import annotations

import pytest

from pyloader.errors import DataDirError
from pyloader.files import checksum_of, list_chunks
from pyloader.files.chunk_directories import chunk_bytes, file_spans, is_chunk_directory, spans_within

FILES = {"b/0": b"second", "a": b"first", "b/c/1": b"", "c": b"third"}


@pytest.fixture
def place(tmp_path):
    for name, data in FILES.items():
        (tmp_path / "x.zarr" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x.zarr" / name).write_bytes(data)
    (tmp_path / "x.zarr" / "up").symlink_to(tmp_path)
    return tmp_path / "x.zarr"


def test_a_directory_is_as_large_as_the_files_below_it(place):
    assert is_chunk_directory("chunks/x.zarr")
    assert not is_chunk_directory("chunks/zarr")
    assert chunk_bytes(place) == sum(map(len, FILES.values()))
    flat = place.rename(place.with_name("x.columns"))
    assert chunk_bytes(flat) == len(FILES["a"]) + len(FILES["c"])  # as it always was


def test_bytes_of_a_directory_are_those_of_its_files_in_their_order(place):
    spans, joined = file_spans(place), b"".join(FILES[name] for name in sorted(FILES))
    assert [name for name, _, _ in spans] == sorted(FILES)
    for start in range(len(joined) + 1):
        for stop in range(start, len(joined) + 1):
            found = b"".join(FILES[name][low:high] for name, low, high in spans_within(spans, start, stop))
            assert found == joined[start:stop]


def test_a_checksum_of_some_bytes_of_a_directory_is_of_these_alone(place, tmp_path):
    (tmp_path / "joined").write_bytes(b"".join(FILES[name] for name in sorted(FILES)))
    ranges = [(1, 3), (4, 11)]
    before = checksum_of(place, ranges)
    assert before == checksum_of(tmp_path / "joined", ranges)
    (place / "c").write_bytes(b"other")
    assert checksum_of(place, ranges) == before
    (place / "a").write_bytes(b"FIRST")
    assert checksum_of(place, ranges) != before


def test_a_chunk_directory_is_named_and_found_as_a_file_is(place, tmp_path):
    for data_dir in (tmp_path, place, f"{tmp_path}/*.zarr", f"{tmp_path}/**/*.zarr", [place]):
        chunks = list_chunks(data_dir)
        assert (chunks.names, chunks.sizes.tolist()) == (("x.zarr",), [16])
    (tmp_path / "other").mkdir()
    with pytest.raises(DataDirError, match="names the directory"):
        list_chunks([tmp_path / "other"])
