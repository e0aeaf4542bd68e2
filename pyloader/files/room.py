"""The room that a chunk has in memory: what is packed small may become anything, and is stopped before it does."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pyloader.errors import MemoryBoundError
from pyloader.machine.limits import memory_limits
from pyloader.options import format_bytes

__all__ = ["Room", "check_fits", "half_of_memory", "long_line", "longest_line", "room_of"]

_room: ContextVar[int | None] = ContextVar("room", default=None)

_LINES_IN_ROOM = 2  # a line is put together of parts: both are there for a moment


@contextmanager
def room_of(max_bytes: int | None) -> Iterator[None]:
    """Have the chunks that are read within become at most so many bytes; None is half of the memory."""
    token = _room.set(max_bytes)
    try:
        yield
    finally:
        _room.reset(token)


@functools.cache
def half_of_memory() -> int:
    """Return half of the memory that this process may use, in bytes: of its control group, the machine or ulimit."""
    return min(memory_limits().values()) // 2


def longest_line(room: Room | None = None) -> float:
    """Return how many bytes a line may have: a quarter of the memory, and no more than there is room for."""
    most = max(half_of_memory(), _room.get() or 0) // _LINES_IN_ROOM
    return most if room is None else min(most, room.limit)


def long_line(path: str, longest: float) -> MemoryBoundError:
    """Return the error for a file that has a line longer than `longest`."""
    what = f"{path}: has a line of more than {format_bytes(longest)}."
    return MemoryBoundError(what, "If it is no text, say what it is; if it is meant, a larger max_bytes= goes further")


def check_fits(path: str, num_bytes: int) -> None:
    """Raise before a file of so many bytes is read whole, where it is larger than the memory of this process.

    The user's `max_bytes` goes further, where it is larger.

    Raises:
      MemoryBoundError: it is.
    """
    most = max(2 * half_of_memory(), _room.get() or 0)
    if num_bytes > most:
        what = f"{path}: is to be read at once and has {format_bytes(num_bytes)}, more than the memory of "
        hint = "Have it read in parts: pyloader index FILE. Where that finds none, make smaller files: pyloader split"
        raise MemoryBoundError(f"{what}{format_bytes(most)}.", hint)


class Room:
    """What one chunk may still take.

    Without a bound of the user's it is half of the memory, of all that reading takes.  The user's `max_bytes` is of
    columns: numbers in text take much more while they are read, and that is bounded by the larger of the two.

    Args:
      path: The chunk, named in errors.
      says: Returns what the chunk says that it unpacks to, for errors; None when it says nothing.
      is_bounded: Whether it can become much more than it is on disk: a plain file cannot.
    """

    def __init__(self, path: str, *, says: Callable[[], int | None] = lambda: None, is_bounded: bool = True) -> None:
        self._path, self._says = path, says
        self._max_bytes = _room.get()
        self.limit: float = math.inf
        self._left_to_take = self._left_to_keep = math.inf
        if is_bounded:
            self.limit = half_of_memory() if self._max_bytes is None else self._max_bytes
            self._left_to_keep = self.limit
            self._left_to_take = max(half_of_memory(), self.limit)

    def take(self, num_bytes: int, *, kept: int | None = None) -> None:
        """Count what is about to be taken.

        Args:
          num_bytes: While the chunk is read.
          kept: Of that, what its columns will take; None for all.

        Raises:
          MemoryBoundError: it is more than there is room for.
        """
        self._left_to_take -= num_bytes
        self._left_to_keep -= num_bytes if kept is None else kept
        if min(self._left_to_take, self._left_to_keep) < 0:
            raise self.error()

    def error(self) -> MemoryBoundError:
        """Return the error for a chunk that has no room."""
        limit = self.limit if self._left_to_keep < 0 else max(half_of_memory(), self.limit)
        whose = f"max_bytes={self._max_bytes:,}" if limit == self._max_bytes else "half of the memory"
        said = self._says()
        says = "" if said is None else f"; it says that it unpacks to {format_bytes(said)}"
        what = f"{self._path}: takes more than {format_bytes(int(limit))} unpacked, which is {whose}{says}."
        hint = "Split it into smaller chunks: pyloader split; or let the loader go further: a larger max_bytes="
        return MemoryBoundError(what, hint)
