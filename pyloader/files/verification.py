"""Verification: whether a chunk's bytes are those that its manifest was made of."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

import numpy as np

from pyloader.errors import ChunkReadError, FileError, WorkerDiedError
from pyloader.files.chunk_directories import chunk_bytes
from pyloader.files.chunk_list import ChunkList
from pyloader.files.manifest import ChunkEntry, checksum_of
from pyloader.files.origins import makers_of
from pyloader.options import checked_word

__all__ = ["VERIFY_MODES", "Verification", "as_listed", "byte_difference", "size_difference", "verification_of"]

VERIFY_MODES = ("never", "first", "always")

_CHANGED_HINT = "Make a new loader once nothing is written there any more"


def size_difference(num_bytes: int, entry: ChunkEntry) -> str:
    """Return how a chunk's file of `num_bytes` differs from what its manifest says, in words; "" when it does not."""
    listed = entry.source_bytes
    return "" if num_bytes == listed else f"{num_bytes:,} bytes, the manifest says {listed:,}"


def byte_difference(path: str | os.PathLike[str], entry: ChunkEntry) -> str:
    """Return how a chunk's bytes in its file differ from what its manifest says, in words; "" when they do not.

    The checksum, where there is one, is computed only when the size is right.

    Raises:
      OSError: it cannot be read.
    """
    if differs := size_difference(chunk_bytes(path), entry):
        return differs
    part = entry.as_part
    ranges = part.ranges if part is not None and part.ranges else None
    return "the checksum differs" if entry.checksum and checksum_of(path, ranges) != entry.checksum else ""


@contextlib.contextmanager
def as_listed(chunks: ChunkList, index: int, path: str) -> Iterator[None]:
    """Read chunk `index` from `path` inside of this: it is as large as it was when listed, before and after.

    Errors in a chunk of a store name its address, and not where the cache has it.

    Raises:
      ChunkReadError: it has grown, shrunk or become something else; both sizes are named.
    """
    named, listed = chunks.file(index), chunks.file_bytes(index)
    if changed := _change(path, listed):
        raise ChunkReadError(named, changed, _CHANGED_HINT)
    try:
        yield
    except WorkerDiedError:
        raise
    except Exception as exc:
        with contextlib.suppress(OSError):
            if changed := _change(path, listed):
                raise ChunkReadError(named, changed, _CHANGED_HINT) from exc
        if isinstance(exc, FileError) and exc.path == path != named:
            raise type(exc)(named, exc.what, exc.hint, exc.line) from exc
        raise
    if changed := _change(path, listed):
        raise ChunkReadError(named, changed, _CHANGED_HINT)


def _change(path: str, listed: int) -> str:
    status = os.stat(path)
    if stat.S_ISREG(status.st_mode):
        found = status.st_size
    elif stat.S_ISDIR(status.st_mode):
        # A Zarr may be a million files: they are counted when it is listed, and not for each part of it.
        found = chunk_bytes(path) if path.endswith(".columns") else listed
    else:  # a reader would wait for whoever writes to it
        return f"was a file of {listed:,} bytes when it was listed, and is a pipe, a socket or a device."
    return "" if found == listed else f"has {found:,} bytes, and had {listed:,} when it was listed."


class Verification:
    """Compares a chunk with its checksum in the manifest before it is read: the first time, or each time.

    The bytes are read from the disk by this, and then by the reader out of the system's cache.

    Args:
      chunks: The chunks, with a manifest that has their checksums.
      always: Whether also those are compared that have been found well before.
    """

    def __init__(self, chunks: ChunkList, *, always: bool) -> None:
        assert chunks.manifest is not None
        self._chunks, self._manifest, self._always = chunks, chunks.manifest, always
        self._is_well = np.zeros(len(chunks), bool)

    def check(self, index: int, path: str) -> None:
        """Compare chunk `index`, which lies at `path`.

        Raises:
          ChunkReadError: its bytes are not those that the manifest was made of.
          OSError: it cannot be read.
        """
        if self._is_well[index] and not self._always:
            return
        if differs := byte_difference(path, self._manifest.chunks[index]):
            what = f"is not what the manifest was made of: {differs}."
            raise ChunkReadError(self._chunks.path(index), what, self._remedy(index))
        self._is_well[index] = True

    def _remedy(self, index: int) -> str:
        [(origin, _)] = makers_of(self._manifest, [self._manifest.chunks[index].file])
        if origin.can_be_repeated:
            return f"Write it again, by the command that made it; the manifest says it was made by: {origin.command}"
        return f"Fetch it again; what else is damaged says: pyloader verify {self._chunks.place}"


def verification_of(chunks: ChunkList, mode: str) -> Verification | None:
    """Return what verifies `chunks` as DataLoader's `verify` says; None for "never".

    Raises:
      ValueError: there is no such mode, or there are no checksums to compare with.
    """
    if checked_word("verify", mode, *VERIFY_MODES) == "never":
        return None
    entries = () if chunks.manifest is None else chunks.manifest.chunks
    without = next((entry.file for entry in entries if not entry.checksum), None)
    if chunks.manifest is None or without is not None:
        lacking = "has no manifest" if without is None else f"has a manifest without a checksum of {without}"
        again = "" if without is None else " --overwrite"
        raise ValueError(
            f"verify={mode!r} compares chunks with their checksums, and {chunks.place} {lacking}. "
            f"Make them: pyloader index {chunks.place} --checksums{again}"
        )
    return Verification(chunks, always=mode == "always")
