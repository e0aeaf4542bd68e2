"""Many members of a tar archive at a time: what most archives hold, files with short names, by arrays of headers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from pyloader.read.tar_members import TELLING, BytesAt, Member, tar_members

__all__ = ["MemberRun", "members_and_runs"]

_BLOCK = 512
_WORDS = _BLOCK // 8  # headers are looked at in words of eight bytes, the first of which is the lowest
_STRETCH_BYTES = 2**25  # whose headers are looked at together
_PIECE_BYTES = 2**20  # of it, which stay in the processor's cache meanwhile
_FEW, _ENOUGH = 64, 2**12  # blocks to look at: in a piece, and together
_LONG_RUN = 256  # members, for which a look at a stretch is little
_MOST_SINGLE = 2**12  # members that are looked at one by one after short runs
_NAME_WORDS = 13
_KIND_WORD, _MAGIC_WORD = 19, 32
_FILE, _EXTENSION = ord("0"), ord("x")
_MAGIC = np.uint64(int.from_bytes(b"\0ustar\0\0", "little"))
_MAGIC_BYTES = np.uint64(0x0000FFFFFFFFFF00)
_U8, _U16, _U32, _U48, _U56 = map(np.uint64, (8, 16, 32, 48, 56))
_BYTE, _LOW = np.uint64(0xFF), np.uint64(0xFFFFFFFF)
_LANES = np.uint64(0x00FF00FF00FF00FF)  # every other byte of eight
_WIDE_LANES = np.uint64(0x0000FFFF0000FFFF)

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
    position, patience, enough = start, 1, _ENOUGH
    while True:
        # A file that was cut may end before what fills up its last block.
        run = None if said or position >= stop else _run(stretch_at, position, stop, enough)
        if run is not None:
            yield run
            position = run.stop
        # Where runs are short, little is looked at in vain.
        enough = min(2 * max(_LONG_RUN, 0 if run is None else len(run.begins)), _ENOUGH)
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


def _run(stretch_at: StretchAt, position: int, stop: int, enough: int) -> MemberRun | None:
    """Return the members from `position` on, as far as their headers say nothing unusual."""
    numbers, blocks = _looked_for(stretch_at, position, min(_STRETCH_BYTES, stop - position), enough)
    if not len(numbers):
        return None
    places = np.flatnonzero(blocks[:, _MAGIC_WORD] & _MAGIC_BYTES == _MAGIC)
    at, headers = numbers[places], blocks if len(places) == len(blocks) else blocks[places]
    sizes, is_usual = _sizes(headers)
    kinds = _kinds(headers[:, _KIND_WORD])
    is_extension = (kinds == _EXTENSION) & is_usual & (sizes > 0) & (sizes <= _BLOCK)  # of two blocks
    follows = at + 1 + -(-sizes // _BLOCK)  # the block of the next header
    chain = _chain(at, follows, is_extension | ((kinds == _FILE) & is_usual))
    chain = chain[: _num_usual(chain, is_extension, sizes, blocks, places)]
    if len(chain) and position + (int(at[chain[-1]]) + 1) * _BLOCK + int(sizes[chain[-1]]) > stop:
        chain = chain[:-1]
    if len(chain) and is_extension[chain[-1]]:
        chain = chain[:-1]
    if not len(chain):
        return None
    extends = is_extension[chain]
    files = chain[~extends]
    begins = at[files] - np.where(np.append(False, extends[:-1])[~extends], 2, 0)
    names, num_whole = _names(headers, files)
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


def _looked_for(stretch_at: StretchAt, position: int, num_bytes: int, enough: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the blocks that look like headers, and those after extensions: their numbers and, as words, what is there.

    No other is touched again when its piece has been read.
    """
    numbers, count = [np.empty(0, np.int64)], 0
    found = np.empty((min(enough + _PIECE_BYTES // _BLOCK, num_bytes // _BLOCK), _WORDS), "<u8")
    is_extended = False  # what the piece begins with
    for start in range(0, num_bytes, _PIECE_BYTES):
        data = stretch_at(position + start, min(_PIECE_BYTES, num_bytes - start))
        blocks = np.frombuffer(data, "<u8", len(data) // _BLOCK * _WORDS).reshape(-1, _WORDS)
        is_wanted = blocks[:, _MAGIC_WORD] & _MAGIC_BYTES == _MAGIC
        if not len(blocks) or (start == 0 and not is_wanted[0]):
            break
        at = np.flatnonzero(is_wanted)
        extends = at[_kinds(blocks[at, _KIND_WORD]) == _EXTENSION]
        if len(extends) or is_extended:
            is_wanted[0] |= is_extended
            is_extended = len(extends) > 0 and int(extends[-1]) == len(blocks) - 1
            is_wanted[extends[: len(extends) - is_extended] + 1] = True
            at = np.flatnonzero(is_wanted)
        np.take(blocks, at, axis=0, out=found[count : count + len(at)], mode="clip")
        numbers.append(start // _BLOCK + at)
        count += len(at)
        if len(at) < _FEW or count >= enough:
            break
    return np.concatenate(numbers), found[:count]


def _kinds(words: np.ndarray) -> np.ndarray:
    found: np.ndarray = (words >> _U32) & _BYTE
    return found


def _sizes(headers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes that headers say, and which headers are written as usual and have the sum that they say.

    Usual are sizes of 11 digits, the first three of which are 0, and sums of six.
    """
    before, size, sum_begin, sum_end = (headers[:, word] for word in (15, 16, 18, 19))
    digits = [(before >> _U56) | (size << _U8), ((sum_begin >> _U32) << _U16) | (sum_end << _U48) | np.uint64(0x3030)]
    (sizes, sums), is_octal = _octal(np.stack(digits))
    ends = (size >> _U56) | (sum_end >> _U8) & np.uint64(0xFFFF00)  # of both: spaces or zero bytes
    is_usual = is_octal[0] & is_octal[1] & (ends & np.uint64(0xDFDFDF) == 0)
    is_usual &= (before >> _U32) & np.uint64(0xFFFFFF) == np.uint64(0x303030)
    is_usual &= headers[:, 43] & np.uint64(0xFF00) == 0  # byte 345: the name is long, or GNU's own
    words = headers.reshape(-1)
    differs = (words[_WORDS:] != words[:-_WORDS]).reshape(-1, _WORDS).any(axis=0)  # most are the same in all headers
    total = _byte_sums(headers[:, differs]) + _byte_sums(headers[:1, ~differs])
    own = ((sum_begin >> _U32) | (sum_end << _U32))[:, None]  # the sum itself, which counts as spaces
    return sizes, is_usual & (total - _byte_sums(own) + 8 * ord(" ") == sums)


def _octal(digits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers that words of eight octal digits are, int64, and which are of such digits."""
    values = digits ^ np.uint64(0x3030303030303030)
    is_octal = values & np.uint64(0xF8F8F8F8F8F8F8F8) == 0
    # Neighbours are put together: digits of 3 bits, then of 6, then of 12.
    values = (values * np.uint64((8 << 8) + 1) >> _U8) & np.uint64(0x00FF00FF00FF00FF)
    values = (values * np.uint64((64 << 16) + 1) >> _U16) & np.uint64(0x0000FFFF0000FFFF)
    values = values * np.uint64((4096 << 32) + 1) >> _U32
    return values.view(np.int64), is_octal


def _byte_sums(words: np.ndarray) -> np.ndarray:
    """Return the sum of the bytes of each row of at most 64 words, int64."""
    lanes = ((words & _LANES) + ((words >> _U8) & _LANES)).sum(axis=1)  # four of 16 bits, none of which overflows
    lanes = (lanes & _WIDE_LANES) + ((lanes >> _U16) & _WIDE_LANES)
    sums: np.ndarray = ((lanes & _LOW) + (lanes >> _U32)).view(np.int64)
    return sums


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


def _num_usual(
    chain: np.ndarray, is_extension: np.ndarray, sizes: np.ndarray, blocks: np.ndarray, places: np.ndarray
) -> int:
    """Return how many headers there are before an extension that says something of a name or a size, or a second."""
    extends = is_extension[chain]
    second = np.flatnonzero(extends[1:] & extends[:-1])
    count = int(second[0]) + 1 if len(second) else len(chain)
    at = np.flatnonzero(extends[:count])
    if len(at) and places[chain[at[-1]]] + 1 == len(blocks):  # what it says was not read
        count, at = int(at[-1]), at[:-1]
    if not len(at):
        return count
    # What they say, and what fills up the words after it.
    said = blocks[places[chain[at]] + 1, : -(-int(sizes[chain[at]].max()) // 8)]
    telling = TELLING.search(said.tobytes())
    return count if telling is None else int(at[telling.start() // (8 * said.shape[1])])


def _names(headers: np.ndarray, files: np.ndarray) -> tuple[np.ndarray, int]:
    """Return names, as wide as need be, and how many there are before one that has something after its end, or none."""
    words = headers[files, :_NAME_WORDS]
    words[:, -1] &= _LOW  # a name has 100 bytes
    used = np.flatnonzero(np.bitwise_or.reduce(words, axis=0))
    names = np.ascontiguousarray(words[:, : used[-1] + 1 if len(used) else 1]).view(np.uint8)
    width, is_byte = names.shape[1], (names != 0).reshape(-1)
    is_unusual = is_byte[1:] > is_byte[:-1]
    is_unusual[width - 1 :: width] = ~is_byte[width::width]  # the next name's first
    first = int(is_unusual.argmax())
    count = (first + 1) // width if is_unusual[first] else len(names)
    return names, count if is_byte[0] else 0
