"""Zarr metadata of strangers: what is damaged, unknown or pickled is an error, and nothing is run."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import zstandard

from pyloader import Ragged
from pyloader.errors import ChunkReadError
from pyloader.read import ZarrReader

V2 = {
    "zarr_format": 2,
    "shape": [4],
    "chunks": [2],
    "dtype": "<i4",
    "compressor": None,
    "fill_value": 0,
    "order": "C",
    "filters": None,
}
V3 = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [4],
    "data_type": "int32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
    "chunk_key_encoding": {"name": "default"},
    "fill_value": 0,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd"}],
}


def write(path, said, chunks=()) -> str:
    place = path / "a.zarr" / "x"
    for name, data in (
        (".zarray" if said.get("zarr_format") == 2 else "zarr.json", json.dumps(said).encode()),
        *chunks,
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return str(path / "a.zarr")


def test_a_store_written_by_hand_is_read_without_the_zarr_package(tmp_path):
    rows = np.arange(4, dtype="<i4")
    chunks = [(f"c/{number}", zstandard.compress(rows[2 * number :][:2].tobytes())) for number in range(2)]
    assert ZarrReader().read_file(write(tmp_path, V3, chunks))[0]["x"].tolist() == [0, 1, 2, 3]
    chunks = [(str(number), rows[2 * number :][:2].tobytes()) for number in range(2)]
    (tmp_path / "2").mkdir()
    assert ZarrReader().read_file(write(tmp_path / "2", V2, chunks))[0]["x"].tolist() == [0, 1, 2, 3]


def test_rows_of_unequal_length_of_version_2_are_ragged(tmp_path):
    numcodecs = pytest.importorskip("numcodecs")
    rows = [np.arange(number, dtype="<i2") for number in range(4)]
    said = V2 | {"dtype": "|O", "filters": [{"id": "vlen-array", "dtype": "<i2"}]}
    encode = numcodecs.VLenArray("<i2").encode
    chunks = [(str(at), bytes(encode(np.array([*rows[2 * at :][:2], None], object)[:2]))) for at in range(2)]
    assert ZarrReader().read_file(write(tmp_path, said, chunks))[0]["x"] == Ragged.from_rows(rows)


@pytest.mark.parametrize(
    ("compressor", "filters"), [(None, [{"id": "pickle", "protocol": 5}]), ({"id": "pickle"}, None), (None, None)]
)
def test_a_pickle_is_never_run(tmp_path, compressor, filters):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    said = V2 | {"dtype": "|O" if compressor is None else "<i4", "compressor": compressor, "filters": filters}
    path = write(tmp_path, said, [("0", pickle.dumps(Harm())), ("1", pickle.dumps(Harm()))])
    match = (
        "holds pickled Python objects" if filters else "is packed by 'pickle'|Python objects, stored nobody says how"
    )
    with pytest.raises(ChunkReadError, match=rf"a\.zarr: array 'x' .*({match})"):
        ZarrReader().read_file(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (V2 | {"shape": [4, 4]}, r"metadata that are damaged \(\.zarray\)"),
        (V2 | {"shape": [-4]}, r"damaged \(shape\)"),
        (V2 | {"shape": "4"}, r"damaged \(shape\)"),
        (V2 | {"chunks": [0]}, r"damaged \(chunks\)"),
        (V2 | {"chunks": [True]}, r"damaged \(chunks\)"),
        (V2 | {"shape": [4] * 40, "chunks": [1] * 40}, r"damaged \(shape\)"),
        (V2 | {"order": "K"}, "damaged"),
        (V2 | {"dtype": [["a", "<i4"]]}, r"holds compounds \(\[\['a', '<i4'\]\]\)"),
        (V2 | {"dtype": "V4"}, "holds values of the kind 'V4'"),
        (V2 | {"dtype": "no"}, r"damaged \(dtype 'no'\)"),
        (V2 | {"fill_value": "x"}, r"damaged \(fill_value 'x'\)"),
        (V2 | {"dtype": "|O", "filters": [{"id": "json2"}]}, "holds Python objects, stored by 'json2'"),
        (V2 | {"filters": ["delta"]}, "has a filter that is damaged"),
        (V2 | {"filters": [{"id": "vlen-utf8"}, {"id": "delta"}]}, "filters beside rows of unequal length"),
        (V2 | {"compressor": "zstd"}, r"damaged \(compressor\)"),
        (V3 | {"data_type": "r16"}, "holds values of the kind 'r16'"),
        (V3 | {"data_type": {"name": "numpy.datetime64"}}, "metadata that are damaged"),
        (V3 | {"data_type": 5}, r"damaged \(5\)"),
        (V3 | {"chunk_grid": {"name": "rectangular"}}, r"damaged \(chunk_shape\)|laid out as 'rectangular'"),
        (V3 | {"codecs": []}, "stored by the codec ''"),
        (V3 | {"codecs": [{"name": "numcodecs.pickle"}]}, "stored by the codec 'numcodecs.pickle'"),
        (V3 | {"codecs": [{"name": "transpose", "configuration": {"order": [1]}}, "bytes"]}, r"damaged \(transpose\)"),
        (V3 | {"storage_transformers": [{}]}, "has storage transformers"),
        (
            V3
            | {
                "codecs": [
                    {"name": "sharding_indexed", "configuration": {"chunk_shape": [3], "index_codecs": ["bytes"]}}
                ]
            },
            "shards that do not hold whole chunks",
        ),
        (
            V3
            | {
                "codecs": [
                    {"name": "sharding_indexed", "configuration": {"chunk_shape": [1], "index_codecs": ["zstd"]}}
                ]
            },
            "an index of shards of an unknown form",
        ),
    ],
)
def test_metadata_that_are_wrong_or_unknown_are_an_error_that_says_so(tmp_path, said, match):
    with pytest.raises(ChunkReadError, match=rf"a\.zarr: array 'x' .*{match}.*\. Name the arrays to read"):
        ZarrReader().read_file(write(tmp_path, said))


@pytest.mark.parametrize("text", [b"", b"[1]", b"{}", b'{"zarr_format": 2}', b"\xff", b"[" * 10**5])
def test_metadata_that_are_no_json_are_an_error(tmp_path, text):
    place = tmp_path / "a.zarr" / "x"
    place.mkdir(parents=True)
    (place / "zarr.json").write_bytes(text)
    with pytest.raises(ChunkReadError, match=r"a\.zarr: (is damaged, or no Zarr|has metadata that are damaged)"):
        ZarrReader().read_file(str(tmp_path / "a.zarr"))
