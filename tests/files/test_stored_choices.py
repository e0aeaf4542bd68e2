"""Patterns and lists of addresses name the chunks that they name on a disk."""

from __future__ import annotations

import dataclasses
import os

import pytest
from large_files import index_of, write_large
from ranks import write_counted
from small_stores import store_options, write_chunks_of
from store_server import StoreServer

from pyloader.errors import DataDirError, StoreError
from pyloader.files import StoreOptions, list_chunks


@pytest.fixture
def server():
    with StoreServer() as server:
        yield server


@pytest.fixture
def options(server, tmp_path) -> StoreOptions:
    return store_options(server, tmp_path / "cache")


@pytest.fixture
def put(server, tmp_path):
    """Put two directories of chunks into the store, one with a manifest, and a file in parts."""
    write_counted(tmp_path / "data" / "2025", [10, 20, 30])
    write_chunks_of(".jsonl", tmp_path / "data" / "2026")
    write_chunks_of(".columns", tmp_path / "data" / "2027" / "deep", num_chunks=2)
    index_of(write_large(tmp_path / "data" / "2026", "x.jsonl"))
    (tmp_path / "data" / "2026" / "_SUCCESS").touch()
    server.put_directory(tmp_path / "data", "bucket/data")
    return tmp_path / "data"


def said(chunks):
    """Return what a list says of chunks, wherever they are."""
    counts = None if chunks.counts is None else chunks.counts.tolist()
    return chunks.names, chunks.sizes.tolist(), counts, chunks.fingerprint


@pytest.mark.parametrize(
    "pattern",
    [
        "2025/*",
        "2025/chunk-000[01].*",
        "2026/*.jsonl",
        "202[67]/*",
        "**/*.jsonl",
        "2027/**/*.columns",
        "*/chunk-1.jsonl",
    ],
)
def test_a_pattern_names_what_it_names_on_a_disk(server, options, put, pattern):
    chunks = list_chunks(f"s3://bucket/data/{pattern}", options)
    assert said(chunks) == said(list_chunks(f"{put}/{pattern}"))
    asked = sum(server.requests.values())
    assert said(list_chunks(f"s3://bucket/data/{pattern}", dataclasses.replace(options, offline=True))) == said(chunks)
    assert sum(server.requests.values()) == asked


@pytest.mark.parametrize(
    "names",
    [
        ["2025/chunk-0001.numbered"],
        ["2026/chunk-1.jsonl", "2026/chunk-0.jsonl"],
        ["2026/chunk-1.jsonl", "2025/chunk-0001.numbered"],
        ["2027/deep/chunk-1.columns", "2027/deep/chunk-0.columns"],
        ["2025/chunk-0000.numbered", "2025/chunk-0002.numbered"],
    ],
)
def test_a_list_names_what_it_names_on_a_disk(server, options, put, names):
    urls = [f"s3://bucket/data/{name}" for name in names]
    chunks = list_chunks(urls, options)
    assert said(chunks) == said(list_chunks([os.path.join(put, name) for name in names]))
    asked = sum(server.requests.values())
    assert said(list_chunks(urls, dataclasses.replace(options, offline=True))) == said(chunks)
    assert sum(server.requests.values()) == asked


def test_a_list_of_files_that_http_serves_is_asked_for_one_by_one(server, put, tmp_path):
    names = ["2025/chunk-0000.numbered", "2025/chunk-0002.numbered"]
    options = StoreOptions(cache_dir=str(tmp_path / "cache"))
    chunks = list_chunks([f"{server.url}/bucket/data/{name}" for name in names], options)
    assert said(chunks) == said(list_chunks([os.path.join(put, name) for name in names]))
    assert server.requests["HEAD bucket/data/2025/chunk-0002.numbered"] == 1


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ("s3://bucket/data/*.parquet", "s3://bucket/data/*.parquet matches nothing. In a shell, quote the pattern"),
        (["s3://bucket/a.jsonl", "s3://other/b.jsonl"], "is in another store than s3://bucket/a.jsonl"),
        (["s3://bucket/data/none.jsonl"], "s3://bucket/data/none.jsonl does not exist. A list names chunks"),
        (["s3://bucket/data/2026"], "s3://bucket/data/2026 does not exist. A list names chunks"),
        (["s3://bucket/a.jsonl", "s3://bucket/a.jsonl"], "names s3://bucket/a.jsonl twice. Name it once"),
        (
            ["s3://bucket/a.jsonl", "b.jsonl"],
            "b.jsonl is no address of a store. Write one such as s3://bucket/data",
        ),
        (["https://host/a.jsonl?x=SECRET", "https://host/b.jsonl?x=SECRET2"], "another password or signature in it"),
    ],
)
def test_what_names_nothing_that_can_be_trained_on_together_is_an_error(server, options, put, places, expected):
    with pytest.raises((DataDirError, StoreError)) as caught:
        list_chunks(places, options)
    assert expected in str(caught.value)
    assert "SECRET" not in str(caught.value)
