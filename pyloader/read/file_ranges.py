"""A file's bytes, or a range of them, in memory of their own."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from pyloader.errors import ChunkReadError
from pyloader.files import chunk_room, open_bytes, open_chunk, packing_of
from pyloader.machine.memory import RecycledMemory, keep_freed_memory

__all__ = ["all_of", "range_of"]

_SIZE_BITS = 4


def all_of(path: str, memory: RecycledMemory) -> bytes | memoryview:
    """Return the bytes of a chunk file, unpacked.

    Args:
      path: The file.
      memory: In which those of a file that is not packed lie.

    Raises:
      OSError: it is missing.
      ChunkReadError: it cannot be read, or, of a packed one, is cut or damaged.
      MemoryBoundError: there is no room for them.
    """
    with open_chunk(path, "rb", room=chunk_room(path)) as file:
        return file.read() if packing_of(path) else _filled(file, os.path.getsize(path), memory)


def range_of(path: str, start: int, stop: int, memory: RecycledMemory | None = None) -> memoryview:
    """Return the bytes of a file from `start` to `stop`.

    Args:
      path: The file.
      start, stop: Where they begin and end in it.
      memory: In which they lie; None (the default) is memory of their own.

    Raises:
      OSError: it cannot be read.
      ChunkReadError: it has fewer.
    """
    keep_freed_memory()
    with open_bytes(path, goes_on=False) as file:
        file.seek(start)
        found = _filled(file, stop - start, memory)
    if len(found) < stop - start:
        what = f"ends early: {len(found):,} bytes found, {stop - start:,} expected."
        raise ChunkReadError(path, what, "Fetch it again, or index it again")
    return found


def _filled(file: Any, num_bytes: int, memory: RecycledMemory | None) -> memoryview:
    """Return the next bytes of a file, fewer at its end; NumPy's memory is of huge pages, which come twice as fast."""
    if memory is None:
        found = np.empty(num_bytes, np.uint8).data
    else:
        # Parts are of about one size: what held one holds the next, which may be somewhat larger.
        step = 1 << max(0, num_bytes.bit_length() - _SIZE_BITS)
        found = memory.empty(((num_bytes // step + 1) * step,), np.dtype(np.uint8)).data[:num_bytes]
    filled = 0
    while filled < num_bytes and (count := file.readinto(found[filled:])):
        filled += count
    return found[:filled].toreadonly()
