"""Many members of a tar archive at a time: what most archives hold, files with short names, by arrays of headers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from pyloader.read.tar_members import TELLING, BytesAt, Member, tar_members

__all__ = ["MemberRun", "members_and_runs"]

_BLOCK = 512
_STRETCH_BYTES = 2**22  # whose headers are looked at together
_LONG_RUN = 256  # members, for which a look at a stretch is little
_MOST_SINGLE = 2**12  # members that are looked at one by one after short runs
_NAME_BYTES = 100
_FILE, _EXTENSION = ord("0"), ord("x")
_MAGIC, _MAGIC_BYTES = int.from_bytes(b"ustar\0", "little"), 2**48 - 1
_GNU_MAGIC = int.from_bytes(b"ustar  \0", "little")
_LANES = np.uint64(0x00FF00FF00FF00FF)  # every other byte of eight

StretchAt: TypeAlias = Callable[[int, int], bytes]  # (start, how many) -> bytes, fewer at the end of the file


class MemberRun(NamedTuple):
    """Regular files of an archive that follow on one another: int64 arrays of one length, and a matrix."""

    begins: np.ndarray  # where in the archive its first header begins, one that extends it included
    starts: np.ndarray  # where its bytes begin
    sizes: np.ndarray
    names: np.ndarray  # uint8 [files, bytes]; filled up with zeros
    stop: int  # where the next header begins

    def members(self) -> Iterator[Member]:
        """Yield them one by one."""
        names = self.names.view(f"S{self.names.shape[1]}")[:, 0].tolist()
        for begin, name, start, size in zip(
            self.begins.tolist(), names, self.starts.tolist(), self.sizes.tolist(), strict=True
        ):
            yield Member(begin, name.decode("utf-8", "surrogateescape"), start, size)


def members_and_runs(
    bytes_at: BytesAt, stretch_at: StretchAt, start: int, stop: int, said: dict[str, str], *, is_whole: bool
) -> Iterator[Member | MemberRun]:
    """Yield what `tar_members` yields, and where many members are alike all of them at once.

    Args:
      bytes_at: Gives a few bytes of the archive.
      stretch_at: Gives many.
      start, stop, said, is_whole: As `tar_members` has them.

    Raises:
      TarError: as `tar_members` does.
    """
    position, patience = start, 1
    while True:
        run = None if said else _run(stretch_at(position, min(_STRETCH_BYTES, stop - position)), position, stop)
        if run is not None:
            yield run
            position = run.stop
        if run is not None and len(run.begins) >= _LONG_RUN:
            patience = 1
            continue
        count = 0
        for member in itertools.islice(tar_members(bytes_at, position, stop, said, is_whole=is_whole), patience):
            yield member
            position, count = member.start + -(-member.size // _BLOCK) * _BLOCK, count + 1
        if count < patience:
            return
        patience = min(2 * patience, _MOST_SINGLE)


def _run(data: bytes, position: int, stop: int) -> MemberRun | None:
    """Return the members that `data` begins with, as far as their headers say nothing unusual."""
    blocks = np.frombuffer(data, np.uint8, len(data) // _BLOCK * _BLOCK).reshape(-1, _BLOCK)
    magic = np.ascontiguousarray(blocks[:, 257:265]).view("<u8")[:, 0]
    at = np.flatnonzero((magic & _MAGIC_BYTES == _MAGIC) | (magic == _GNU_MAGIC))
    if not len(at) or at[0] != 0:
        return None
    headers = blocks[at]
    sizes, is_usual = _sizes(headers)
    kinds = headers[:, 156]
    is_extension = (kinds == _EXTENSION) & is_usual & (sizes <= _BLOCK)
    follows = at + 1 + -(-sizes // _BLOCK)  # the block of the next header
    chain = _chain(at, follows, is_extension | ((kinds == _FILE) & is_usual))
    chain = chain[: _num_usual(chain, at, is_extension, sizes, data)]
    if len(chain) and position + (int(at[chain[-1]]) + 1) * _BLOCK + int(sizes[chain[-1]]) > stop:
        chain = chain[:-1]
    if len(chain) and is_extension[chain[-1]]:
        chain = chain[:-1]
    if not len(chain):
        return None
    extends = is_extension[chain]
    files = chain[~extends]
    begins = at[files] - np.where(np.append(False, extends[:-1])[~extends], 2, 0)
    names, num_whole = _names(headers[files, :_NAME_BYTES])
    if not num_whole:
        return None
    files, begins = files[:num_whole], begins[:num_whole]
    return MemberRun(
        position + begins * _BLOCK,
        position + (at[files] + 1) * _BLOCK,
        sizes[files],
        names[:num_whole],
        position + int(follows[files[-1]]) * _BLOCK,
    )


def _sizes(headers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes that headers say, and which headers are written as usual and have the sum that they say."""
    size, is_size = _octal(headers[:, 124:136], 11)
    said, is_sum = _octal(headers[:, 148:156], 6)
    words = headers.view("<u8")
    lanes = (words & _LANES).sum(axis=1) + ((words >> np.uint64(8)) & _LANES).sum(axis=1)  # of 16 bits, none overflows
    total = lanes.view("<u2").reshape(-1, 4).sum(axis=1, dtype=np.int64)
    total += 8 * ord(" ") - headers[:, 148:156].sum(axis=1, dtype=np.int64)
    return size, is_size & is_sum & (total == said) & (headers[:, 345] == 0)  # 345: the name is long, or GNU's own


