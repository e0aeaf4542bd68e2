"""Processes that use one cache, with chunks whose bytes follow from their numbers, and looks at what it takes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pyloader.files.cache import CacheDirectory, CacheUser, Identity, Pinned
from pyloader.part import joined_ranges

SIZES = (1, 5_000, 40_000, 100_000)  # bytes
NOT_CLOSED = threading.Event().wait


def chunk(index: int, *, size: int | None = None, place: str = "s3://bucket/data") -> Identity:
    """Return what identifies chunk `index`; each seventh is a part of a file ten times as long."""
    if size is None and index % 7 == 6:
        length = SIZES[index % len(SIZES)]
        ranges = ((0, length // 3), (5 * length, 5 * length + length - length // 3))
        url = f"{place}/chunk-{index:05d}.bin"
        return Identity(url=url, size=10 * length, version="1", ranges=joined_ranges(ranges))
    size = SIZES[index % len(SIZES)] if size is None else size
    return Identity(url=f"{place}/chunk-{index:05d}.bin", size=size, version="1")


def bytes_of(identity: Identity) -> bytes:
    """Return the bytes of a chunk; of a part zeros where it has none."""
    number = int(identity.file_name.partition("-")[2].partition(".")[0])
    data = (np.arange(identity.size, dtype=np.uint64) * (2 * number + 1) >> np.uint64(3)).astype(np.uint8).tobytes()
    if identity.ranges is None:
        return data
    part = bytearray(identity.size)
    for start, stop in identity.ranges:
        part[start:stop] = data[start:stop]
    return bytes(part)


class Store:
    """Gives chunks, and counts how often it was asked for each."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self, user: CacheUser, identity: Identity, *, deadline_seconds: float = 60) -> Pinned:
        """Have the cache give a chunk, fetched in two writes when it is not there."""

        def fill(path: Path) -> None:
            self.asked.append(identity.file_name)
            data, half = bytes_of(identity), identity.size // 2
            with open(path, "r+b", buffering=0) as file:
                for start, stop in identity.ranges or ((0, half), (half, identity.size)):
                    file.seek(start)
                    file.write(data[start:stop])

        return user.get(identity, fill, wait=NOT_CLOSED, deadline_seconds=deadline_seconds)


def read(user: CacheUser, identity: Identity, store: Store | None = None) -> None:
    """Read a chunk through the cache, and see that its bytes are right."""
    with (store or Store()).get(user, identity) as entry:
        assert entry.path.read_bytes() == bytes_of(identity)


def bytes_on_disk(directory: CacheDirectory) -> int:
    """Return what the cache takes on the disk at one moment, by its files: each once, though it may just be moving."""
    with directory.held():
        blocks = {status.st_ino: status.st_blocks for status in _statuses(directory)}
    return sum(blocks.values()) * 512


def _statuses(directory: CacheDirectory) -> Iterator[os.stat_result]:
    for place in (directory.partial, directory.entries, directory.partial, directory.root):  # they move either way
        for at, _, names in os.walk(place):
            for path in ([at] if Path(at).parent in (directory.partial, directory.entries) else []) + [
                os.path.join(at, name) for name in names
            ]:
                try:
                    yield os.lstat(path)
                except FileNotFoundError:
                    continue
