"""The registry: the reader that a suffix or a manifest names."""

from __future__ import annotations

import json
import shlex
from typing import Any

import numpy as np
import pytest

from pyloader.columns import column_specs
from pyloader.datareader import DataReader
from pyloader.errors import DataDirError, ManifestError
from pyloader.files.compressors import COMPRESSORS
from pyloader.files.manifest import Manifest
from pyloader.read import registry
from pyloader.read.arrayrecord import ArrayRecordReader
from pyloader.read.delimited import DelimitedReader
from pyloader.read.hdf5 import Hdf5Reader
from pyloader.read.jsonl import JsonlReader
from pyloader.read.lance_tables import LanceReader
from pyloader.read.numpy_files import NumpyReader
from pyloader.read.parquet import ParquetReader
from pyloader.read.registry import reader_for, reader_name, register_reader
from pyloader.read.text import TextReader
from pyloader.read.zarr_arrays import ZarrReader

COLUMNS = {"label": np.zeros(3, np.int16), "text": ["a", "b", "c"], "vector": np.zeros((3, 2), np.float32)}


class Problems(DataReader):
    def read_file(self, path):
        return {"text": ["a"]}, 1


class NoReader:
    pass


def manifest(reader: str, columns=COLUMNS) -> Manifest:
    return Manifest(columns=column_specs(columns), reader=reader, chunks=())


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_CLASSES", dict(registry._CLASSES))
    monkeypatch.setattr(registry, "_NAMES", dict(registry._NAMES))


@pytest.mark.parametrize(
    ("name", "reader_class"),
    [
        ("a.jsonl", JsonlReader),
        ("a.ndjson", JsonlReader),
        ("a.csv", DelimitedReader),
        ("a.tsv", DelimitedReader),
        ("a.txt", TextReader),
        ("a.npy", NumpyReader),
        ("a.npz", NumpyReader),
        ("a.columns", NumpyReader),
        ("a.arrayrecord", ArrayRecordReader),
        ("a.array_record", ArrayRecordReader),
        ("a.ar", ArrayRecordReader),
        ("a.h5", Hdf5Reader),
        ("a.hdf5", Hdf5Reader),
        ("a.zarr", ZarrReader),
        ("a.zarr.zip", ZarrReader),
        ("a.lance", LanceReader),
        ("a.parquet", ParquetReader),
        ("a.arrow", ParquetReader),
        ("a.feather", ParquetReader),
    ],
)
def test_the_suffix_chooses_the_reader(tmp_path, name, reader_class):
    assert type(reader_for(tmp_path / name)) is reader_class
    for packing in COMPRESSORS:
        assert type(reader_for(f"{name.upper()}{packing}")) is reader_class


def test_an_unknown_suffix_is_an_error_that_lists_the_known_ones():
    match = r"chunks/a\.riegeli\.gz ends in '\.riegeli', which no reader knows\. Known: \.jsonl, .*register_reader\(\)"
    with pytest.raises(DataDirError, match=match):
        reader_for("chunks/a.riegeli.gz")
    with pytest.raises(DataDirError, match=r"a\.gz has no suffix to choose a reader by"):
        reader_for("a.gz")


@pytest.mark.parametrize(("name", "noun"), [("cat/1.JPG", "images"), ("hum/1.flac", "sounds")])
def test_a_folder_of_images_or_sounds_is_to_be_split_first(name, noun):
    match = rf"no chunk of samples\. Make chunks of the folder of {noun} first: pyloader split \w+/ chunks/ --shuffle"
    with pytest.raises(DataDirError, match=match):
        reader_for(name)


@pytest.mark.usefixtures("own_registry")
def test_users_register_their_own():
    register_reader("problems", Problems, suffixes=(".problems",))
    reader = reader_for("a.problems.zst")
    assert type(reader) is Problems
    assert reader_name(reader) == "problems"
    assert type(reader_for("a.bin", manifest=manifest("problems"))) is Problems


def test_what_is_registered_is_checked():
    with pytest.raises(TypeError, match=r"reader_class must be a DataReader class, got <.*NoReader'>"):
        register_reader("x", NoReader)
    with pytest.raises(TypeError, match=r"suffixes must be a tuple: suffixes=\('\.x',\)"):
        register_reader("x", Problems, suffixes=".x")
    for suffix in ("x", ".X", ".gz", ""):
        with pytest.raises(ValueError, match=f"'{suffix}' is not a suffix; write one like"):
            register_reader("x", Problems, suffixes=(suffix,))


def test_a_name_leads_back_to_its_reader():
    for reader in (JsonlReader(), TextReader(), ParquetReader(), ArrayRecordReader(), DelimitedReader()):
        assert type(reader_for("a", manifest=manifest(reader_name(reader), {}))) is type(reader)
    assert reader_name(Problems()) == f"{__name__}:Problems"


def test_the_users_class_counts_whatever_the_suffix_or_the_manifest_says():
    for known in (None, manifest("text"), manifest("nobody:Knows")):
        assert type(reader_for("a.csv", manifest=known, reader_class=Problems)) is Problems