def _octal(fields: np.ndarray, num_digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers in some fields, and which have so many octal digits, and spaces or zero bytes after them."""
    columns = np.ascontiguousarray(fields.T)  # whose rows are as long as there are headers
    digits, rest = columns[:num_digits] - np.uint8(ord("0")), columns[num_digits:]
    is_usual = (digits < 8).all(axis=0) & ((rest == 0) | (rest == ord(" "))).all(axis=0)
    numbers = 8.0 ** np.arange(num_digits - 1, -1, -1) @ digits.astype(np.float64)  # exact: below 2**53
    return numbers.astype(np.int64), is_usual


def _chain(at: np.ndarray, follows: np.ndarray, is_usual: np.ndarray) -> np.ndarray:
    """Return which headers follow on one another, from the first on: what looks like one can lie inside of a file."""
    goes_on = np.append(follows[:-1] == at[1:], False) & is_usual
    ends = np.flatnonzero(~goes_on)
    pieces, first = [], 0
    while True:
        last = int(ends[np.searchsorted(ends, first)])
        pieces.append(np.arange(first, last + bool(is_usual[last])))
        target = np.searchsorted(at, follows[last]) if is_usual[last] else len(at)
        if target == len(at) or at[target] != follows[last]:
            return np.concatenate(pieces)
        first = int(target)


def _num_usual(chain: np.ndarray, at: np.ndarray, is_extension: np.ndarray, sizes: np.ndarray, data: bytes) -> int:
    """Return how many headers there are before an extension that says something of a name or a size, or a second."""
    extends = is_extension[chain]
    second = np.flatnonzero(extends[1:] & extends[:-1])
    count = int(second[0]) + 1 if len(second) else len(chain)
    for place in np.flatnonzero(extends[:count]).tolist():
        start = (int(at[chain[place]]) + 1) * _BLOCK
        said = data[start : start + int(sizes[chain[place]])]
        if len(said) < sizes[chain[place]] or TELLING.search(said):
            return place
    return count


def _names(fields: np.ndarray) -> tuple[np.ndarray, int]:
    """Return names, as wide as need be, and how many there are before one that has something after its end, or none."""
    is_byte = np.ascontiguousarray(fields.T) != 0
    is_unusual = ~is_byte[0] | (is_byte[1:] > is_byte[:-1]).any(axis=0)
    unusual = np.flatnonzero(is_unusual)
    count = int(unusual[0]) if len(unusual) else len(fields)
    return np.ascontiguousarray(fields[:, : max(1, int(np.count_nonzero(is_byte.any(axis=1))))]), count
