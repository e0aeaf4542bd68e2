"""Position: where in the order a run stands.

`segment` and `offset` say where the next row comes from; they need no counts.  With several streams each has a segment
of its own, which the step and the counts say, and the two mean nothing; of a mixture the mark says it.  `step` counts
the epoch's batches so far, `steps_done` those of all epochs.  An epoch that has been received whole stands at
(epoch, num_chunks, 0) until its end has been delivered, and at (epoch + 1, 0, 0) afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyloader.plan.schedule import Mark

__all__ = ["START", "ItemPosition", "Position"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two batches."""

    epoch: int = 0  # counted from 0
    segment: int = 0  # the segment that the next row comes from
    offset: int = 0  # the row in it, in delivery order
    step: int = 0  # how many batches of this epoch have been received
    steps_done: int = 0  # how many batches of all epochs have been received
    mark: Mark | None = None  # what a mixture's streams have got of each source; None where there is no mixture

    def next_epoch(self) -> Position:
        """Return the start of the following epoch."""
        return Position(epoch=self.epoch + 1, steps_done=self.steps_done)


@dataclass(frozen=True, slots=True)
class ItemPosition:
    """A place between two batches of items, whose order is a function of the step."""

    steps_done: int = 0  # how many batches of all epochs have been received
    ended: bool = False  # whether, where a run ends at this place, the end has been received too

    def next_epoch(self) -> ItemPosition:
        """Return the same place, with the end of a run there received."""
        return ItemPosition(self.steps_done, ended=True)


START = Position()
