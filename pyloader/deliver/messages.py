"""Messages: objects from one process to another, over a socket, with large buffers beside the pickle and not in it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from pyloader.machine.memory import RecycledMemory

__all__ = ["FAILED", "Message", "receive", "send"]

# A pickle, and the buffers that stand outside it.
Message: TypeAlias = "tuple[bytes | memoryview, Sequence[memoryview]]"

FAILED: Message = (b"", ())  # in the place of an answer: the next message says what the call failed with

_HEAD = struct.Struct("=QQ")  # bytes of the pickle, number of buffers
_SIZE = struct.Struct("=Q")  # bytes of one buffer
_PARTS_AT_ONCE = 64  # far below any system's limit of parts in one call


def send(connection: socket.socket, message: Message) -> None:
    """Send a message, waiting until it has left.

    Raises:
      OSError: the other side is gone.
    """
    pickled, buffers = message
    head = _HEAD.pack(len(pickled), len(buffers)) + b"".join(_SIZE.pack(buffer.nbytes) for buffer in buffers)
    parts = [memoryview(head), memoryview(pickled), *buffers]
    while parts:
        parts = _after(connection.sendmsg(parts[:_PARTS_AT_ONCE]), parts)


def receive(connection: socket.socket, memory: RecycledMemory) -> Message:
    """Wait for a message, and return it; it lies in `memory`, writable.

    Raises:
      EOFError, OSError: the other side is gone.
    """
    pickle_size, num_buffers = _HEAD.unpack(_received(connection, memory, [_HEAD.size])[0])
    # A list, not an iterator: that would hold the memory it unpacks while we wait, and when the wait ends in an error
    # that is part of a cycle, collecting it crashes CPython, which clears a memoryview that is in use.
    sizes = [size for (size,) in _SIZE.iter_unpack(_received(connection, memory, [num_buffers * _SIZE.size])[0])]
    pickled, *buffers = _received(connection, memory, [pickle_size, *sizes])
    return pickled, buffers


def _received(connection: socket.socket, memory: RecycledMemory, sizes: Sequence[int]) -> list[memoryview]:
    """Return so many bytes each; together, since between two waits other threads may take the interpreter's lock."""
    blocks = [memory.empty((size,), np.dtype(np.uint8)).data for size in sizes]
    rest = [block for block in blocks if block.nbytes]
    while rest:
        got = connection.recvmsg_into(rest[:_PARTS_AT_ONCE], 0, socket.MSG_WAITALL)[0]
        if not got:
            raise EOFError("the other side has ended")
        rest = _after(got, rest)
    return blocks


def _after(num_bytes: int, parts: list[memoryview]) -> list[memoryview]:
    """Return what of `parts` follows the first `num_bytes`."""
    for number, part in enumerate(parts):
        if num_bytes < part.nbytes:
            return [part[num_bytes:], *parts[number + 1 :]]
        num_bytes -= part.nbytes
    return []
