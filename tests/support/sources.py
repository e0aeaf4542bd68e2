"""What the laws are tested over: a source of samples that are their own numbers, for each kind of loader.

A new kind of loader gets a class here and a place in `SOURCES`; the laws' tests in tests/system then run over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pytest
from item_numbers import Numbers
from numbered import NumberedReader, write_chunks
from ranks import write_counted, write_parts
from store_server import StoreServer

import pyloader
import pyloader.indexed
from pyloader import Dataset, PaddingDataCollator, Part, Ragged
from pyloader.files import ChunkEntry, read_manifest, write_manifest
from pyloader.part import joined_ranges

__all__ = ["SOURCES", "Chunks", "Items", "Parts", "RaggedChunks", "StoredChunks", "StoredParts", "source"]

OnIds: TypeAlias = "Callable[[np.ndarray], object]"  # called with sample numbers; what it raises is the user's error


class Chunks:
    """Chunk files, read by `pyloader.DataLoader`.

    Args:
      root: A directory for them.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directories: dict[tuple[bool, tuple[int, ...]], Path] = {}

    def loader(
        self,
        counts: Sequence[int],
        *,
        text: bool = False,
        on_read: OnIds = len,
        on_sample: OnIds | None = None,
        on_batch: OnIds | None = None,
        window: int | None = None,
        ahead: int = 2,
        counted: bool = False,
        **options: Any,
    ) -> Any:
        """Return a loader; its batches have the columns "id" and "row", and with `text` a list of strings.

        Args:
          counts: The samples of each chunk, numbered from 0 on.
          text: Adds the column "text".
          on_read: Called with the numbers of samples when they are read.
          on_sample: Called with the numbers of samples where each of them can be left out.
          on_batch: Called with the numbers of a batch before arrays are made of it.
          window: Shuffles, by so many chunks.
          ahead: How much room there is beyond what is needed.
          counted: Whether the chunks have a manifest.
          options: Of the loader, the same for all kinds.
        """
        key = counted, tuple(counts)
        if key not in self._directories:
            place = self._root / str(len(self._directories))
            self._directories[key] = self.write(place, counts, counted=counted)
        if window is not None:
            options |= {"shuffle": True, "shuffle_window": window, "max_queue_size": window + 1 + ahead}
        on_encode = on_sample or on_batch
        dataset = None if on_encode is None else _Encoding(on_encode)
        options |= self.where(self._directories[key])
        return pyloader.DataLoader(self.reader(on_read, text=text), dataset, **options)

    def reader(self, on_read: OnIds, *, text: bool) -> NumberedReader:
        """Return the chunks' reader."""
        return _Reading(on_read, text=text)

    def write(self, place: Path, counts: Sequence[int], *, counted: bool) -> Path:
        """Write the chunks into the directory `place`, and return what a loader is given of them."""
        return write_counted(place, counts) if counted else write_chunks(place, counts)

    def where(self, directory: Path) -> dict[str, Any]:
        """Return the options that say where the chunks of a directory are."""
        return {"data_dir": directory}

    def place_of(self, sample: int, *, batch_size: int) -> str:
        """Return how an error names the place where a sample is read, in chunks of 10 that are not shuffled."""
        return f"chunk-{sample // 10:04d}.numbered"


class RaggedChunks(Chunks):
    """The same chunks with a column "tokens" more: sample i has i % 4 of them, all i; they become padded arrays."""

    def loader(self, counts: Sequence[int], **options: Any) -> Any:
        """Return a loader as that of `Chunks`, which compares the tokens of each batch with its numbers."""
        return super().loader(counts, **{"datacollator": _PaddingOfTokens(), **options})

    def reader(self, on_read: OnIds, *, text: bool) -> NumberedReader:
        """Return the chunks' reader."""
        return _ReadingTokens(on_read, text=text)


class Parts(Chunks):
    """The same samples in one file, whose parts are the chunks."""

    def write(self, place: Path, counts: Sequence[int], *, counted: bool) -> Path:
        """Write the file, and its index, which always has counts."""
        del counted
        return write_parts(place, counts)

    def place_of(self, sample: int, *, batch_size: int) -> str:
        """Return how an error names the part where a sample is read."""
        return f"chunk-0000.numbered[{sample // 10 * 10}:{sample // 10 * 10 + 10}]"


class MixedChunks(Chunks):
    """The same chunks as the only source of a mixture."""

    def loader(self, counts: Sequence[int], **options: Any) -> Any:
        """Return a loader as that of `Chunks`; its chunks have counts."""
        num_epochs = options.pop("num_epochs", 1)
        loader = super().loader(counts, **{**options, "counted": True})
        # What a mixture's loader has for each `for`, in one.
        given = replace(loader._options.given, num_epochs=num_epochs)
        loader._options = replace(loader._options, given=given)
        return loader

    def where(self, directory: Path) -> dict[str, Any]:
        """Return the chunks' directory by the name of the source."""
        return {"data_dir": {"only": directory}}


