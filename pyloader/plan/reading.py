"""Reading: which chunk is read when, from a position on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from pyloader.plan.dealing import Dealing
from pyloader.plan.order import chunk_order
from pyloader.plan.position import Position

__all__ = ["ReadTask", "read_tasks"]


@dataclass(frozen=True, slots=True)
class ReadTask:
    """Read a chunk.

    Attributes:
      epoch: For this epoch.
      number: As the number-th of it, from 0.
      chunk: Its index in the sorted list of chunks.
      part: Which of its rows are wanted, [first, last + 1) in the chunk's own permutation; None for all of them.
    """

    epoch: int
    number: int
    chunk: int
    part: tuple[int, int] | None = None


def read_tasks(dealing: Dealing, *, seed: int | None, start: Position, end_epoch: int | None) -> Iterator[ReadTask]:
    """Yield what to read, in order.

    Args:
      dealing: The window, which says where resuming in the middle of an epoch begins to read.
      seed: The seed of the chunks' order; None keeps that of the list.
      start: Where to begin.
      end_epoch: The first epoch that is not read; None never ends.
    """
    first = dealing.first_arrival(start.segment)
    epochs = itertools.count(start.epoch) if end_epoch is None else range(start.epoch, end_epoch)
    for epoch in epochs:
        order = None if seed is None else chunk_order(dealing.num_chunks, seed=seed, epoch=epoch)
        for number in range(first, dealing.num_chunks):
            yield ReadTask(epoch, number, number if order is None else int(order[number]))
        first = 0
