"""A directory as a store: kills, forks, full disks, links."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from killing import in_a_child

from pyloader.errors import ObjectMissingError, StoreError, WriteError
from pyloader.files.stores import LocalStore


@pytest.mark.slow
def test_a_writer_that_is_killed_at_any_moment_leaves_the_old_or_the_new(tmp_path):
    for kill_at in range(20):
        store = LocalStore(tmp_path / str(kill_at))
        version = store.create("a", b"old")

        def write(store=store, version=version):
            store.replace("a", b"new", version=version)
            store.create("b", b"new")

        num_changes = in_a_child(write, kill_at=kill_at)
        held = {about.name: store.read(about.name) for about in store.list()}
        assert held in ({"a": b"old"}, {"a": b"new"}, {"a": b"new", "b": b"new"})
        store.replace("a", b"newer", version=store.head("a").version)
        if num_changes < kill_at:
            break
    assert num_changes < kill_at, "it was never let through to its end"


def test_a_forked_child_does_not_keep_the_lock_of_a_parent_that_was_killed(tmp_path):
    store = LocalStore(tmp_path)
    store.create("a", b"1")
    read_end, write_end = os.pipe()
    parent = os.fork()
    if parent == 0:
        with store._locked():
            child = os.fork()
            if child == 0:
                os.close(write_end)
                os.read(read_end, 1)  # until the test ends
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    try:
        store.delete("a")
    finally:
        os.close(write_end)
        os.close(read_end)


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = LocalStore(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="Make room"):
        store.create("a", b"1")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_says_why(tmp_path):
    store = LocalStore(tmp_path / "a")
    assert list(store.list()) == []
    store.create("b/c", b"1")
    for ask in (store.read, lambda name: store.create(f"{name}/d", b"")):
        with pytest.raises(StoreError):
            ask("b/c/d")
    with pytest.raises(StoreError, match="cannot be read or written"):
        store.read("b")


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    (tmp_path / "a").write_bytes(bytes(3_000_000))
    blocks = LocalStore(tmp_path).open("a").blocks
    next(blocks)
    os.truncate(tmp_path / "a", 2_000_000)
    with pytest.raises(StoreError, match="ends early, after 2,000,000 of 3,000,000 bytes"):
        list(blocks)


def test_a_link_to_nothing_is_missing(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    assert list(LocalStore(tmp_path).list()) == []
    with pytest.raises(ObjectMissingError):
        LocalStore(tmp_path).head("a")
