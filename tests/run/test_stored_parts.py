"""Parts of files in a store: their batches are those from a disk, and each byte comes once."""

from __future__ import annotations

import pytest
from large_files import FORMS, index_of, write_large
from small_stores import from_store, gets, same_batches
from store_server import StoreServer

from pyloader import DataLoader
from pyloader.files import list_chunks

SHUFFLED = {"batch_size": 7, "shuffle": True, "shuffle_window": 3, "max_queue_size": 6, "num_epochs": 2}


@pytest.fixture
def server():
    with StoreServer() as server:
        yield server


@pytest.fixture
def put(server, tmp_path):
    """Write a file and its index, and put both into the store; return the file on the disk."""

    def put(name, **sizes):
        path = write_large(tmp_path / "data", name)
        index_of(path, **sizes)
        server.put_directory(path.parent, "bucket/data")
        return path

    return put


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_batches_of_a_disk_and_each_byte_comes_once(server, put, tmp_path, form):
    path = put(form)
    with DataLoader(data_dir=path, **SHUFFLED) as on_disk:
        wanted = list(on_disk)
    place = from_store(server, tmp_path / "cache", f"data/{form}")
    with DataLoader(**place, **SHUFFLED) as stored:
        assert same_batches(list(stored), wanted)
        assert stored.stats().cache_misses == len(list_chunks(path))
    sent = server.bytes_sent[f"bucket/data/{form}"]
    # At a border some come for both neighbours: a frame of lines, or the offset where a sample ends and one begins.
    twice = {"x.jsonl.zst": path.stat().st_size // 2, "x.mds": 4 * len(list_chunks(path))}
    assert sent <= path.stat().st_size + twice.get(form, 0)
    asked = sum(gets(server).values())
    with DataLoader(**place, verify="first", **SHUFFLED) as again:
        assert same_batches(list(again), wanted)
    with DataLoader(**place, offline=True, **SHUFFLED) as offline:
        before = sum(server.requests.values())
        assert same_batches(list(offline), wanted)
    assert sum(gets(server).values()) == asked
    assert sum(server.requests.values()) == before
