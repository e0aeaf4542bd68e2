"""Memory for arrays, used again when no array refers to it any more.

Fresh memory costs 20 to 35% of a copy in page faults.  A block is handed out again when, by reference count, no array
uses it: a batch that the user keeps keeps its block, and a new one is made.  Where the interpreter's counts do not tell
that, all memory is fresh.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "Allocate",
    "RecycledMemory",
    "allocating",
    "counts_tell",
    "have_one_allocator",
    "keep_freed_memory",
    "return_freed_memory",
    "unused_bytes",
]

_M_MMAP_THRESHOLD = -3  # of mallopt(3)
_SMALLEST = 2**16  # below this many bytes, malloc is as fast

_memories: list[weakref.ref[RecycledMemory]] = []  # all that this process has

# Shape, dtype -> an uninitialised array, or None for one from elsewhere.
Allocate: TypeAlias = "Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray | None]"

_allocate: ContextVar[Allocate | None] = ContextVar("allocate", default=None)


@contextmanager
def allocating(allocate: Allocate) -> Iterator[None]:
    """Have every `RecycledMemory` ask `allocate` first, for this thread and as long as the context lasts."""
    token = _allocate.set(allocate)
    try:
        yield
    finally:
        _allocate.reset(token)


class RecycledMemory:
    """Makes arrays, in memory that earlier arrays have left.

    Several threads may use one.  A copy made by pickle begins with no memory.

    Args:
      max_blocks: How many blocks are remembered.  When there are more, the oldest is forgotten: its arrays keep it, and
        it is freed with them.  There are never more blocks than arrays were in use at once.
    """

    def __init__(self, max_blocks: int = 32) -> None:
        self._blocks: deque[np.ndarray] = deque(maxlen=max_blocks)
        _memories[:] = [known for known in _memories if known() is not None]
        _memories.append(weakref.ref(self))

    def __reduce__(self) -> tuple[type[RecycledMemory], tuple[int | None]]:
        return RecycledMemory, (self._blocks.maxlen,)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Return an uninitialised, writable array that shares memory with no other living array."""
        allocate = _allocate.get()
        if allocate is not None and (array := allocate(shape, dtype)) is not None:
            return array
        num_bytes = math.prod(shape) * dtype.itemsize
        if num_bytes < _SMALLEST or dtype.hasobject or not counts_tell():
            return np.empty(shape, dtype)
        block = self._unused_block(num_bytes)
        if block is None:
            block = np.empty(num_bytes, np.uint8)
        # Every array made from it, and every view of those, holds the block: that is what the count tells by.
        array = block[:num_bytes].view(dtype).reshape(shape)
        self._blocks.append(block)
        return array

    def unused_bytes(self, *, forget: bool = False) -> int:
        """Return how many bytes are kept for arrays to come, and with `forget` free them."""
        num_bytes = 0
        for _ in range(len(self._blocks)):
            block, references = _take(self._blocks)
            if block is None:
                break
            if references == _UNUSED:
                num_bytes += block.nbytes
            if references != _UNUSED or not forget:
                self._blocks.appendleft(block)
        return num_bytes

    def _unused_block(self, num_bytes: int) -> np.ndarray | None:
        replaced = False
        for _ in range(len(self._blocks)):
            block, references = _take(self._blocks)
            if block is None:
                break
            if references == _UNUSED:
                if num_bytes <= block.nbytes <= 2 * num_bytes:
                    return block
                if not replaced:  # an idle block of another size makes room for the new one
                    replaced = True
                    continue
            self._blocks.appendleft(block)
        return None


@functools.cache
def counts_tell() -> bool:
    """Tell whether reference counts say here which blocks are in use.  Tried once in a process, at the first use.

    The counts are CPython's, and no promise of the language: another version may leave out some of them, or add some.
    """
    blocks = deque([np.empty(_SMALLEST, np.uint8)])

    def count() -> int:
        block, references = _take(blocks)
        assert block is not None
        blocks.append(block)
        return references

    def are_right(hold: Callable[[np.ndarray], object]) -> bool:
        held = hold(blocks[0][:8].view(np.float32).reshape(2, 1))
        while_held = count()
        del held
        return while_held > _UNUSED == count()

    ways: list[Callable[[np.ndarray], object]] = [lambda array: array, lambda array: array[1:].T]
    return all(are_right(hold) for hold in ways for _ in range(50))  # code that has run often may be compiled anew


def unused_bytes(*, forget: bool = False) -> int:
    """Return how many bytes all of this process keeps for arrays to come, and with `forget` free them."""
    memories = [known() for known in list(_memories)]
    return sum(memory.unused_bytes(forget=forget) for memory in memories if memory is not None)


@functools.cache
def keep_freed_memory() -> None:
    """Have the C library keep what libraries free, for what they take next: for those that take much in small parts.

    By default glibc gives it back to the system at once, and every next chunk costs page faults again.  It keeps as
    much as twice the largest block that it has seen freed, up to 64 MiB a thread (mallopt(3), M_TRIM_THRESHOLD), so it
    is shown the largest that counts.  Nothing is ever written to that one, so it takes no memory.
    """
    np.empty(2**25 - 2**16, np.uint8)


@functools.cache
def return_freed_memory() -> None:
    """Have the C library give each block of a MiB and more back to the system when it is freed, in a process of ours.

    What is kept for long, between much that is not, leaves gaps in memory that is kept: half as much again.
    """
    with contextlib.suppress(AttributeError, OSError):  # glibc alone has it
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**20)


def have_one_allocator() -> None:
    """Have Arrow take its memory from the C library, in a process of ours that has not imported it yet.

    Its own allocator keeps memory as well, which nothing else can use.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def _take(blocks: deque[np.ndarray]) -> tuple[np.ndarray | None, int]:
    """Take the block out that was used last, and count who holds it: what is in it may be in the processor's cache.

    Taking is a single step under the interpreter's lock, so no two threads ever look at the same block: counting first
    and taking afterwards would let both of them have it.
    """
    try:
        block = blocks.pop()
    except IndexError:  # other threads are looking at all of them
        return None, 0
    return block, sys.getrefcount(block)


# What `_take` counts of a block that nobody holds.
_UNUSED = _take(deque([np.empty(1, np.uint8)]))[1]
