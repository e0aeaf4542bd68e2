"""What identifies the bytes of a chunk in a store, and the name and the room of its entry in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec
import numpy as np

from pyloader.files.cache.records import RECORD_NAMES

__all__ = [
    "Identity",
    "keys_and_rooms",
    "names_of_entries",
    "room_of_files",
    "room_of_name",
    "room_of_ranges",
    "without_secrets",
]

# 16 bytes of a hash, 6 bytes of the room, as hexadecimals: all of one length, so that many are understood at once.
_PATTERN = re.compile(r"[0-9a-f]{44}")
_NAME_LENGTH = 44
_FIELDS = np.dtype([("key", ">u8"), ("rest", "V8"), ("room", "V6")])

_BLOCK = 4096  # bytes: what disks give out at least
_RANGE_BYTES = 64  # at most, of a range in a record and in what the disk notes of where it lies
_OBJECT_STORES = {"s3", "gs", "az", "file"}  # there a "?" is a part of the name


def room_of_files(*sizes: int) -> int:
    """Return how many bytes an entry of such files takes on the disk: whole blocks, its directories, its record."""
    return sum(-(-size // _BLOCK) * _BLOCK for size in sizes) + (2 if len(sizes) == 1 else 3) * _BLOCK


def room_of_ranges(ranges: Sequence[tuple[int, int]]) -> int:
    """Return how many bytes an entry takes that is a file with nothing but these ranges, sorted and apart."""
    blocks, end = 0, 0  # the blocks before `end` are counted
    for start, stop in ranges:
        last = -(-stop // _BLOCK)
        blocks, end = blocks + max(0, last - max(end, start // _BLOCK)), max(end, last)
    return blocks * _BLOCK + room_of_files(_RANGE_BYTES * len(ranges))


def names_of_entries(names: Sequence[str]) -> list[str]:
    """Return those that can be names of entries."""
    long = [name for name in names if len(name) == _NAME_LENGTH]
    together = "".join(long)
    with contextlib.suppress(ValueError):  # mostly all are, and that is known at once
        if bytes.fromhex(together).hex() == together:
            return long
    return list(filter(_PATTERN.fullmatch, long))


def keys_and_rooms(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return what the names of M entries say: the keys that plans say of them, and what they take, in bytes.

    Returns:
      A uint64 array and an int64 array, both of shape [M].
    """
    fields = np.frombuffer(bytes.fromhex("".join(names)), _FIELDS)
    rooms = np.zeros((len(names), 8), np.uint8)
    rooms[:, 2:] = fields["room"].copy().view(np.uint8).reshape(len(names), 6)
    return fields["key"].astype(np.uint64), rooms.reshape(-1).view(">i8").astype(np.int64)


def room_of_name(name: str) -> int:
    """Return what the name of an entry says that it takes, in bytes."""
    return int(name[32:], 16)


def without_secrets(url: str) -> str:
    """Return a URL without user, password, query and fragment.

    >>> without_secrets("https://me:secret@host/data/a.jsonl?X-Amz-Signature=secret")
    'https://host/data/a.jsonl'
    """
    scheme, colon, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if scheme not in _OBJECT_STORES:
        path = re.split("[?#]", path, maxsplit=1)[0]
        host = re.split("[?#]", host, maxsplit=1)[0]
    return f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What identifies the bytes of a chunk.

    With a strong digest (never XXH3, which finds damage only) the same bytes are one entry, wherever they come from.
    Without one it is the place, the size and the version.  The file's name counts too: readers look at it.

    Attributes:
      url: Where the chunk is; user, password and query are left out here, and reach neither names nor messages.
      size: In bytes; of a directory, of all its files.
      version: What the store says that changes with the bytes: a version, an ETag, Last-Modified.
      digest: A strong digest of the bytes, as "sha256:...", from the manifest; None where there is none.
      ranges: (start, stop) in bytes, sorted and apart: then the entry is a file of that size with holes, which has
        nothing but these.  None for all.
      members: Name and size of each file, where the chunk is a directory of columns.
    """

    url: str
    size: int
    version: str = ""
    digest: str | None = None
    ranges: tuple[tuple[int, int], ...] | None = None
    members: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", without_secrets(self.url))
        names = [self.file_name, *(name for name, _ in self.members)]
        if wrong := [name for name in names if name in ("", ".", "..", *RECORD_NAMES) or "/" in name or "\0" in name]:
            raise ValueError(f"{self.url}: {wrong[0]!r} cannot be the name of a file in the cache")
        ends = list(itertools.chain([0], *(self.ranges or ()), [self.size]))
        if self.ranges is not None and any(start > stop for start, stop in itertools.pairwise(ends)):
            raise ValueError(f"{self.url}: ranges must be sorted, apart and inside of {self.size:,} bytes")
        if self.size < 0 or any(size < 0 for _, size in self.members):
            raise ValueError(f"{self.url}: a size must be at least 0 bytes, got {self.size}")

    @property
    def file_name(self) -> str:
        """The name of the file, or of the directory of columns: the last part of the URL."""
        _, _, path = self.url.partition("://")[2].partition("/")
        return PurePosixPath(path).name

    @property
    def files(self) -> tuple[tuple[str, int], ...]:
        """Path and size of each file, below the entry's directory."""
        return tuple((f"{self.file_name}/{name}", size) for name, size in self.members) or (
            (self.file_name, self.size),
        )

    @property
    def room_bytes(self) -> int:
        """What the entry takes on the disk."""
        if self.ranges is not None:
            return room_of_ranges(self.ranges)
        return room_of_files(*(size for _, size in self.files))

    @property
    def name(self) -> str:
        """The name of its entry: a hash of what identifies the bytes, and what they take on the disk."""
        which = [self.digest, self.size] if self.digest is not None else [self.url, self.size, self.version]
        text = msgspec.json.encode([which, self.ranges, self.files])
        return f"{hashlib.sha256(text).hexdigest()[:32]}{self.room_bytes:012x}"

    @property
    def key(self) -> int:
        """The first 64 bits of that hash: what plans say of it."""
        return int(self.name[:16], 16)
