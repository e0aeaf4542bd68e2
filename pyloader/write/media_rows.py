"""Files of images or sounds -> sources of rows: the bytes of each in one column, what is known of it in others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial

import numpy as np

from pyloader.columns import Columns, take_rows
from pyloader.errors import SplitError
from pyloader.files import utf8_name
from pyloader.write.blocks import BLOCK_BYTES, Block, Source, Span
from pyloader.write.media import MediaKind, read_media

__all__ = ["media_sources"]

_FILES_OF_SOURCE = 256  # at most: millions of files have few sources, and a unit of small images has many


def media_sources(
    kind: MediaKind,
    files: Sequence[tuple[str, int]],
    columns_of: Callable[[int, int], Callable[[], Columns]],
) -> tuple[Source, ...]:
    """Return runs of files, a few megabytes each.

    Args:
      kind: What they are.
      files: (path, size) of each.
      columns_of: Of the files [start, stop), returns what returns the columns that are beside their bytes.
    """
    sources = []
    for start, stop in _runs([size for _, size in files]):
        run = tuple(files[start:stop])
        num_bytes = sum(size for _, size in run)
        read = partial(_blocks, kind, run, columns_of(start, stop))
        sources.append(Source(run[0][0], num_bytes, read, num_bytes))
    return tuple(sources)


def _runs(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = num_bytes = 0
    for index, size in enumerate(sizes, start=1):
        num_bytes += size
        if index - start == _FILES_OF_SOURCE or num_bytes >= BLOCK_BYTES or index == len(sizes):
            yield start, index
            start, num_bytes = index, 0


def _blocks(
    kind: MediaKind,
    files: Sequence[tuple[str, int]],
    columns: Callable[[], Columns],
    span: Span,
) -> Generator[Block, None, None]:
    read = [read_media(kind, path, size) for path, size in files]
    good = [row for row, data in enumerate(read) if isinstance(data, bytes)]
    bad = [SplitError(e.path, e.what, e.hint, row) for row, e in enumerate(read, start=1) if isinstance(e, SplitError)]
    known = take_rows(columns(), np.array(good, np.int64)) if bad else columns()
    yield Block(
        {kind.column: [data for data in read if isinstance(data, bytes)], **known},
        1,
        sum(size for _, size in files),
        lines=[row + 1 for row in good],
        bad=bad,
        files=[utf8_name(path) for path, _ in files],
    )
