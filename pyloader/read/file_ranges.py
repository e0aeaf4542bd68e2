"""A range of a file's bytes, read whole."""

from __future__ import annotations

from pyloader.errors import ChunkReadError
from pyloader.files import open_bytes
from pyloader.machine.memory import keep_freed_memory

__all__ = ["range_of"]


def range_of(path: str, start: int, stop: int) -> bytes:
    """Return the bytes of a file from `start` to `stop`.

    Raises:
      OSError: it cannot be read.
      ChunkReadError: it has fewer.
    """
    keep_freed_memory()
    with open_bytes(path, goes_on=False) as file:
        file.seek(start)
        parts = []
        left = stop - start
        while left and (part := file.read(left)):
            parts.append(part)
            left -= len(part)
    if left:
        what = f"ends early: {stop - left:,} bytes found, {stop:,} expected."
        raise ChunkReadError(path, what, "Fetch it again, or index it again")
    return parts[0] if len(parts) == 1 else b"".join(parts)
