"""Schemes that fsspec knows, by its file system in memory."""

from __future__ import annotations

import os

import pytest

from pyloader.errors import ObjectChangedError, ObjectMissingError, StoreError
from pyloader.files.stores import open_store
from pyloader.files.stores.fsspec_store import FsspecStore

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def system():
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pipe_file("/data/a", bytes(range(256)))
    system.pipe_file("/data/b/c", b"1")
    yield system
    system.store.clear()


@pytest.fixture
def store(system):
    store = open_store("memory://data")
    assert isinstance(store, FsspecStore)
    return store


def test_what_is_there_is_listed_and_read(store):
    assert {about.name: about.size for about in store.list()} == {"a": 256, "b/c": 1}
    assert [about.name for about in store.list("b")] == ["b/c"]
    assert all(about.version == store.head(about.name).version for about in store.list())
    version = store.head("a").version
    assert store.read("a", 3, 5, version=version) == bytes([3, 4])
    assert store.read("a") == bytes(range(256))


def test_large_files_come_in_blocks(store):
    store._block_bytes = 100
    assert [len(block) for block in store.open("a").blocks] == [100, 100, 56]


def test_what_changed_is_not_read_as_what_was_listed(store, system):
    version = store.head("a").version
    system.pipe_file("/data/a", bytes(256))
    with pytest.raises(ObjectChangedError):
        store.read("a", version=version)


def test_what_is_missing_and_what_fails_are_errors_without_what_fsspec_says(store, system, monkeypatch):
    with pytest.raises(ObjectMissingError, match="memory://data/nope does not exist"):
        store.read("nope")

    def fail(*_: object, **__: object) -> bytes:
        raise OSError("https://host/?signature=secret")

    monkeypatch.setattr(type(system), "cat_file", fail)
    with pytest.raises(StoreError, match=r"fsspec failed \(OSError\)") as caught:
        store.read("a")
    assert caught.value.may_pass
    assert caught.value.__context__ is None


def test_nothing_can_be_written(store):
    for write in (
        lambda: store.create("x", b""),
        lambda: store.replace("a", b"", version=""),
        lambda: store.delete("a"),
    ):
        with pytest.raises(StoreError, match="is only read"):
            write()


def test_a_file_system_without_versions_is_refused_unless_the_user_says_so(system, monkeypatch):
    monkeypatch.setattr(type(system), "info", lambda *_, **__: {"name": "/data/a", "size": 256})
    with pytest.raises(StoreError, match=r"has no version.*'unversioned': True"):
        open_store("memory://data").head("a")
    assert open_store("memory://data", storage_options={"unversioned": True}).head("a").version == ""


def test_a_forked_child_raises(store):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            store.read("a")
        except BaseException as error:
            os.write(write_end, type(error).__name__.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 100) == b"ForkError"
    os.close(read_end)
    os.close(write_end)
