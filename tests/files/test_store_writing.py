"""Objects are created and replaced once, also when answers are lost, and never over what others wrote."""

from __future__ import annotations

import pytest
from store_server import StoreServer

from pyloader.errors import ObjectChangedError, ObjectExistsError, StoreError
from pyloader.files import fetching, store_writing
from pyloader.files.store_writing import create_object, replace_object
from pyloader.files.stores import MemoryStore, Store, open_store


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetching, "_FIRST_WAIT_SECONDS", 0.0001)
    with StoreServer() as server:
        yield server


@pytest.fixture
def store(server: StoreServer) -> Store:
    return open_store("s3://bucket/x", storage_options=server.s3_options)


def refuse_once_it_is_done(server: StoreServer, name: str, data: bytes) -> None:
    """Let the next request to write be done, and answered as if it had not been."""
    server.add_fault(name, method="PUT", status=503, before=lambda: server.put(name, data))


def test_a_create_whose_answer_was_lost_finds_its_own_object(server, store):
    refuse_once_it_is_done(server, "bucket/x/a", b"bytes")
    version = create_object(store, "a", b"bytes")
    assert store.read("a", version=version) == b"bytes"


def test_a_replace_whose_answer_was_lost_finds_its_own_object(server, store):
    version = create_object(store, "a", b"one")
    refuse_once_it_is_done(server, "bucket/x/a", b"two")
    assert store.read("a", version=replace_object(store, "a", b"two", version=version)) == b"two"


@pytest.mark.parametrize("other", [b"byteS", b"others"])
def test_what_others_wrote_stays(other):
    store = MemoryStore()
    first = store.create("a", other)
    with pytest.raises(ObjectExistsError):
        create_object(store, "a", b"bytes")
    store.replace("a", other, version=first)
    with pytest.raises(ObjectChangedError):
        replace_object(store, "a", b"bytes", version=first)
    assert store.read("a") == other


def test_a_server_that_is_busy_for_a_while_is_waited_for(server, store):
    fault = server.add_fault("*", status=503, times=8)
    create_object(store, "a", b"bytes")
    assert fault.used == 8


def test_a_server_that_stays_busy_is_an_error(server, store, monkeypatch):
    monkeypatch.setattr(store_writing, "_patiently", fetching.ask_again)
    server.add_fault("*", status=503, times=None)
    with pytest.raises(StoreError, match="the server answered 503"):
        create_object(store, "a", b"bytes")
