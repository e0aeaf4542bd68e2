"""Which rows each chunk has, once the units have been counted; pure arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from pyloader.errors import SplitError
from pyloader.files import ChunkEntry
from pyloader.write.chunk_files import chunk_name
from pyloader.write.chunking import Part
from pyloader.write.formats import ChunkFormat
from pyloader.write.ranges import Put, by_range
from pyloader.write.receipts import UnitReceipt
from pyloader.write.request import Request
from pyloader.write.sizes import even_counts

__all__ = ["ChunkTask", "chunk_tasks", "named_chunks"]


class ChunkTask(NamedTuple):
    """A chunk to be gathered.

    Attributes:
      name: The task's.
      output: Where the chunk goes.
      number: Its place among the output's chunks.
      parts: Its rows.
    """

    name: str
    output: str
    number: int
    parts: tuple[Part, ...]


def chunk_tasks(
    request: Request, receipts: Sequence[UnitReceipt], put: Mapping[str, Sequence[Put]], *, cut: bool, shown: str
) -> dict[str, list[ChunkTask]]:
    """Return the chunks of the outputs whose rows were put aside.

    Args:
      request: The options.
      receipts: What came of the units, in order.
      put: Output -> its rows that were put aside.
      cut: Whether the main output has its chunks already.
      shown: The dump, for errors.

    Raises:
      SplitError: there are fewer samples than chunks.
    """
    main, *others = request.outputs
    totals = {name: sum(receipt.num_rows.get(name, 0) for receipt in receipts) for name in request.outputs}
    raw_bytes = sum(receipt.raw_bytes.get(main, 0) for receipt in receipts)
    wanted = request.sizes.num_chunks
    if wanted is not None and wanted > totals[main]:
        what = f"holds {totals[main]:,} samples, too few for {wanted:,} chunks."
        raise SplitError(shown, what, "Ask for fewer")
    if cut:
        number = sum(len(receipt.chunks.get(main, ())) for receipt in receipts)
        size = totals[main] / number if number else max(totals.values()) or 1
        counts = {name: even_counts(totals[name], -int(-totals[name] // size)) for name in others}
    else:
        every = request.sizes.counts((totals[main], raw_bytes), tuple(totals[name] for name in others))
        counts = dict(zip(request.outputs, every, strict=True))
    return {
        output: _tasks(request.outputs.index(output), output, sizes, put[output], shuffle=request.shuffle)
        for output, sizes in counts.items()
    }


def named_chunks(
    output: str,
    receipts: Sequence[UnitReceipt],
    tasks: Sequence[ChunkTask],
    made: Mapping[str, ChunkEntry],
    *,
    first: int,
    chunks: ChunkFormat,
    version: int,
) -> list[tuple[ChunkEntry | None, str]]:
    """Return the chunks of an output in order: the entry under its last name, and the file that a task made.

    Args:
      output: The output.
      receipts: What came of the units, in order.
      tasks: Its chunks that were gathered.
      made: Name of such a task -> its chunk; it may be missing where the chunk is in its place already.
      first: The index of the first chunk.
      chunks: The format.
      version: The version in their names.
    """
    cut: list[ChunkEntry | None] = [entry for receipt in receipts for entry in receipt.chunks.get(output, ())]
    found = cut or [made.get(task.name) for task in tasks]
    renamed = msgspec.structs.replace
    return [
        (None, "") if entry is None else (renamed(entry, file=chunk_name(index, chunks, version)), entry.file)
        for index, entry in enumerate(found, start=first)
    ]


def _tasks(index: int, output: str, sizes: Sequence[int], put: Sequence[Put], *, shuffle: bool) -> list[ChunkTask]:
    """Return the chunks of an output, which take their rows from its ranges of keys, or from its units, in order."""
    together: list[tuple[tuple[str, ...], int, int]] = []  # files that are read together, the bucket, its rows
    if shuffle:
        for found in by_range(put).values():
            names, buckets, counts = zip(*found, strict=True)
            together.append((names, buckets[0], sum(counts)))
    else:
        together = [((file,), bucket, counts[0]) for file, bucket, _, counts in put]
    tasks = []
    stops = list(itertools.accumulate(sizes))
    parts: list[Part] = []
    row, number = 0, 0
    for names, bucket, total in together:
        start = row
        row += total
        while number < len(stops) and start < row:
            begin = max(start, stops[number] - sizes[number])
            stop = min(row, stops[number])
            parts.append(Part(names, bucket, begin - (row - total), stop - (row - total)))
            start = stop
            if stop == stops[number]:
                tasks.append(ChunkTask(f"chunk-{index}-{number:06d}", output, number, tuple(parts)))
                parts, number = [], number + 1
    return tasks
