"""Chunked: the samples of a directory of chunks, each reached by its index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pyloader.columns import Columns, row_count
from pyloader.datareader import DataReader, read_chunk
from pyloader.deliver import Pauses, called_at_once
from pyloader.errors import DataDirError, DatasetError
from pyloader.files import FetchTerms, StoreOptions, as_listed, list_chunks
from pyloader.indexed.blocks import BlockDataset
from pyloader.options import checked_integer
from pyloader.read import NumpyReader, reader_for
from pyloader.read.numpy_files import can_be_mapped
from pyloader.thread_safety import is_thread_safe

__all__ = ["ChunkedDataset"]


class ChunkedDataset(BlockDataset):
    """The samples of the chunks that `pyloader split` writes, in the order of the chunks' names; each is a dict.

    Chunks of arrays (.columns, .npy) are mapped, and a row costs what it weighs.  Of other forms the chunk of every row
    that is read is read whole, and the latest few are kept: for reading in order, or a few rows.  To train on those,
    use pyloader.DataLoader, which reads every chunk once.

    Args:
      data_dir: The chunks' directory, with a manifest; or the manifest; or their address in an object store.
      datareader: Reads a chunk; None for the one that the manifest names.
      cached_chunks: How many chunks are kept.
      data_version: Which version of a set that grows by `pyloader split --append`, counted from 1; None is the newest.
      storage_options: Options of the store, such as keys and an endpoint; None takes the usual variables of the
        environment.
      cache_dir: Where chunks of a store are kept on this machine; None is $PYLOADER_CACHE, or ~/.cache/pyloader/chunks.
      offline: Whether nothing is asked of the store (False): what the cache has is all there is.

    Raises:
      DataDirError: there are no chunks, or no manifest.
      ManifestError: the chunks differ from their manifest, or there is no such version.
      StoreError: the store cannot be asked.
      CacheError: the cache cannot hold a chunk.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        *,
        datareader: DataReader | None = None,
        cached_chunks: int = 4,
        data_version: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        offline: bool = False,
    ) -> None:
        options = StoreOptions(
            cache_dir=None if cache_dir is None else os.fspath(cache_dir),
            storage_options=storage_options,
            offline=offline,
            called=called_at_once,
        )
        self._chunks = list_chunks(data_dir, options, version=data_version)
        if self._chunks.counts is None:
            hint = f"Count them once: pyloader index {os.fspath(data_dir)}"
            raise DataDirError(
                os.fspath(data_dir), "has no manifest.json, so that nobody knows which sample is where.", hint
            )
        self._reader = datareader or reader_for(self._chunks.file(0), manifest=self._chunks.manifest)
        if datareader is None and isinstance(self._reader, NumpyReader):
            # What the cache has of a store may be evicted after it is read, so nothing of it stays mapped.
            can_be = map(can_be_mapped, map(self._chunks.file, range(len(self._chunks))))
            self._reader.mmap = self._chunks.stored is None and all(can_be)
        super().__init__(self._chunks.counts, num_kept=checked_integer("cached_chunks", cached_chunks, at_least=1))

    @property
    def is_thread_safe(self) -> bool:  # type: ignore[override]
        """Whether several threads may call it at once: where its reader may be called so."""
        return is_thread_safe(self._reader)

    @property
    def origin(self) -> str:
        """The chunks' directory, or their address."""
        return self._chunks.place

    def read_block(self, block: int) -> Columns:
        """Return the columns of a chunk.

        Raises:
          ChunkReadError: it is damaged.
          DatasetError: it has another number of samples than the manifest says.
        """
        expected = int(self.starts[block + 1] - self.starts[block])
        with self._chunks.held(block, FetchTerms(wait=Pauses())) as path, as_listed(self._chunks, block, path):
            columns = read_chunk(self._reader, path, self._chunks.part(block))
        if row_count(columns) != expected:
            what = f"has {row_count(columns):,} samples, and the manifest says {expected:,}."
            raise DatasetError(self._chunks.path(block), what, "Make the manifest again: pyloader index --overwrite")
        return columns
