"""ChunkSink: the blocks of a Ray dataset -> chunk files, each task its own; listed when all are there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow
from ray.data import Dataset, Datasink
from ray.data.block import BlockAccessor
from ray.exceptions import RayTaskError

from pyloader.columns import Columns
from pyloader.errors import PyLoaderError, SplitError
from pyloader.options import parse_bytes
from pyloader.read.parquet import ParquetReader
from pyloader.write.blocks import BLOCK_BYTES
from pyloader.write.collecting import ChunkCollector, Written, write_apart
from pyloader.write.sizes import ChunkSizes

__all__ = ["ChunkSink", "write_chunks"]


def write_chunks(
    ray_dataset: Dataset,
    where: str | os.PathLike[str],
    *,
    format: str | None = None,
    chunk_samples: int | None = None,
    chunk_bytes: int | str = "64MiB",
    storage_options: Mapping[str, Any] | None = None,
    scratch_dir: str | os.PathLike[str] | None = None,
) -> int:
    """Write the rows of a Ray dataset as chunks with a manifest, by tasks on all nodes.

    The order of rows and the borders of chunks follow Ray's blocks, which need not be the same in another run.  A write
    that was stopped cannot be gone on with: it is not exactly restartable, as `pyloader.split` is.  Ray runs a task
    again whose worker died; what its first attempt wrote is not listed.

    Args:
      ray_dataset: A `ray.data.Dataset`.
      where: A directory without chunks, which all nodes see under the same name, or an address of a store.
      format: One of pyloader.write.FORMATS; None is "columns" when the columns are arrays, "parquet" when there are
        bytes, or arrays of other numbers than int64, float64 and bool beside text, and "jsonl.zst" otherwise.
      chunk_samples: Samples of a chunk, at most; None goes by bytes.
      chunk_bytes: Bytes of a chunk before compression, at most; one larger sample is a chunk of its own.
      storage_options: Of the store, as DataLoader has them.
      scratch_dir: For a store: where chunks lie before they go there, a directory that all nodes see under the same
        name; None is ~/.cache/pyloader/writing.

    Returns:
      How many samples were written.

    Raises:
      SplitError: the directory holds other chunks; the dataset is empty, its blocks are not alike, or a value would not
        come back as it was.  What was written is removed.
      EngineError: a worker does not see the directory.
    """
    by_bytes = parse_bytes(chunk_bytes) if chunk_samples is None else None
    sizes = ChunkSizes(chunk_bytes=by_bytes, chunk_samples=chunk_samples)
    with ChunkCollector(where, format=format, storage_options=storage_options, scratch_dir=scratch_dir) as collector:
        try:
            ray_dataset.write_datasink(ChunkSink(collector, format=format, sizes=sizes))
        except RayTaskError as exc:
            raise (exc.cause if isinstance(exc.cause, PyLoaderError) else exc) from exc.cause
        return collector.num_samples


class ChunkSink(Datasink):
    """Writes each task's blocks as chunk files, and gives them to a collector.

    Args:
      collector: Lists the chunks.
      format: One of FORMATS, or None, as ChunkWriter has it.
      sizes: How large chunks are.
    """

    def __init__(self, collector: ChunkCollector, *, format: str | None, sizes: ChunkSizes) -> None:
        self._collector: ChunkCollector | None = collector
        self._made, self._format, self._sizes = collector.made, format, sizes

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_collector": None}  # it stays in the process that holds the directory

    @property
    def min_rows_per_write(self) -> int | None:
        """How many rows a task gets, at least: those of a chunk."""
        return self._sizes.chunk_samples

    @property
    def min_bytes_per_write(self) -> int | None:
        """How many bytes a task gets, at least: those of a chunk."""
        return self._sizes.chunk_bytes

    def write(self, blocks: Iterable[Any], ctx: Any) -> Written:
        """Write the blocks of one task."""
        parts = (part for block in blocks for part in _parts(block))
        return write_apart(parts, self._made, place=ctx.task_idx, format=self._format, sizes=self._sizes)

    def on_write_complete(self, write_result: Any) -> None:
        """Take the chunks of all tasks."""
        assert self._collector is not None
        self._collector.collect(write_result.write_returns)
        if self._collector.num_samples != write_result.num_rows:
            what = f"was given {write_result.num_rows:,} rows by Ray, and wrote {self._collector.num_samples:,}."
            raise SplitError(str(self._made.parent.parent), what)


def _parts(block: Any) -> Iterator[Columns]:
    """Yield the columns of a block, some megabytes at a time."""
    table = BlockAccessor.for_block(block).to_arrow()
    step = max(1, len(table) * BLOCK_BYTES // max(1, table.nbytes))
    for start in range(0, len(table), step):
        yield _columns(table.slice(start, step))


def _columns(table: Any) -> Columns:
    tensors = {field.name for field in table.schema if isinstance(field.type, pyarrow.BaseExtensionType)}
    plain = [name for name in table.column_names if name not in tensors]
    columns = ParquetReader().columns_of("", table.select(plain)) if plain else {}
    for name in tensors:
        values = BlockAccessor.for_block(table).to_numpy(name)
        columns[name] = list(values) if values.dtype.hasobject else values
    return {name: columns[name] for name in table.column_names}
