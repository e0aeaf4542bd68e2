"""The account: what the entries of a cache take at most, a number in the file of its lock, never below the truth.

It is written before an entry takes its room, under the lock of the directory, and not when one goes.  So it tells that
there is room without a listing of the directory; where it does not, the directory is listed.  It holds for one boot of
the machine: nothing is synced to the disk.
"""

from __future__ import annotations

import hashlib
import os

from pyloader.files.cache.directory import CacheDirectory
from pyloader.files.cache.disks import boot_of_machine

__all__ = ["noted_bytes", "write_down"]

_TAG_BYTES = 16


def noted_bytes(directory: CacheDirectory) -> int | None:
    """Return what was written down last; None when nothing was, or in another boot, or of another directory."""
    tag, number = _split(directory.lock_file.read_bytes())
    return int.from_bytes(number, "little") if tag == _tag(directory) and len(number) == 8 else None


def write_down(directory: CacheDirectory, num_bytes: int) -> None:
    """Write down what the entries take at most; under the lock of the directory."""
    with open(directory.lock_file, "r+b", buffering=0) as file:
        file.write(_tag(directory) + num_bytes.to_bytes(8, "little"))


def _split(data: bytes) -> tuple[bytes, bytes]:
    return data[:_TAG_BYTES], data[_TAG_BYTES:]


def _tag(directory: CacheDirectory) -> bytes:
    about = os.stat(directory.entries)
    text = f"{boot_of_machine()} {about.st_dev} {about.st_ino}"
    return hashlib.sha256(text.encode()).digest()[:_TAG_BYTES]
