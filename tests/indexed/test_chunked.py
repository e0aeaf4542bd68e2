"""ChunkedDataset: random access over what `pyloader split` writes."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from store_server import StoreServer

from pyloader.errors import ChunkReadError, DataDirError, DatasetError, StoreError
from pyloader.indexed.chunked import ChunkedDataset
from pyloader.write import split


@pytest.fixture
def arrays(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(300, dtype=np.float32).reshape(100, 3))
    np.save(tmp_path / "y.npy", np.arange(100))
    split({"image": tmp_path / "x.npy", "label": tmp_path / "y.npy"}, tmp_path / "chunks", chunk_samples=30)
    return tmp_path / "chunks"


@pytest.fixture
def lines(tmp_path):
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"text": f"t{i}", "n": i}) + "\n" for i in range(50)))
    split([tmp_path / "x.jsonl"], tmp_path / "lines", chunk_samples=20)
    return tmp_path / "lines"


def by_label(dataset, name):
    return sorted(range(len(dataset)), key=lambda index: dataset[index][name])


def test_every_sample_of_the_chunks_is_there_once(arrays):
    dataset = ChunkedDataset(arrays)
    assert len(dataset) == 100
    rows = dataset[by_label(dataset, "label")]
    np.testing.assert_array_equal(rows["label"], np.arange(100))
    np.testing.assert_array_equal(rows["image"], np.arange(300, dtype=np.float32).reshape(100, 3))
    rows["image"] += 1  # a copy, not the mapping


def test_chunks_of_lines_keep_text_as_lists(lines):
    dataset = ChunkedDataset(lines)
    rows = dataset[by_label(dataset, "n")]
    assert rows["text"] == [f"t{i}" for i in range(50)]
    np.testing.assert_array_equal(rows["n"], np.arange(50))
    assert dataset[-1] == {"text": f"t{dataset[-1]['n']}", "n": dataset[-1]["n"]}
    assert dataset.take(np.empty(0, np.int64))["text"] == []


def test_a_chunk_is_read_once_while_it_is_kept(lines):
    dataset = ChunkedDataset(lines, cached_chunks=3)
    read = []
    reader = dataset._reader
    original = reader.read_file
    reader.read_file = lambda path: read.append(path) or original(path)
    for _ in range(3):
        dataset.shuffle(2)[:]
    assert len(read) == len(set(read)) == 3
    dataset.close()
    dataset[0]
    assert len(read) == 4


def test_chunks_without_a_manifest_are_refused(lines):
    (lines / "manifest.json").unlink()
    with pytest.raises(DataDirError, match=r"has no manifest.json.* Count them once: pyloader index"):
        ChunkedDataset(lines)


def test_a_manifest_that_miscounts_is_found_out(lines):
    manifest = json.loads((lines / "manifest.json").read_text())
    manifest["chunks"][0]["num_samples"] += 1
    (lines / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=r"samples, and the manifest says"):
        ChunkedDataset(lines)[0]


def test_a_copy_by_pickle_lists_the_chunks_again(arrays):
    dataset = ChunkedDataset(arrays, cached_chunks=2)
    copied = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_equal(copied[[5, 77]], dataset[[5, 77]])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arrays", "lines"])
def test_the_samples_of_a_store_are_those_of_the_disk_and_each_chunk_comes_once(request, tmp_path, kind):
    chunks = request.getfixturevalue(kind)
    expected = ChunkedDataset(chunks)
    with StoreServer() as server:
        server.put_directory(chunks, "bucket/chunks")
        where = {"storage_options": server.s3_options, "cache_dir": tmp_path / "cache"}
        dataset = ChunkedDataset("s3://bucket/chunks", **where)
        assert dataset.origin == "s3://bucket/chunks"
        with pytest.raises(ChunkReadError, match=r"s3://bucket/chunks/chunk-\S+ ?:? ?is not in the cache"):
            ChunkedDataset("s3://bucket/chunks", offline=True, **where)[0]
        for found in (dataset, pickle.loads(pickle.dumps(dataset))):
            assert len(found) == len(expected)
            rows, wanted = found[:], expected[:]
            for name in wanted:
                np.testing.assert_array_equal(rows[name], wanted[name])
        asked = {name: number for name, number in server.requests.items() if name.startswith("GET bucket/chunks/chunk")}
        assert set(asked.values()) == {1}
    offline = ChunkedDataset("s3://bucket/chunks", offline=True, **where)  # the server has ended
    assert str(offline[0]) == str(expected[0])
    with pytest.raises(StoreError, match=r"is not in the cache .* pyloader fetch s3://bucket/others"):
        ChunkedDataset("s3://bucket/others", offline=True, **where)
