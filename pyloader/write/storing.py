"""Finished chunks go to a store as soon as their last names are known, by tasks among the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pyloader.files import ChunkEntry
from pyloader.write.chunk_files import chunk_name
from pyloader.write.chunks_plan import ChunkTask
from pyloader.write.formats import FORMATS
from pyloader.write.job import Job, Terms
from pyloader.write.receipts import ChunkReceipt, StoredReceipt, UnitReceipt
from pyloader.write.request import Request
from pyloader.write.work import Work

__all__ = ["Storing", "ToStore", "store"]


class ToStore(NamedTuple):
    """A chunk that goes to the store.

    Attributes:
      file: The file that a task made.
      last: What it is called in the store.
    """

    file: str
    last: str


class Storing:
    """Says which chunks can go to the store; where chunks stay on a disk, none does.

    The chunks of a unit have their last names when all units before it are finished.  Chunks that take the place of
    damaged ones go at the end, when it is known which these are.

    Args:
      request: What the user asked for.
      job: What is done is noted there.
      terms: What the split was begun with.
    """

    def __init__(self, request: Request, job: Job, terms: Terms) -> None:
        self._job, self._terms, self._main = job, terms, request.outputs[0]
        self._is_on = request.place is not None
        self._before = job.stored()
        self._is_early = self._is_on and not terms.mended
        self._units: deque[str] = deque()
        self._ready: deque[ToStore] = deque()
        self._index = terms.first.get(self._main, 0)

    def units(self, work: Work | bytes, name: str | None = None) -> Iterator[tuple[ToStore, tuple[Any, ...]]]:
        """Yield the calls for chunks of units that are finished; `name` is a unit that comes next."""
        if self._is_early:
            self._units += [] if name is None else [name]
            while self._units and isinstance(found := self._job.receipts.get(self._units[0]), UnitReceipt):
                self._units.popleft()
                for entry in found.chunks.get(self._main, ()):
                    self._take(self._main, self._index, entry)
                    self._index += 1
        return self._calls(work)

    def among(
        self, work: Work | bytes, calls: Iterable[tuple[ChunkTask, tuple[Any, ...]]]
    ) -> Iterator[tuple[ChunkTask | ToStore, tuple[Any, ...]]]:
        """Yield calls that gather chunks, and among them those for chunks that are gathered by then."""
        begun: list[ChunkTask] = []
        for task, call in calls:
            finished = [task for task in begun if task.name in self._job.receipts]
            for done in finished if self._is_early else ():
                found = self._job.receipts[done.name]
                assert isinstance(found, ChunkReceipt)
                self._take(done.output, self._terms.first[done.output] + done.number, found.entry)
            begun = [task for task in begun if task.name not in self._job.receipts]
            yield from self._calls(work)
            begun.append(task)
            yield task, call

    def rest(self, work: Work | bytes, names: Iterable[tuple[str, str, str]]) -> list[tuple[ToStore, tuple[Any, ...]]]:
        """Return the calls for all chunks that are not in the store: (output, last name, file that a task made)."""
        if self._is_on:
            stored = self._job.stored()
            self._ready = deque(
                ToStore(file, _path(output, last)) for output, last, file in names if file not in stored
            )
            if self._terms.mended:
                self._job.give_up_stored(item.last for item in self._ready)
        return list(self._calls(work))

    def _take(self, output: str, index: int, entry: ChunkEntry) -> None:
        if entry.file not in self._before:
            suffix = entry.file[entry.file.index(".") :]
            chunks = next(found for found in FORMATS.values() if found.suffix == suffix)
            self._ready.append(ToStore(entry.file, _path(output, chunk_name(index, chunks, self._terms.data_version))))

    def _calls(self, work: Work | bytes) -> Iterator[tuple[ToStore, tuple[Any, ...]]]:
        while self._ready:
            item = self._ready.popleft()
            yield item, (store, work, item)


def store(work: Work, item: ToStore) -> StoredReceipt:
    """Create the object, or the objects, of a finished chunk.

    Raises:
      SplitError: another chunk of that name is there.
      StoreError: it cannot be written.
    """
    from pyloader.write.store_requests import store_chunk

    assert work.request.place is not None
    store_chunk(work.request.place, work.made / item.file, item.last)
    return StoredReceipt(name=f"stored-{item.file}", file=item.file, last=item.last)


def _path(output: str, last: str) -> str:
    return f"{output}/{last}" if output else last
