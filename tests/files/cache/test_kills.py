"""Processes are killed while they fetch, evict and read: no byte is wrong, and nothing of theirs stays."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from cache_users import NOT_CLOSED, Store, bytes_of, bytes_on_disk, chunk, read

from pyloader.files.cache import CacheDirectory, cache_directory, damaged_entries, prune, register
from pyloader.files.cache.locks import FileLock, take_lock

KILLS = int(os.environ.get("PYLOADER_CACHE_KILLS", "10"))
LOOKS_BETWEEN = 100  # at most
NUM_PROCESSES, NUM_CHUNKS, BOUND = 4, 60, 1_100_000
BYTES = {index: bytes_of(chunk(index)) for index in range(NUM_CHUNKS)}
KEYS = np.array([chunk(index).key for index in range(NUM_CHUNKS)], np.uint64)


def reads_until_killed(directory: CacheDirectory, seed: int, forked: int) -> None:
    """Read chunks in random orders; every other process forks a child, which does nothing and stays."""
    user, store = register(directory, fetches=1, readers=1, largest=100_000, bound=BOUND), Store()
    order = np.random.default_rng(seed)
    while True:
        reads = order.permutation(NUM_CHUNKS)
        user.foresee(KEYS[reads], first=0)
        for position, index in enumerate(reads.tolist()):
            user.advance(position)
            with store.get(user, chunk(index)) as entry:
                assert entry.path.read_bytes() == BYTES[index]
                if seed % 2 == 0 and position == 0 and os.fork() == 0:
                    os.write(forked, os.getpid().to_bytes(4, "little"))
                    signal.pause()


class Processes:
    """Processes that read, each in its place; a killed one is followed by another."""

    def __init__(self, directory: CacheDirectory, forked: int) -> None:
        self._directory, self._forked, self._started = directory, forked, 0
        self._running = [self._start() for _ in range(NUM_PROCESSES)]

    def _start(self) -> int:
        self._started += 1
        process = os.fork()
        if process == 0:
            try:
                reads_until_killed(self._directory, self._started, self._forked)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        return process

    def kill(self, index: int, *, follow: bool) -> None:
        """Kill the process in a place, which must have been at work until then."""
        process = self._running[index]
        self._running[index] = 0
        os.kill(process, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
        if follow:
            self._running[index] = self._start()

    def kill_all(self) -> None:
        for index in filter(self._running.__getitem__, range(NUM_PROCESSES)):
            self.kill(index, follow=False)


@contextmanager
def processes_that_read(directory: CacheDirectory) -> Iterator[Processes]:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    processes = Processes(directory, write_end)
    try:
        yield processes
    finally:
        processes.kill_all()
        os.close(write_end)
        with suppress(BlockingIOError):  # that was the last
            while four := os.read(read_end, 4):
                os.kill(int.from_bytes(four, "little"), signal.SIGKILL)
        os.close(read_end)


def plant_files(root: Path) -> list[Path]:
    """Put files into a cache that are not the cache's, one also into an entry; return those that may not even move."""
    (entry,) = (root / "entries").iterdir()
    files = [root / "mine.txt", *(root / place / "mine.txt" for place in ("entries", "partial", "locks", "loaders"))]
    for path in (*files, entry / "mine.txt"):
        path.write_text("mine")
    return files


def lock_at_last(path: Path) -> FileLock | None:
    """Return a lock; a child that was forked just before gives it up when it first runs, which may take a while."""
    for _ in range(500):
        if (lock := take_lock(path)) is not None or NOT_CLOSED(0.01):
            return lock
    return None


@pytest.mark.slow
def test_kills_leave_no_wrong_byte_no_lock_and_nothing_behind_and_the_bound_holds(tmp_path):
    directory = cache_directory(tmp_path / "cache")
    user = register(directory, fetches=1, readers=1, largest=100_000, bound=BOUND)
    read(user, chunk(0))
    user.close()
    mine = plant_files(directory.root)
    draw, most, num_looks, kills = np.random.default_rng(), 0, 0, 0
    with processes_that_read(directory) as processes:
        while kills < KILLS:
            for _ in range(int(draw.integers(1, LOOKS_BETWEEN))):
                most, num_looks = max(most, bytes_on_disk(directory)), num_looks + 1
            processes.kill(int(draw.integers(NUM_PROCESSES)), follow=True)
            kills += 1
        processes.kill_all()  # the children that they have forked live
        for name in os.listdir(directory.locks):
            lock = lock_at_last(directory.locks / name)
            assert lock is not None, f"the lock {name} is held by nobody that lives"
            lock.release()
        assert damaged_entries(directory) == []
        user = register(directory, fetches=1, readers=1, largest=100_000)
        for index in range(NUM_CHUNKS):
            read(user, chunk(index))
        user.close()
    prune(directory)
    assert most <= BOUND, f"after {kills} kills, {num_looks} looks"
    left = [path for path in directory.partial.rglob("*") if path.is_file()]
    assert {path.name for path in left} == {"mine.txt"}
    assert all(path.read_text() == "mine" for path in (*mine, *left))
    assert len(list(directory.root.rglob("mine.txt"))) == len(mine) + 1
    assert os.listdir(directory.plans) == ["mine.txt"]
