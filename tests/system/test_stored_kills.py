"""Ranks that read a store through one cache are killed at random: no byte is wrong, and nothing stays locked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from small_stores import from_store
from store_server import StoreServer

from pyloader import DataLoader, World
from pyloader.cli.main import main
from pyloader.files.cache import cache_directory, damaged_entries, prune, total_bytes
from pyloader.files.cache.locks import take_lock

KILLS = int(os.environ.get("PYLOADER_STORE_KILLS", "4"))
NUM_RANKS, NUM_CHUNKS, ROWS = 4, 60, 32
CACHE_BYTES = 50 * 32_768  # of 60 chunks that take 24 kB each

# Reads epoch after epoch until it is killed; says each batch to a pipe, and the number of a child that it forks.
RANK = """
import json, os, signal, sys
import numpy as np
from pyloader import DataLoader, World

place, rank, told = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
loader = DataLoader(**place, world=World(rank, 4), batch_size=8, shuffle=True, last_batch="drop", num_epochs=None)
for step, batch in enumerate(loader):
    rows = batch["data"]
    assert (rows == rows[:, :1] + np.arange(rows.shape[1])).all(), rows
    child = 0
    if step == 10 and rank % 2 == 0:
        child = os.fork()
        if not child:
            signal.pause()
    os.write(told, child.to_bytes(4, "little"))
"""


class Ranks:
    """The processes of the ranks, each in its place; a killed one is followed by another."""

    def __init__(self, given: str, told: int) -> None:
        self._given, self._told = given, told
        self._running = [self._start(rank) for rank in range(NUM_RANKS)]

    def _start(self, rank: int) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", RANK, self._given, str(rank), str(self._told)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.Popen(words, pass_fds=[self._told], env=environment)

    def kill(self, rank: int) -> None:
        """Kill a process, which must have been at work until then."""
        process = self._running[rank]
        process.kill()
        assert process.wait() == -signal.SIGKILL

    def follow(self, rank: int) -> None:
        self._running[rank] = self._start(rank)

    def kill_all(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@contextmanager
def ranks_that_read(given: str) -> Iterator[tuple[Ranks, Iterator[int]]]:
    """Give the ranks, and what they say; at the end they and their children are killed."""
    read_end, write_end = os.pipe()
    ranks, children = Ranks(given, write_end), set[int]()

    def said() -> Iterator[int]:
        while four := os.read(read_end, 4):
            if child := int.from_bytes(four, "little"):
                children.add(child)
            yield child

    try:
        yield ranks, said()
    finally:
        ranks.kill_all()
        os.set_blocking(read_end, False)
        with pytest.raises(BlockingIOError):
            list(said())
        for child in children:
            os.kill(child, signal.SIGKILL)
        os.close(write_end)
        os.close(read_end)


def write_rows(directory: Path) -> Path:
    """Write chunks of rows that begin with their number and go on from there."""
    directory.mkdir()
    for index in range(NUM_CHUNKS):
        numbers = np.arange(index * ROWS, (index + 1) * ROWS)
        np.save(directory / f"chunk-{index:03d}.npy", numbers[:, None] + np.arange(80))
    assert main(["index", str(directory)]) == 0
    return directory


@pytest.mark.slow
def test_ranks_that_are_killed_leave_nothing_wrong_locked_or_beyond_the_bound(tmp_path):
    with StoreServer() as server:
        server.put_directory(write_rows(tmp_path / "chunks"), "bucket/chunks")
        place = from_store(server, str(tmp_path / "cache"), cache_bytes=CACHE_BYTES)
        directory, draw, most = cache_directory(tmp_path / "cache"), np.random.default_rng(), 0
        with ranks_that_read(json.dumps(place)) as (ranks, said):
            for _ in range(KILLS):
                for _ in range(int(draw.integers(1, 400))):
                    next(said)
                most = max(most, total_bytes(directory))
                rank = int(draw.integers(NUM_RANKS))
                ranks.kill(rank)
                ranks.follow(rank)
            ranks.kill_all()  # the children that they have forked live
            for name in os.listdir(directory.locks):
                lock = take_lock(directory.locks / name)
                assert lock is not None, f"the lock {name} is held by nobody that lives"
                lock.release()
            assert damaged_entries(directory) == []
            found: list[int] = []
            for rank in range(NUM_RANKS):
                with DataLoader(**place, world=World(rank, NUM_RANKS), batch_size=8, last_batch="drop") as loader:
                    found += [row[0] for batch in loader for row in batch["data"].tolist()]
        assert sorted(found) == list(range(NUM_CHUNKS * ROWS))
        assert most <= CACHE_BYTES
        prune(directory)
        assert not list(directory.partial.iterdir())
        assert not list(directory.plans.iterdir())
