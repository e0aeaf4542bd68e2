"""A cache is listed, verified and pruned while loaders use it."""

from __future__ import annotations

import os

import pytest
from cache_users import Store, chunk, read

from pyloader.files.cache import (
    cache_directory,
    cache_entries,
    cached_names,
    damaged_entries,
    prune,
    register,
    total_bytes,
)
from pyloader.files.cache.bound import allocate
from pyloader.files.cache.locks import take_lock


@pytest.fixture
def directory(tmp_path):
    return cache_directory(tmp_path / "cache")


@pytest.fixture
def user(directory):
    user = register(directory, fetches=1, readers=2, largest=100_000, bound=1_000_000)
    for index in range(4):
        read(user, chunk(index))
    yield user
    user.close()


def names(directory):
    return [entry.url.rpartition("/")[2] for entry in cache_entries(directory)]


def damage(path):
    path.chmod(0o600)
    path.write_bytes(bytes(path.stat().st_size))


def test_entries_are_listed_by_url_with_what_they_take(directory, user):
    first, *_, last = cache_entries(directory)
    assert names(directory) == [f"chunk-0000{index}.bin" for index in range(4)]
    assert (first.num_bytes, first.room_bytes) == (1, 3 * 4096)
    assert last.used_at > first.used_at
    assert cached_names(directory) == {chunk(index).name for index in range(4)}
    assert total_bytes(directory) >= sum(entry.room_bytes for entry in cache_entries(directory))


def test_damaged_entries_are_found_and_removed_and_fetched_again(directory, user):
    with Store().get(user, chunk(2)) as entry:
        damage(entry.path)
    assert [entry.url for entry in damaged_entries(directory)] == [chunk(2).url]
    assert damaged_entries(directory) == []
    store = Store()
    read(user, chunk(2), store)
    assert store.asked == ["chunk-00002.bin"]


def test_a_damaged_entry_that_is_read_is_named_and_stays_until_it_is_not(directory, user):
    with Store().get(user, chunk(2)) as entry:
        damage(entry.path)
        assert len(damaged_entries(directory)) == 1
        assert entry.path.exists()
    assert len(damaged_entries(directory)) == 1
    assert "chunk-00002.bin" not in names(directory)


def test_pruning_without_a_size_removes_leftovers_and_the_locks_of_what_is_gone(directory, user):
    lock = take_lock(directory.locks / chunk(7).name)
    allocate(directory.partial / chunk(7).name, chunk(7))
    assert prune(directory).num_leftovers == 0, "its lock is held: somebody fetches it"
    lock.release()
    pruned = prune(directory)
    assert (pruned.num_leftovers, pruned.num_entries) == (1, 0)
    assert pruned.num_bytes == 27 * 4096
    assert sorted(os.listdir(directory.locks)) == sorted(entry.name for entry in cache_entries(directory))


def test_pruning_to_a_size_removes_the_least_useful_and_never_what_is_used(directory, user):
    with Store().get(user, chunk(0)):
        pruned = prune(directory, keep_bytes=190_000)
        assert (pruned.num_leftovers, names(directory)) == (0, ["chunk-00000.bin", "chunk-00003.bin"])
        assert prune(directory, keep_bytes=0).num_entries == 1
        assert names(directory) == ["chunk-00000.bin"]
    prune(directory, keep_bytes=0)
    assert names(directory) == []
    read(user, chunk(0))


def test_a_lock_that_was_pruned_before_it_could_be_taken_is_made_anew(directory, user, monkeypatch):
    import fcntl

    path, whole = directory.locks / chunk(7).name, fcntl.flock

    def pruned_just_before(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", whole)
        path.unlink()
        whole(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", pruned_just_before)
    lock = take_lock(path)
    assert path.exists()
    assert take_lock(path) is None
    lock.release()


def test_a_shared_lock_keeps_out_who_wants_it_alone(directory):
    path = directory.locks / "x"
    first = take_lock(path)
    assert take_lock(path, shared=True) is None
    assert first.share()
    second = take_lock(path, shared=True)
    assert take_lock(path) is None
    first.release()
    first.release()
    second.release()
    take_lock(path).release()


def test_a_forked_child_that_releases_a_lock_of_its_parent_closes_nothing_of_its_own(directory):
    lock = take_lock(directory.locks / "x")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            mine = take_lock(directory.locks / "y")  # gets the number that the other had
            lock.release()
            os.fstat(mine.descriptor)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert take_lock(directory.locks / "x") is None
    lock.release()
