"""Join: one batch group of each stream become one batch, with as many rows of each stream; in a mixture, one of each
source in each stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from pyloader.columns import Columns, concatenate_columns
from pyloader.machine.memory import RecycledMemory
from pyloader.plan import Mark
from pyloader.shuffle.cut import BatchGroup, gather_group
from pyloader.shuffle.deal import EpochEnd

__all__ = ["AnyGroup", "JoinedGroup", "gather_joined", "join"]


@dataclass(frozen=True, slots=True)
class JoinedGroup:
    """A batch made of one group of each stream, one after another; in a mixture, of each source in it."""

    parts: tuple[BatchGroup, ...]  # the groups, all of the same epoch and step
    mark: Mark | None = None  # what a mixture's streams have got of each source after it; None without a mixture
    origin: ClassVar[tuple[int, int]] = (0, 0)  # with several streams the step alone says where a batch is
    end: ClassVar[tuple[int, int]] = (0, 0)  # the same

    @property
    def epoch(self) -> int:
        """Counted from 0."""
        return self.parts[0].epoch

    @property
    def step(self) -> int:
        """Which batch of the epoch it is."""
        return self.parts[0].step

    @property
    def num_rows(self) -> int:
        """How many rows all parts have."""
        return sum(part.num_rows for part in self.parts)

    @property
    def num_filled(self) -> int:
        """How many rows of all parts fill up."""
        return sum(part.num_filled for part in self.parts)

    def effective_chunks(self, batch_size: int) -> float:
        """Return of how many chunks the batch holds samples, as `BatchGroup.effective_chunks` does; 0 if unknown."""
        found = [part.effective_chunks(batch_size) for part in self.parts]
        if not all(found):
            return 0.0
        squares = sum(part.num_rows**2 / chunks for part, chunks in zip(self.parts, found, strict=True))
        return self.num_rows**2 / squares

    @property
    def chunk_indices(self) -> tuple[int, ...]:
        """Which chunks the segments of its parts mix, by their indices in the list of chunks."""
        return tuple(index for part in self.parts for index in part.chunk_indices)

    def sources(self) -> np.ndarray:
        """Return of which source of a mixture each row is, int64 of shape [num_rows]."""
        return np.repeat([part.source or 0 for part in self.parts], [part.num_rows for part in self.parts])

    def samples(self) -> np.ndarray:
        """Return which rows are samples and not filling, bool of shape [num_rows]."""
        return np.concatenate([part.samples() for part in self.parts])


AnyGroup: TypeAlias = BatchGroup | JoinedGroup


def join(streams: Sequence[Iterable[BatchGroup | EpochEnd]]) -> Iterator[AnyGroup | EpochEnd]:
    """Yield a group of every stream as one, step after step, asking one stream after the other; then the epoch's end.

    Args:
      streams: What `cut` yields of an epoch, one batch a group, for each stream; all have the same number of steps.
        Of one stream alone the groups are passed on as they are, of several batches or of one.
    """
    if len(streams) == 1:
        yield from streams[0]
        return
    for met in zip(*streams, strict=True):
        ends = [end for end in met if isinstance(end, EpochEnd)]
        parts = tuple(group for group in met if isinstance(group, BatchGroup))
        if not ends:
            yield JoinedGroup(parts)
        else:
            assert not parts, "the streams of an epoch have different numbers of steps"
            rows, dropped, filled = (
                sum(getattr(end, name) for end in ends) for name in ("num_rows", "num_dropped", "num_filled")
            )
            yield EpochEnd(ends[0].epoch, rows, dropped, filled)


def gather_joined(group: JoinedGroup, memory: RecycledMemory) -> Columns:
    """Return the rows of every part, one part after another, and release the chunks that they were in."""
    return concatenate_columns([gather_group(part, memory) for part in group.parts])
