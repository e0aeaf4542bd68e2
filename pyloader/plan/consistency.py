"""Consistency: the numbers of a state depend on each other, and a state that contradicts itself is refused.

With the chunks' counts a position is a function of its steps.  Without counts, only what holds for all counts is
checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from pyloader.errors import StateError
from pyloader.plan.dealing import Dealing
from pyloader.plan.position import Position
from pyloader.plan.streams import Streams

__all__ = ["check_left_out", "check_with_counts", "check_without_counts"]

_UNCHANGED = "Give what state_dict() returned, unchanged"


def check_with_counts(position: Position, streams: Streams) -> None:
    """Raise unless a run over `streams` stands at `position` after its steps.

    Raises:
      StateError: it does not; the message says where it would stand.
    """
    expected = streams.position(position.steps_done)
    ends_epoch = expected.step == streams.steps_per_epoch
    if position != expected and not (ends_epoch and position == expected.next_epoch()):
        raise _contradiction(position, f"after steps_done={position.steps_done} it is {_describe_position(expected)}")


def check_without_counts(position: Position, dealing: Dealing, batch_size: int) -> None:
    """Raise unless a run over chunks with some numbers of rows may stand at `position`.

    Raises:
      StateError: none can.
    """
    epoch, segment, offset, step, steps_done = astuple(position)[:5]
    num_before, num_rows = steps_done - step, step * batch_size
    if num_before < epoch or (epoch == 0 and num_before):
        raise _contradiction(position, "each epoch before this one has a step at least, and before the first is none")
    if step == 0:
        if (segment, offset) != (0, 0):
            raise _contradiction(position, "an epoch without a step is at its start")
    elif segment < dealing.first_segment or segment > dealing.num_chunks:
        possible = f"{dealing.first_segment} to {dealing.num_chunks}"
        raise _contradiction(position, f"after an epoch's first step the segment is one of {possible}")
    elif segment == dealing.num_chunks:
        if offset:
            raise _contradiction(position, "behind the last segment there is no row")
    elif offset > num_rows or (segment == dealing.first_segment and offset < num_rows):
        raise _contradiction(position, f"{step:,} steps of {batch_size:,} rows end elsewhere")


def check_left_out(chunks: Sequence[int], *, num_chunks: int, num_streams: int, max_skipped: int) -> None:
    """Raise unless `chunks` may be those that a state leaves out: indices in rising order, and none of several streams.

    Raises:
      StateError: they cannot be, or are more than may be skipped here.
    """
    is_good = all(0 <= chunk < num_chunks for chunk in chunks) and list(chunks) == sorted(set(chunks))
    if not is_good or (chunks and num_streams > 1):
        what = f"the state has skipped_chunks={list(chunks)!r}, and there are {num_chunks:,} chunks"
        raise StateError(f"{what} in {num_streams} stream{'s' if num_streams > 1 else ''}.", _UNCHANGED)
    if len(chunks) > max_skipped:
        what = f"the state leaves out {len(chunks)} chunks; this loader has max_skipped={max_skipped}."
        raise StateError(what, f"Make it DataLoader(..., max_skipped={len(chunks)})")


def _contradiction(position: Position, why: str) -> StateError:
    return StateError(f"the state contradicts itself: it has {_describe_position(position)}, but {why}.", _UNCHANGED)


def _describe_position(position: Position) -> str:
    return ", ".join(f"{name}={getattr(position, name)}" for name in Position.__slots__[:5])
