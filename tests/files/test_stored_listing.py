"""Which chunks lie at an address; what differs from the manifest, or is nothing, is an error that says so."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
from pathlib import Path

import pytest
from ranks import write_counted
from small_stores import gets, store_options, write_chunks_of
from store_server import StoreServer

from pyloader.deliver import called_at_once
from pyloader.errors import DataDirError, FileError, ManifestError, StoreError
from pyloader.files import FetchTerms, StoreOptions, list_chunks
from pyloader.files.stored_listing import list_stored
from pyloader.files.stores.remote import RemoteStore
from pyloader.write import ChunkWriter


@pytest.fixture
def server():
    with StoreServer() as server:
        yield server


@pytest.fixture
def options(server, tmp_path) -> StoreOptions:
    return store_options(server, tmp_path / "cache")


def put_counted(server: StoreServer, directory: Path, name: str = "chunks") -> Path:
    """Store chunks with a manifest, and return where they are on the disk."""
    write_counted(directory, [10, 20, 30])
    server.put_directory(directory, f"bucket/{name}")
    return directory


def error_at(address: str, options: StoreOptions) -> FileError:
    with pytest.raises(FileError) as caught:
        list_stored(address, options)
    return caught.value


@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_store_has_the_chunks_that_the_same_directory_has(server, options, tmp_path, with_manifest):
    directory = write_counted(tmp_path / "chunks", [10, 20, 30])
    (directory / "more").mkdir()
    for name in ("README.md", ".hidden", "_SUCCESS", "more/.part.crc"):
        (directory / name).write_text("no chunk")
    if not with_manifest:
        (directory / "manifest.json").unlink()
        shutil.copy(directory / "chunk-0000.numbered", directory / "more/chunk.numbered")
    server.put_directory(directory, "bucket/chunks")
    server.page_size = 2
    found, on_disk = list_stored("s3://bucket/chunks", options), list_chunks(directory)
    assert list(found.names) == list(on_disk.names)
    assert found.sizes.tolist() == on_disk.sizes.tolist()
    assert (found.manifest is None) is not with_manifest
    assert found.path(0) == "s3://bucket/chunks/chunk-0000.numbered"
    assert not gets(server), "listing fetches no chunk"


def test_the_address_of_a_manifest_is_that_of_its_chunks(server, options, tmp_path):
    put_counted(server, tmp_path / "chunks")
    assert len(list_stored("s3://bucket/chunks/manifest.json", options)) == 3
    assert len(list_stored("s3://bucket/chunks/", options)) == 3


def test_a_directory_of_columns_is_one_chunk(server, options, tmp_path):
    server.put_directory(write_chunks_of(".columns", tmp_path / "chunks", num_chunks=2), "bucket/chunks")
    found = list_stored("s3://bucket/chunks", options)
    assert list(found.names) == ["chunk-0.columns", "chunk-1.columns"]
    assert found.sizes.tolist() == list_chunks(tmp_path / "chunks").sizes.tolist()


def test_at_an_address_where_nothing_is_the_error_says_so(options):
    error = error_at("s3://bucket/chunks", options)
    assert isinstance(error, DataDirError)
    hint = "Is the address right? To make some there: pyloader split DUMP... s3://bucket/chunks"
    assert str(error) == f"s3://bucket/chunks holds no chunk files. {hint}"


def test_sets_below_the_address_are_named(server, options, tmp_path):
    put_counted(server, tmp_path / "train", "data/train")
    put_counted(server, tmp_path / "val", "data/val")
    error = error_at("s3://bucket/data", options)
    assert isinstance(error, DataDirError)
    assert "holds chunk sets below it: train/, val/." in str(error)
    assert "data_dir='s3://bucket/data/train'" in str(error)  # which is the remedy
    assert len(list_stored("s3://bucket/data/train", options)) == 3


def test_a_manifest_elsewhere_counts_where_it_is_named_and_nowhere_else(server, options, tmp_path):
    directory = put_counted(server, tmp_path / "chunks")
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest = {**manifest, "chunks": manifest["chunks"][:2]}
    server.put("bucket/chunks/two.manifest.json", json.dumps(manifest).encode())
    there = json.dumps({**manifest, "root": "s3://bucket/chunks"}).encode()
    for place in ("bucket/elsewhere/manifest.json", "bucket/elsewhere/more.manifest.json"):
        server.put(place, there)
    (tmp_path / "mine.manifest.json").write_bytes(there)
    places = ["chunks/two.manifest.json", "elsewhere/manifest.json", "elsewhere/more.manifest.json"]
    for place in (*(f"s3://bucket/{place}" for place in places), str(tmp_path / "mine.manifest.json")):
        assert len(list_chunks(place, options)) == 2
        assert len(list_chunks(place, dataclasses.replace(options, offline=True))) == 2
    assert len(list_stored("s3://bucket/chunks", options)) == 3
    hint = "To go there, name the manifest: data_dir='s3://bucket/elsewhere/manifest.json'"
    assert hint in str(error_at("s3://bucket/elsewhere", options))


def test_a_manifest_elsewhere_must_lead_to_an_address_and_gets_no_headers_of_another_server(server, options, tmp_path):
    directory = put_counted(server, tmp_path / "chunks")
    manifest = json.loads((directory / "manifest.json").read_text())
    place = tmp_path / "mine.manifest.json"
    place.write_text(json.dumps({**manifest, "root": f"{server.url}/bucket/chunks"}))
    assert len(list_chunks(place, dataclasses.replace(options, storage_options={}))) == 3
    heard = len(server.heard)
    with pytest.raises(
        ManifestError, match=r"headers are sent only to a server that you name\. Copy it there, as http"
    ):
        list_chunks(place, dataclasses.replace(options, storage_options={"headers": {"Authorization": "Bearer x"}}))
    assert len(server.heard) == heard
    for root in ("/elsewhere", f"file://{directory}"):
        server.put("bucket/mine.manifest.json", json.dumps({**manifest, "root": root}).encode())
        error = error_at("s3://bucket/mine.manifest.json", options)
        assert f"lists chunks in {root}, which is no address of a store. Index the address" in str(error)


def test_a_chunk_that_the_manifest_lists_and_the_store_lacks_is_an_error(server, options, tmp_path):
    put_counted(server, tmp_path / "chunks")
    del server.objects["bucket/chunks/chunk-0001.numbered"]
    error = error_at("s3://bucket/chunks", options)
    assert isinstance(error, ManifestError)
    assert "s3://bucket/chunks/manifest.json lists chunk-0001.numbered, which is missing." in str(error)


def test_a_chunk_of_another_size_is_an_error_that_says_both(server, options, tmp_path):
    put_counted(server, tmp_path / "chunks")
    server.put("bucket/chunks/chunk-0001.numbered", b"12345678")
    error = error_at("s3://bucket/chunks", options)
    assert isinstance(error, ManifestError)
    assert "says that chunk-0001.numbered has 5 bytes; it has 8." in str(error)


def test_a_chunk_of_more_samples_than_memory_could_order_is_an_error(server, options, tmp_path):
    directory = put_counted(server, tmp_path / "chunks")
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["chunks"][0]["num_samples"] = 2**60
    server.put("bucket/chunks/manifest.json", json.dumps(manifest).encode())
    assert "whose order alone does not fit in memory" in str(error_at("s3://bucket/chunks", options))


def test_a_manifest_that_is_none_is_an_error_at_its_address(server, options, tmp_path):
    put_counted(server, tmp_path / "chunks")
    server.put("bucket/chunks/manifest.json", b"{")
    error = error_at("s3://bucket/chunks", options)
    assert isinstance(error, ManifestError)
    assert error.path == "s3://bucket/chunks/manifest.json"


def test_a_manifest_of_chunks_that_lie_elsewhere_is_an_error(server, options, tmp_path):
    directory = put_counted(server, tmp_path / "chunks")
    manifest = json.loads((directory / "manifest.json").read_text())
    server.put("bucket/chunks/manifest.json", json.dumps({**manifest, "root": "/elsewhere"}).encode())
    assert "lists chunks in another directory, /elsewhere" in str(error_at("s3://bucket/chunks", options))


def test_http_takes_the_list_from_the_manifest(server, options, tmp_path):
    put_counted(server, tmp_path / "chunks")
    found = list_stored(f"{server.url}/bucket/chunks", StoreOptions(cache_dir=options.cache_dir))
    assert found.sizes.tolist() == [4, 5, 5]


def test_http_without_a_manifest_is_an_error_that_says_to_make_one(server, options, tmp_path):
    directory = put_counted(server, tmp_path / "chunks")
    del server.objects["bucket/chunks/manifest.json"]
    address = f"{server.url}/bucket/chunks"
    error = error_at(address, StoreOptions(cache_dir=options.cache_dir))
    assert isinstance(error, DataDirError)
    assert f"{address} has no manifest.json, and nothing else lists what is there." in str(error)
    server.put("bucket/chunks/manifest.json", (directory / "manifest.json").read_bytes())  # which is the remedy
    assert len(list_stored(address, StoreOptions(cache_dir=options.cache_dir))) == 3


def test_manifest_and_list_are_asked_for_at_the_same_time(server, options, tmp_path):
    put_counted(server, tmp_path / "chunks")
    met = threading.Barrier(2, timeout=60)
    for method in ("GET", "LIST"):
        server.add_fault("*", method=method, before=met.wait)
    assert len(list_stored("s3://bucket/chunks", dataclasses.replace(options, called=called_at_once))) == 3


def test_a_list_that_is_older_than_the_manifest_is_asked_for_again(server, options, tmp_path, monkeypatch):
    put_counted(server, tmp_path / "chunks")
    listed = RemoteStore.list
    asked = []

    def older_at_first(store):
        asked.append(store)
        return (stored for stored in listed(store) if len(asked) > 1 or "0001" not in stored.name)

    monkeypatch.setattr(RemoteStore, "list", older_at_first)
    assert len(list_stored("s3://bucket/chunks", options)) == 3
    assert len(asked) == 2


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_the_address_of_one_object_is_a_chunk(server, options, tmp_path, scheme):
    server.put("bucket/some/a day.jsonl", b'{"x": 1}\n')
    given = options if scheme == "s3" else StoreOptions(cache_dir=options.cache_dir)
    url = "s3://bucket/some/a day.jsonl" if scheme == "s3" else f"{server.url}/bucket/some/a%20day.jsonl"
    for _ in range(2):
        found = list_stored(url, given)
        assert (found.names, found.sizes.tolist(), found.manifest) == (("a day.jsonl",), [9], None)
        assert str(found.root) == url.rpartition("/")[0]
        with found.held(0, FetchTerms(wait=lambda seconds: False)) as path, open(path, "rb") as file:
            assert file.read() == b'{"x": 1}\n'
        found.stored.close()
        given = dataclasses.replace(given, offline=True)


def test_directories_of_columns_over_http_are_an_error(server, options, tmp_path):
    with ChunkWriter(tmp_path / "chunks", format="columns") as writer:
        writer.write({"x": 1})
    server.put_directory(tmp_path / "chunks", "bucket/chunks")
    error = error_at(f"{server.url}/bucket/chunks", StoreOptions(cache_dir=options.cache_dir))
    assert isinstance(error, DataDirError)
    assert "a directory of columns, and HTTP does not say what is in it" in str(error)
    assert len(list_stored("s3://bucket/chunks", options)) == 1


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Note how long is waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr("pyloader.files.fetching.time.sleep", found.append)
    return found


@pytest.mark.parametrize(("status", "num_tries"), [(403, 1), (500, 4)])
def test_a_store_that_does_not_answer_is_an_error_with_the_status(server, options, waits, status, num_tries):
    server.add_fault("*", status=status, times=None)
    error = error_at("s3://bucket/chunks", options)
    assert isinstance(error, StoreError)
    assert error.status == status
    assert server.requests["GET bucket/chunks/manifest.json"] == num_tries == len(waits) + 1


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_what_may_pass_keeps_nobody_from_listing(server, options, tmp_path, waits, scheme):
    put_counted(server, tmp_path / "chunks")
    for method in ("GET", "LIST", "HEAD"):
        server.add_fault("*", method=method, status=500)
    address = "s3://bucket/chunks" if scheme == "s3" else f"{server.url}/bucket/chunks"
    given = options if scheme == "s3" else StoreOptions(cache_dir=options.cache_dir)
    assert len(list_stored(address, given)) == 3
    assert len(waits) == 2


def test_offline_the_latest_list_is_taken_and_nothing_is_asked(server, options, tmp_path):
    put_counted(server, tmp_path / "chunks")
    list_stored("s3://bucket/chunks", options)
    put_counted(server, tmp_path / "others")
    server.put("bucket/chunks/manifest.json", (tmp_path / "others/manifest.json").read_bytes())
    list_stored("s3://bucket/chunks", options)
    server.requests.clear()
    found = list_stored("s3://bucket/chunks", store_options(server, tmp_path / "cache", offline=True))
    assert found.sizes.tolist() == [4, 5, 5]
    assert not server.requests


def test_offline_without_a_list_the_error_says_where_it_was_looked_for(server, tmp_path):
    error = error_at("s3://bucket/chunks", store_options(server, tmp_path / "cache", offline=True))
    assert isinstance(error, StoreError)
    assert f"is not in the cache {tmp_path / 'cache'}" in str(error)


def test_a_list_in_the_cache_that_is_damaged_is_no_list(server, options, tmp_path):
    put_counted(server, tmp_path / "chunks")
    list_stored("s3://bucket/chunks", options)
    (kept,) = (tmp_path / "cache").rglob(".pyloader-list.json")
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    error = error_at("s3://bucket/chunks", store_options(server, tmp_path / "cache", offline=True))
    assert isinstance(error, StoreError)
