"""Megatron's documents: one ragged column, and the two files checked against each other."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from shards import SHARDS, assert_parts_are_the_whole, rows_of, write_fresh

from pyloader import DataLoader, MegatronReader, PaddingDataCollator, TokenReader, reader_for
from pyloader.errors import ChunkReadError, DataDirError
from pyloader.testing import check_reader

PATH, ROWS = SHARDS / "a.bin", rows_of("megatron")


@pytest.fixture
def pair(tmp_path):
    """Copies of a .bin and its .idx, as a function of what becomes of the bytes of each."""

    def copied(bin=lambda data: data, idx=lambda data: data):
        for suffix, change in ((".bin", bin), (".idx", idx)):
            (tmp_path / f"a{suffix}").write_bytes(change(bytearray(PATH.with_suffix(suffix).read_bytes())))
        return tmp_path / "a.bin"

    return copied


def test_what_megatron_wrote_comes_back():
    tokens = check_reader(reader_for(PATH), PATH)["tokens"]
    assert tokens.dtype == np.uint16
    assert [row.tolist() for row in tokens] == [row["tokens"].tolist() for row in ROWS]


@pytest.mark.frameworks
def test_fresh_documents_of_megatron_come_back(tmp_path):
    rows = write_fresh(tmp_path / "a.bin", "megatron", num_rows=100, seed=2)
    tokens = MegatronReader().read_file(str(tmp_path / "a.bin"))[0]["tokens"]
    assert [row.tolist() for row in tokens] == [row["tokens"].tolist() for row in rows]


@pytest.mark.parametrize("sizes", [{"chunk_bytes": 1}, {"chunk_bytes": 20}, {"chunk_samples": 5}, {}])
def test_parts_joined_are_the_whole(tmp_path, sizes):
    assert_parts_are_the_whole(MegatronReader(), PATH, tmp_path, **sizes)


@pytest.mark.parametrize("detail", [None, {}, {"dtype": "|O", "lengths": ""}, {"dtype": "<u2", "lengths": "eJw="}])
def test_a_part_that_is_none_of_these_documents_is_refused(detail):
    part = dataclasses.replace(MegatronReader().find_parts(str(PATH), chunk_bytes=2**20)[0], detail=detail)
    with pytest.raises(
        ChunkReadError, match=r"has a part that is not one of Megatron's documents .* Index the file again"
    ):
        MegatronReader().read_part(str(PATH), part)


def test_a_loader_takes_the_index_for_no_chunk(pair):
    directory = pair().parent
    padding = PaddingDataCollator(pad_value=0)
    with DataLoader(data_dir=directory, batch_size=3, num_epochs=1, datacollator=padding) as loader:
        assert sum(int(batch["tokens"].sum()) for batch in loader) == sum(int(row["tokens"].sum()) for row in ROWS)


def test_without_its_index_a_file_is_flat_tokens(pair):
    path = pair()
    path.with_suffix(".idx").unlink()
    with pytest.raises(DataDirError, match="For tokens, pass TokenReader"):
        reader_for(path)
    with pytest.raises(ChunkReadError, match=r"has no a\.idx beside it.*TokenReader\(window=1025\)"):
        MegatronReader().read_file(str(path))
    assert TokenReader(window=4, dtype="uint16").read_file(str(path))[1] > 1


@pytest.mark.parametrize(
    ("bin", "idx", "expected"),
    [
        (lambda data: data[:-2], lambda data: data, r"a\.bin: has \d+ bytes, and a\.idx says \d+\. Fetch both"),
        (lambda data: data, lambda data: data[:-1], r"a\.idx: has \d+ bytes, \d+ expected: it was cut"),
        (lambda data: data, lambda data: data[:20], r"a\.idx: is no index of Megatron's documents"),
        (lambda data: data, lambda data: data[:17] + b"\x63" + data[18:], "with the dtype 99, which is not known"),
        (lambda data: data, lambda data: data[:42] + b"\x09" + data[43:], "its sequences do not lie end to end"),
        (lambda data: data, lambda data: data[:-8] + b"\x01" + data[-7:], "its documents are not made of all its"),
    ],
)
def test_damage_is_an_error_that_names_the_file(pair, bin, idx, expected):
    with pytest.raises(ChunkReadError, match=expected):
        MegatronReader().read_file(str(pair(bin, idx)))


def test_an_index_that_changed_is_read_anew(pair, tmp_path):
    path = pair()
    assert MegatronReader().read_file(str(path))[1] == len(ROWS)
    shutil.copy(PATH, path)
    path.with_suffix(".idx").write_bytes(b"other")
    with pytest.raises(ChunkReadError, match="is no index"):
        MegatronReader().read_file(str(path))