def test_jsonl_of_a_manifest_has_its_columns_and_dtypes_whatever_a_chunk_holds(tmp_path):
    reader = reader_for("a.jsonl", manifest=manifest("jsonl"))
    line = {"text": "a", "label": 1, "vector": [0.5, 1]}
    for text in ("", json.dumps(line), json.dumps(line | {"label": 2.0, "vector": [1, 2]})):
        (tmp_path / "a.jsonl").write_text(text)
        columns, _ = reader.read_file(str(tmp_path / "a.jsonl"))
        assert {spec for spec in column_specs(columns) if spec.kind == "array"} == {
            spec for spec in column_specs(COLUMNS) if spec.kind == "array"
        }
        assert columns["text"] == (["a"] if text else [])


def test_csv_of_a_manifest_has_its_columns_and_dtypes_whatever_a_chunk_holds(tmp_path):
    known = {"label": np.zeros(3, np.int64), "zip": ["02139"]}
    reader = reader_for("a.csv", manifest=manifest("csv", known))
    for rows in ("", "1,12345\n", "2,02139\n"):
        (tmp_path / "a.csv").write_text(f"label,zip\n{rows}")
        columns, num_samples = reader.read_file(str(tmp_path / "a.csv"))
        assert columns["label"].dtype == np.int64
        assert columns["zip"] == [row.split(",")[1] for row in rows.splitlines()]
        assert num_samples == len(columns["label"])


def test_arrays_of_a_manifest_have_its_names(tmp_path):
    known = {"image": np.zeros((3, 2, 2), np.float16)}
    np.save(tmp_path / "a.npy", known["image"])
    columns, _ = reader_for("a.npy", manifest=manifest("npy", known)).read_file(str(tmp_path / "a.npy"))
    assert list(columns) == ["image"]
    reader: Any = reader_for("a.ar", manifest=manifest("arrayrecord", known))
    assert (reader.dtype, reader.shape, reader.name) == (np.float16, (2, 2), "image")
    reader = reader_for("a.ar", manifest=manifest("arrayrecord", {"record": [b"x"]}))
    assert reader.dtype is None


@pytest.mark.parametrize(
    "name",
    ["problems", "no.such.module:Reader", "json:JSONDecoder", f"{__name__}:Problems", ":", "..:x", "x" * 10**6, ""],
)
def test_a_manifests_reader_that_nobody_registered_is_an_error_that_says_how_to_give_it(name):
    ways = (
        r"Give a reader of your own: datareader=, or register_reader\(\) before, "
        r"or on the command line --reader package\.module:Class"
    )
    with pytest.raises(
        ManifestError, match=rf"chunks/a\.bin is read by .*nobody registered\. Known: jsonl, .*{ways}"
    ) as caught:
        reader_for("chunks/a.bin", manifest=manifest(name))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("jsonl", {"dtypes": 5}, "'int' object is not iterable|has no attribute"),
        ("jsonl", {"columns": "text"}, "columns must be a list of names"),
        ("jsonl", {"columns": [5]}, "columns must be a list of names, got 5 in it"),
        ("jsonl", {"batch_size": "many"}, "batch_size must be int, got 'many'"),
        ("jsonl", {"batch_size": 0}, "batch_size must be at least 1"),
        ("jsonl", {"seed": -1}, "seed must be at least 0"),
        ("npy", {"name": [1]}, r"name must be str, got \[1\]"),
        ("csv", {"delimiter": {}}, "delimiter must be str or None, got {}"),
        ("csv", {"delimiter": "ab"}, "delimiter must be one character"),
        ("jsonl", {"colour": "blue"}, "has no option 'colour'"),
        ("tokens", {}, "missing 1 required keyword-only argument: 'window'"),
        ("arrayrecord", {}, "an ArrayRecord has one column of arrays, not 'label', 'text', 'vector'"),
    ],
)
def test_options_of_a_manifest_that_make_no_reader_are_an_error_of_the_manifest(name, options, match):
    known = Manifest(columns=column_specs(COLUMNS), reader=name, reader_options=options, chunks=())
    with pytest.raises(ManifestError, match=rf"a\.bin is read by '{name}' with .*, says the manifest: .*({match})"):
        reader_for("a.bin", manifest=known)


@pytest.mark.parametrize(("suffix", "package"), [("br", "brotli"), ("snappy", "snappy")])
def test_a_shard_of_mosaicml_that_is_packed_otherwise_is_named_with_what_unpacks_it(suffix, package):
    with pytest.raises(DataDirError, match=f"is packed with {package}, which is not read") as raised:
        reader_for(f"shards/a b.mds.{suffix}")
    words = shlex.split(raised.value.hint.partition(": ")[2])
    assert words[:2] == ["python", "-c"]
    assert f"{package}.decompress(" in words[2]
    assert words[3:] == [f"shards/a b.mds.{suffix}", "shards/a b.mds"]
