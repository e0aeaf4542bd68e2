"""Digests of the files of a dump, taken while they are split: the same content is known again under another name.

A file of lines passes by in parts of equal length, one for each unit.  Its digest is that of the parts' digests, in
order: one reading of the file gives it again, when the number of parts is known.  Of a packed file the digest is of
what it holds.  XXH3, of 128 bits: it tells accidents apart, not forgeries.
"""

from __future__ import annotations

from collections.abc import Sequence

import xxhash

from pyloader.files import packing_of
from pyloader.write.blocks import BLOCK_BYTES, opened
from pyloader.write.input_files import InputFile

__all__ = ["PartDigest", "digest_of_file", "joined_digest"]


class PartDigest:
    """Of the bytes of a part, as they are read; what is read beyond its end does not count.

    Args:
      num_bytes: How many bytes the part has; None takes all.
    """

    def __init__(self, num_bytes: int | None = None) -> None:
        self._digest, self._left = xxhash.xxh3_128(), num_bytes

    def update(self, data: bytes | memoryview) -> None:
        """Take the bytes that were read next."""
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self._digest.update(data)

    def hexdigest(self) -> str:
        """Return 32 hexadecimal digits."""
        digest: str = self._digest.hexdigest()
        return digest


def joined_digest(parts: Sequence[str]) -> str:
    """Return the digest of a file of these parts' digests."""
    return parts[0] if len(parts) == 1 else xxhash.xxh3_128_hexdigest("".join(parts).encode())


def digest_of_file(file: InputFile, num_parts: int = 1) -> str:
    """Read a file; return the digest that a split in so many parts takes of it.

    Raises:
      SplitError: it cannot be opened.
      StoreError: it cannot be had from its store, or has changed there.
      ChunkReadError: it is packed, and damaged.
    """
    size, digests = file.num_bytes, list[str]()
    with opened(file) as stream:
        for part in range(num_parts):
            num_bytes = None if packing_of(file.path) else size * (part + 1) // num_parts - size * part // num_parts
            digest = PartDigest(num_bytes)
            left = num_bytes
            while block := stream.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
                digest.update(block)
                left = None if left is None else left - len(block)
            digests.append(digest.hexdigest())
    return joined_digest(digests)
