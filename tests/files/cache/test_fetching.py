"""A chunk is fetched once, by one process at a time, into its place in the cache, whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from cache_users import NOT_CLOSED, Store, bytes_of, chunk, read

from pyloader.errors import CacheError, ClosedError, StallError, WriteError
from pyloader.files import checksum_of
from pyloader.files.cache import Identity, cache_directory, cache_entries, fetching, register, total_bytes
from pyloader.files.cache.locks import take_lock


@pytest.fixture
def directory(tmp_path):
    return cache_directory(tmp_path / "cache")


@pytest.fixture
def user(directory):
    user = register(directory, fetches=1, readers=2, largest=100_000, bound=1_000_000)
    yield user
    user.close()


def waits(*moves):
    """Return a `wait` that does not wait, and makes one of `moves` each time; at the end it waits for ever."""
    left = list(moves)

    def wait(seconds):
        assert 0.002 <= seconds <= 0.2
        return left.pop(0)()

    return wait


@contextmanager
def others_lock(directory, identity):
    lock = take_lock(directory.locks / identity.name)
    yield
    lock.release()


def test_a_chunk_is_fetched_once_and_has_the_name_that_it_has_in_the_store(directory, user):
    store = Store()
    for was_there in (False, True, True):
        with store.get(user, chunk(3)) as entry:
            assert entry.was_there == was_there
            assert entry.path.name == "chunk-00003.bin"
            assert entry.path.read_bytes() == bytes_of(chunk(3))
            assert entry.path.stat().st_mode & 0o777 == 0o400, "who changes it changes it for all"
    assert store.asked == ["chunk-00003.bin"]
    assert user.find(chunk(4)) is None


def test_what_cannot_be_fetched_leaves_nothing_and_keeps_nobody_from_trying(directory, user):
    def fails(path):
        path.write_bytes(b"half")
        raise ConnectionResetError("gone")

    before = total_bytes(directory)
    with pytest.raises(ConnectionResetError, match="gone"):
        user.get(chunk(3), fails, wait=NOT_CLOSED)
    assert list(directory.partial.iterdir()) == []
    assert total_bytes(directory) == before
    read(user, chunk(3))


def test_a_chunk_of_another_size_than_the_store_said_is_not_kept(directory, user):
    with pytest.raises(
        CacheError, match=r"^s3://bucket/data/chunk-00003\.bin came with another size than the store had said"
    ):
        user.get(chunk(3), lambda path: path.write_bytes(b"short") and None, wait=NOT_CLOSED)
    assert cache_entries(directory) == []


def test_a_directory_of_columns_is_one_entry_with_the_checksum_of_its_manifest(directory, user):
    members = {"x.npy": b"x" * 5_000, "y.npy": b"y" * 100}
    sizes = tuple((name, len(data)) for name, data in members.items())
    identity = Identity(url="s3://b/c-1.columns", size=5_100, version="1", members=sizes)

    def fill(path):
        for name, data in members.items():
            assert (path / name).stat().st_size == len(data)
            (path / name).write_bytes(data)

    with user.get(identity, fill, wait=NOT_CLOSED) as entry:
        assert entry.path.name == "c-1.columns"
        assert {path.name: path.read_bytes() for path in entry.path.iterdir()} == members
        record = fetching.read_record(entry.path.parent)
        assert record.checksum == checksum_of(entry.path)
    assert total_bytes(directory) >= sum(path.stat().st_blocks for path in directory.entries.rglob("*")) * 512


def test_while_another_fetches_a_chunk_one_waits_and_then_has_it(directory, user):
    with others_lock(directory, chunk(3)):
        store = Store()

        def finishes():
            lock_file = directory.locks / chunk(3).name
            moved = lock_file.rename(lock_file.with_suffix(".old"))  # so the other's lock is not in the way
            store.get(user, chunk(3)).release()
            moved.rename(directory.locks / "old")
            return False

        entry = user.get(chunk(3), None, wait=waits(lambda: False, finishes))
        assert entry.was_there
        entry.release()


def test_closing_ends_the_waiting_at_once(directory, user):
    with others_lock(directory, chunk(3)), pytest.raises(ClosedError, match=r"waited for s3://bucket/data/chunk-00003"):
        user.get(chunk(3), None, wait=waits(lambda: True))


def test_one_waits_as_long_as_what_another_fetches_grows_and_no_longer(directory, user, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("pyloader.files.cache.waiting.time.monotonic", lambda: clock[0])
    place = directory.partial / chunk(3).name

    def after(seconds, *, grows):
        def move():
            clock[0] += seconds
            if grows:
                os.utime(place / "chunk-00003.bin", (clock[0], clock[0]))
            return False

        return move

    with others_lock(directory, chunk(3)):
        fetching.allocate(place, chunk(3))
        grows, stays = after(59, grows=True), after(31, grows=False)
        told = f"chunk-00003.bin: nothing has moved for 60 s: process {os.getpid()} is fetching it. End what keeps it"
        with pytest.raises(StallError, match=told):
            user.get(chunk(3), None, wait=waits(grows, grows, grows, stays, stays))
    assert clock[0] == 3 * 59 + 2 * 31


def test_what_is_pinned_is_not_evicted_and_without_room_one_waits(directory, user):
    names = [0, 1, 2, 3, 4, 5, 6, 7]  # no more than one of them has room beside these
    held = [Store().get(user, chunk(3, place=f"s3://b/{name}")) for name in names]
    assert all(entry.path.exists() for entry in held)
    with pytest.raises(StallError, match=r"all of the 1\.0 MB of .*cache are in use"):
        Store().get(user, chunk(7), deadline_seconds=0)
    assert list(directory.partial.iterdir()) == []
    held.pop().release()
    read(user, chunk(7))
    for entry in held:
        entry.release()


def test_after_another_boot_the_bytes_are_compared_once(directory, user, monkeypatch):
    for index in (2, 3):
        read(user, chunk(index))
    with Store().get(user, chunk(3)) as entry:
        entry.path.chmod(0o600)
        entry.path.write_bytes(bytes(100_000))  # what a power failure may leave
    monkeypatch.setattr(fetching, "boot_of_machine", lambda: "the next boot")
    compared: list[str] = []
    monkeypatch.setattr(
        "pyloader.files.cache.records.checksum_of",
        lambda path, ranges: compared.append(path.name) or checksum_of(path, ranges),
    )
    store = Store()
    for _ in range(2):
        read(user, chunk(2), store)
        read(user, chunk(3), store)
    assert store.asked == ["chunk-00003.bin"]
    assert compared == ["chunk-00002.bin", "chunk-00003.bin"]


@pytest.mark.parametrize("left", [b"", b"{", None])
def test_an_entry_without_its_record_is_fetched_again(directory, user, left):
    read(user, chunk(3))
    record = directory.entries / chunk(3).name / ".record"
    record.unlink() if left is None else record.write_bytes(left)
    store = Store()
    read(user, chunk(3), store)
    assert store.asked == ["chunk-00003.bin"]


def test_a_full_disk_has_entries_evicted_and_is_an_error_when_none_are_left(directory, user, monkeypatch):
    for index in range(4):
        read(user, chunk(index))
    reserve, free = os.posix_fallocate, [40_000]

    def with_a_full_disk(descriptor, offset, size):
        taken = sum(path.stat().st_size for path in directory.entries.rglob("*.bin"))
        if taken + size > free[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(descriptor, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", with_a_full_disk)
    read(user, chunk(6))
    assert [entry.num_bytes for entry in cache_entries(directory)] == [40_000]
    free[0] = 0
    with pytest.raises(WriteError, match=r"cache: could not be written: no space left on device\. Make room") as full:
        read(user, chunk(3))
    assert isinstance(full.value.__cause__, OSError)
    assert list(directory.partial.iterdir()) == []


def test_a_limit_on_the_size_of_files_is_an_error_and_evicts_nothing(directory, user, monkeypatch):
    def limited(descriptor, offset, size):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    read(user, chunk(3))
    monkeypatch.setattr(os, "posix_fallocate", limited)
    with pytest.raises(WriteError, match=r"file too large\. Raise the limit on the size of files"):
        read(user, chunk(7))
    assert len(cache_entries(directory)) == 1


def test_a_cache_that_was_removed_under_a_loader_is_an_error_that_says_so(directory, user):
    directory.root.rename(directory.root.with_name("elsewhere"))
    with pytest.raises(CacheError, match=r"cache was removed while a loader used it\. Make a new loader"):
        read(user, chunk(3))


@pytest.mark.slow
def test_processes_that_want_the_same_chunks_at_once_fetch_each_once(directory, tmp_path):
    """Four processes with as much room as they have registered: they wait for each other's, and never for ever."""
    bound = 4 * 110_592 + 100_000
    children = []
    for number in range(4):
        children.append(os.fork())
        if children[-1] == 0:
            status = 1
            try:
                user, store = register(directory, fetches=1, readers=0, largest=100_000, bound=bound), Store()
                for index in range(24):
                    read(user, chunk(index), store)
                (tmp_path / f"asked-{number}").write_text("\n".join(store.asked))
                user.close()
                status = 0
            finally:
                os._exit(status)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    asked = [name for path in tmp_path.glob("asked-*") for name in path.read_text().split()]
    assert set(asked) == {chunk(index).file_name for index in range(24)}
    assert os.listdir(directory.plans) == os.listdir(directory.partial) == []


def test_a_child_forked_by_a_killed_process_does_not_keep_its_entry(directory, user):
    read_end, write_end = os.pipe()
    holder = os.fork()
    if holder == 0:
        mine = register(directory, fetches=1, readers=0, largest=100_000)

        def forks_and_stays(path: Path) -> None:
            if os.fork() == 0:
                os.write(write_end, os.getpid().to_bytes(4, "little"))
            signal.pause()

        mine.get(chunk(3), forks_and_stays, wait=NOT_CLOSED)
    child = int.from_bytes(os.read(read_end, 4), "little")
    with pytest.raises(StallError, match=f"process {holder} is fetching it"):
        Store().get(user, chunk(3), deadline_seconds=0)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    try:
        read(user, chunk(3))
        assert len(os.listdir(directory.plans)) == 1
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(read_end)
        os.close(write_end)