class StoredChunks(Chunks):
    """The same chunks in an object store, a stub on loopback, read through a cache on disk."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._cache = root / "cache"
        self.server = StoreServer()
        self.server.serve_in_background()

    def where(self, directory: Path) -> dict[str, Any]:
        """Put the chunks into the store, and return their address."""
        self.server.put_directory(directory, f"bucket/{directory.name}")
        return {
            "data_dir": f"s3://bucket/{directory.name}",
            "storage_options": self.server.s3_options,
            "cache_dir": self._cache,
        }


class StoredParts(StoredChunks):
    """The same samples in one object, whose parts are the chunks: a line that all read, and the rows of each."""

    def reader(self, on_read: OnIds, *, text: bool) -> NumberedReader:
        """Return the reader of such a file."""
        return _ReadingStretches(on_read, text=text)

    def write(self, place: Path, counts: Sequence[int], *, counted: bool) -> Path:
        """Write the file, and its index, which always has counts."""
        del counted
        file = write_parts(place, counts)
        ids = np.arange(sum(counts))
        line = b"%d numbers\n" % len(ids)
        file.write_bytes(line + ids.astype("<i8").tobytes())
        index = file.with_name(f"{file.name}.manifest.json")
        manifest = read_manifest(index)
        write_manifest(index, msgspec.structs.replace(manifest, chunks=tuple(_stretches(manifest.chunks, len(line)))))
        return file

    def where(self, directory: Path) -> dict[str, Any]:
        """Put the file and its index into the store, and return its address."""
        options = super().where(directory.parent)
        return {**options, "data_dir": f"{options['data_dir']}/{directory.name}"}

    def place_of(self, sample: int, *, batch_size: int) -> str:
        """Return how an error names the part where a sample is read."""
        return f"chunk-0000.numbered[{sample // 10 * 10}:{sample // 10 * 10 + 10}]"


def _stretches(chunks: Sequence[ChunkEntry], line_bytes: int) -> Iterator[ChunkEntry]:
    """Yield the entries with the bytes of each: the line, and its rows."""
    for chunk in chunks:
        part = chunk.as_part
        assert part is not None
        assert chunk.part is not msgspec.UNSET
        start, stop = line_bytes + 8 * part.first, line_bytes + 8 * part.stop
        ranges = joined_ranges([(0, line_bytes), (start, stop)])
        file_bytes = line_bytes + 8 * chunk.part.file_samples
        entry = msgspec.structs.replace(chunk.part, file_bytes=file_bytes, ranges=ranges)
        yield msgspec.structs.replace(chunk, num_bytes=line_bytes + stop - start, part=entry)


class Items:
    """Random access, by `pyloader.indexed.DataLoader`: as many samples as the chunks would have together."""

    def __init__(self, root: Path) -> None:
        del root

    def loader(
        self,
        counts: Sequence[int],
        *,
        text: bool = False,
        on_read: OnIds = len,
        on_sample: OnIds | None = None,
        on_batch: OnIds | None = None,
        window: int | None = None,
        ahead: int = 4,
        counted: bool = False,
        shuffle: bool = False,
        **options: Any,
    ) -> Any:
        """Return a loader with the batches of `Chunks.loader`; `num_readers` means nothing here."""
        del counted
        options.pop("num_readers", None)
        ids = np.arange(sum(counts))
        columns: dict[str, Any] = {
            "id": Numbers(len(ids), on_read if on_sample is None else on_sample),
            "row": np.stack([ids, -ids], axis=1).astype(np.float32),
        }
        if text:
            columns["text"] = [f"sample {number}" for number in ids.tolist()]
        return pyloader.indexed.DataLoader(
            columns,
            transform=None if on_batch is None else _Transform(on_batch),
            shuffle=shuffle or window is not None,
            prefetch_size=ahead,
            **{"num_epochs": 1, **options},
        )

    def place_of(self, sample: int, *, batch_size: int) -> str:
        """Return how an error names the place where a sample is taken, in batches that are not shuffled."""
        return f"epoch 0, step {sample // batch_size}"


class _Reading(NumberedReader):
    def __init__(self, on_read: OnIds, **options: Any) -> None:
        super().__init__(**options)
        self._on_read = on_read

    def _samples(self, start: int, count: int) -> tuple[dict[str, Any], int]:
        columns, count = super()._samples(start, count)
        self._on_read(columns["id"])
        return columns, count


class _ReadingTokens(_Reading):
    def read_file(self, path: str) -> tuple[dict[str, Any], int]:
        columns, count = super().read_file(path)
        ids = columns["id"]
        return {**columns, "tokens": Ragged(np.repeat(ids, ids % 4), np.cumsum([0, *(ids % 4)]))}, count


class _ReadingStretches(_Reading):
    def read_part(self, path: str, part: Part) -> tuple[dict[str, Any], int]:
        with open(path, "rb") as file:
            line = file.readline()
            file.seek(8 * part.first, 1)
            found = np.frombuffer(file.read(8 * part.num_samples), "<i8")
        assert line.endswith(b" numbers\n")
        columns, count = self._samples(part.first, part.num_samples)
        assert np.array_equal(found, columns["id"])
        return columns, count


class _PaddingOfTokens(PaddingDataCollator):
    def collate_batch(self, columns: dict[str, Any]) -> dict[str, Any]:
        assert columns["tokens"].to_list() == [[number] * (number % 4) for number in columns["id"].tolist()]
        return super().collate_batch(columns)


class _Encoding(Dataset):
    def __init__(self, on_encode: OnIds) -> None:
        self._on_encode = on_encode

    def batch_encode(self, columns: dict[str, Any]) -> dict[str, Any]:
        self._on_encode(columns["id"])
        return columns


class _Transform:
    def __init__(self, on_batch: OnIds) -> None:
        self._on_batch = on_batch

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        self._on_batch(rows["id"])
        return rows


SOURCES = {
    "chunks": Chunks,
    "parts": Parts,
    "ragged": RaggedChunks,
    "mixed": MixedChunks,
    "stored": StoredChunks,
    "stored parts": StoredParts,
    "items": Items,
}


@pytest.fixture(scope="session", params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chunks | Items]:
    """Yield each kind of source in turn."""
    made = SOURCES[request.param](tmp_path_factory.mktemp(request.param))
    yield made
    if isinstance(made, StoredChunks):
        made.server.end()
