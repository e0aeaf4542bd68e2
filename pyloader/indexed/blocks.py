"""Blocks: samples that lie in blocks, of which one can only be read whole; the latest few are kept."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyloader.columns import Columns
from pyloader.deliver import Once
from pyloader.indexed.dataset import FileDataset
from pyloader.indexed.rows import Rows, rows_by_source, taken_rows

__all__ = ["BlockDataset"]


class BlockDataset(FileDataset[dict[str, Any]]):
    """Samples, each a dict, block after block.  Subclass it and write `read_block`.

    Args:
      counts: How many samples each block has; at least one block.
      num_kept: How many blocks are kept in memory, those used last.
    """

    def __init__(self, counts: Sequence[int] | np.ndarray, *, num_kept: int) -> None:
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        # Of several threads that want a block one reads it, and the others wait.
        self._kept = functools.lru_cache(num_kept)(lambda block: Once(functools.partial(self.read_block, block)))

    @abstractmethod
    def read_block(self, block: int) -> Columns:
        """Return the columns of a block.  Several threads may call it, never for one block at a time."""

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, indices: np.ndarray) -> Rows:
        """Return the samples at `indices`, as columns; each block that has some of them is read at most once."""

        def taken(block: int, positions: np.ndarray) -> Rows:
            return taken_rows(self._kept(block)(), indices[positions] - self.starts[block])

        return rows_by_source(np.searchsorted(self.starts, indices, side="right") - 1, taken)

    def close(self) -> None:
        """Forget the blocks that are kept."""
        self._kept.cache_clear()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.origin!r}, {len(self):,} samples)"

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where the samples lie."""
