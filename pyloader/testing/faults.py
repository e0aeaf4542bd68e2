"""Faults to put into a loader: parts that are slow or fail, files that are damaged, a run that is killed."""

from __future__ import annotations

import errno
import operator
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pyloader.columns import Columns
from pyloader.dataloader import DataLoader
from pyloader.datareader import DataReader, read_chunk
from pyloader.files import chunk_files
from pyloader.part import Part, part_name

__all__ = [
    "AnnouncedReads",
    "FailingReads",
    "FlakyReads",
    "SlowReads",
    "altered",
    "flip_bit",
    "kill_at_step",
    "truncate",
]

Batch = TypeVar("Batch")


class _OtherReads(DataReader):
    """A reader around another, which does something else before each read: `read_chunk` of a file or of a part."""

    def __init__(self, reader: DataReader) -> None:
        super().__init__(reader.batch_size, reader.shuffle, reader.seed)
        self.reader = reader
        self.returns_new_arrays = reader.returns_new_arrays

    def before(self, path: str) -> None:
        """Do it, for the chunk of this name."""

    def read_file(self, path: str) -> Columns:
        """Do it, and read the file."""
        self.before(path)
        return read_chunk(self.reader, path)

    def read_part(self, path: str, part: Part) -> Columns:
        """Do it, and read the part."""
        self.before(part_name(path, part))
        return read_chunk(self.reader, path, part)


class AnnouncedReads(_OtherReads):
    """Reads as `reader` does, and sets `begun` first; in threads, not in processes."""

    def __init__(self, reader: DataReader, begun: threading.Event) -> None:
        super().__init__(reader)
        self.begun = begun

    def before(self, path: str) -> None:
        """Say so."""
        self.begun.set()


class SlowReads(_OtherReads):
    """Reads as `reader` does, `seconds` later: a slow disk."""

    def __init__(self, reader: DataReader, seconds: float = 0.01) -> None:
        super().__init__(reader)
        self.seconds = seconds

    def before(self, path: str) -> None:
        """Wait."""
        time.sleep(self.seconds)


class FlakyReads(_OtherReads):
    """Reads as `reader` does, but fails with EIO the first time that it reads a chunk: a disk or network that recovers.

    What it has read is forgotten in another process.
    """

    def __init__(self, reader: DataReader) -> None:
        super().__init__(reader)
        self.tried: set[str] = set()

    def before(self, path: str) -> None:
        """Fail the first time."""
        if path not in self.tried:
            self.tried.add(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)


class FailingReads(_OtherReads):
    """Reads as `reader` does, but raises `error` at each chunk whose path ends with `file`."""

    def __init__(self, reader: DataReader, file: str, error: BaseException) -> None:
        super().__init__(reader)
        self.file, self.error = file, error

    def before(self, path: str) -> None:
        """Fail at such a chunk."""
        if path.endswith(self.file):
            raise self.error


def altered(loader: DataLoader, **parts: Any) -> DataLoader:
    """Return the `loader`, which has not been used yet, with other parts of its run.

        altered(make_loader(), reader=SlowReads(reader))

    Args:
      loader: A new one.
      parts: `reader`, `dataset`, `collator`, or another attribute of `pyloader.run.RunOptions`.
    """
    run = replace(loader._options.run, **parts)
    if parts.keys() & {"dataset", "collator"}:  # batches are made one by one, since there is something to make
        run = replace(run, rule=replace(run.rule, several=False))
    loader._options = replace(loader._options, run=run)
    return loader


def truncate(path: str | os.PathLike[str], share: float = 0.5) -> None:
    """Cut a file short, to this share of its bytes; of a directory of arrays, its largest file."""
    file = _largest_file(Path(path))
    os.truncate(file, int(file.stat().st_size * share))


def flip_bit(path: str | os.PathLike[str], share: float = 0.5) -> None:
    """Flip one bit of a file, after this share of its bytes; of a directory of arrays, in its largest file."""
    file = _largest_file(Path(path))
    data = bytearray(file.read_bytes())
    data[min(int(len(data) * share), len(data) - 1)] ^= 1
    file.write_bytes(data)


def kill_at_step(batches: Iterable[Batch], step: int) -> Iterator[Batch]:
    """Yield `batches`, and kill this process, by SIGKILL, when `step` of them have been used."""
    for number, batch in enumerate(batches):
        if number == step:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch


def _largest_file(path: Path) -> Path:
    return path / max(chunk_files(path), key=operator.itemgetter(1))[0] if path.is_dir() else path
