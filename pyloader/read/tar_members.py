"""The members of a tar archive, by its headers: where each begins, and where its bytes lie."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeGuard

__all__ = ["TELLING", "BytesAt", "Member", "TarError", "can_be_said", "tar_members"]

BytesAt = Callable[[int, int], bytes]  # (start, how many) -> bytes, fewer at the end of the file

_BLOCK = 512
_FIELDS = struct.Struct("100s24x12s12x8sc")  # of a header: name, size, checksum, kind
_SPACES = 8 * 0x20  # the checksum's own bytes count as spaces
_ADLER_BASE = 65_521
_MOST_EXTENSION = 2**20  # bytes of an extension header
_ZEROS = bytes(_BLOCK)
_RECORD = re.compile(rb"(\d{1,7}) ([^=\n]+)=")
TELLING = re.compile(rb" (path|size|hdrcharset|GNU\.sparse[^=]*)=")  # what an extension says that matters here
_KEPT = ("path", "size")

_FILE, _OLD_FILE, _CONTIGUOUS = b"0", b"\0", b"7"
_SPARSE, _LONG_NAME, _LONG_LINK = b"S", b"L", b"K"
_GLOBAL = b"g"
_EXTENSIONS = frozenset({b"x", b"X", _GLOBAL, _LONG_NAME, _LONG_LINK})
_REGULAR = frozenset({_FILE, _OLD_FILE, _CONTIGUOUS})
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})  # links, devices, directories, pipes


class TarError(ValueError):
    """What is wrong with an archive, and where."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(offset, what)
        self.offset, self.what = offset, what

    def __str__(self) -> str:
        return f"at byte {self.offset:,}: {self.what}"


class Member(NamedTuple):
    """A regular file of an archive."""

    begin: int  # of its first header, those that extend it included
    name: str
    start: int  # of its bytes
    size: int


def tar_members(bytes_at: BytesAt, start: int, stop: int, said: dict[str, str], *, is_whole: bool) -> Iterator[Member]:
    """Yield the regular files among the members, in their order; others are passed over, as Python's tarfile does.

    Every header's checksum is compared.

    Args:
      bytes_at: Gives bytes of the archive.
      start: Where a member's first header begins.
      stop: Where the archive, or its part, ends.
      said: What global headers before `start` say; those that are met are put there.
      is_whole: Whether the zero block that ends an archive must be met.

    Raises:
      TarError: a header is damaged, a member or the archive is cut, something follows its end, or a file is sparse.
    """
    position = begin = start
    own: dict[str, str] = {}  # what the headers before a member say of it alone
    while position < stop:
        header = bytes_at(position, _BLOCK)
        if len(header) < _BLOCK:
            raise TarError(position, f"it ends inside of a header, after {len(header)} of {_BLOCK} bytes")
        if not header[0] and header == _ZEROS:
            _check_rest(bytes_at, position, stop)
            return
        name_field, size_field, said_sum, kind = _FIELDS.unpack_from(header)
        _check_sum(header, said_sum, position)
        size = _number(size_field, position)
        data = position + _BLOCK
        if kind in _EXTENSIONS:
            if size > _MOST_EXTENSION:
                raise TarError(position, f"an extension header of {size:,} bytes; it may have {_MOST_EXTENSION:,}")
            extension = bytes_at(data, size)
            if len(extension) < size or data + size > stop:
                raise TarError(position, "it ends inside of an extension header")
            if kind == _LONG_NAME:
                own["path"] = _text(extension)
            elif kind != _LONG_LINK and TELLING.search(extension):
                (said if kind == _GLOBAL else own).update(_records(extension, position))
            position = data + -(-size // _BLOCK) * _BLOCK
            continue
        name = _text(name_field)
        if header[345] and header[257:263] != b"ustar ":  # GNU's own format keeps something else there
            name = f"{_text(header[345:500])}/{name}"
        if said or own:
            size, name = int((said | own).get("size", size)), (said | own).get("path", name)
        if kind == _SPARSE:
            raise TarError(begin, f"{name} is a sparse file, whose bytes are not all there")
        if kind in _WITHOUT_DATA or (kind == _OLD_FILE and name.endswith("/")):
            position = data
        else:
            position = data + -(-size // _BLOCK) * _BLOCK
            if data + size > stop:
                raise TarError(begin, f"it ends inside of {name}, which has {size:,} bytes")
            if kind in _REGULAR:
                yield Member(begin, name, data, size)
        begin = position
        if own:
            own = {}
    if is_whole:
        raise TarError(stop, "the zero block is missing that ends an archive: it was cut, or its writer was not closed")
    if begin < position:
        raise TarError(stop, "it ends inside of a member")


def _check_sum(header: bytes, field: bytes, position: int) -> None:
    """The sum of all bytes, which Adler-32 has modulo its base: ten times faster than adding them up here."""
    said = _number(field, position)
    rest = _SPACES - sum(field)
    if ((zlib.adler32(header) & 0xFFFF) - 1 + rest - said) % _ADLER_BASE == 0:
        return
    signed = sum(byte - 256 if byte > 127 else byte for byte in header[:148] + header[156:]) + _SPACES
    if signed != said:  # as some old systems add up
        raise TarError(position, "there is no header of a member, or its checksum differs")


def _number(field: bytes, position: int) -> int:
    """Return the number in a field: octal digits, or binary where the first bit says so."""
    digits = field.rstrip(b"\0 ")
    if not digits.isdigit():  # int() would take a sign as well
        if field[0] == 0x80:
            return int.from_bytes(field[1:], "big")
        digits = field.partition(b"\0")[0].strip() or b"0"
    try:
        if digits.isdigit():
            return int(digits, 8)
    except ValueError:
        pass
    raise TarError(position, f"there is no header of a member: {field!r} is no number")


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _records(extension: bytes, position: int) -> dict[str, str]:
    """Return what POSIX's extension header says of a member's name and size, in records "LENGTH KEYWORD=VALUE"."""
    found, at = {}, 0
    while match := _RECORD.match(extension, at):
        length, keyword = int(match[1]), match[2].decode("utf-8", "surrogateescape")
        end = at + length
        if end > len(extension) or match.end() >= end or extension[end - 1 : end] != b"\n":
            raise TarError(position, "an extension header is damaged")
        if keyword.startswith("GNU.sparse"):
            raise TarError(position, "a sparse file follows, whose bytes are not all there")
        if keyword in _KEPT:
            found[keyword] = extension[match.end() : end - 1].decode("utf-8", "surrogateescape")
        at = end
    if extension[at:].strip(b"\0") or not can_be_said(found):
        raise TarError(position, "an extension header is damaged")
    return found


def can_be_said(said: object) -> TypeGuard[dict[str, str]]:
    """Tell whether this can be what extension headers say: a path, and a size of at most 18 digits."""
    return (
        isinstance(said, dict)
        and said.keys() <= set(_KEPT)
        and all(isinstance(value, str) for value in said.values())
        and re.fullmatch(r"[0-9]{1,18}", said.get("size", "0")) is not None
    )


def _check_rest(bytes_at: BytesAt, position: int, stop: int) -> None:
    while position < stop:
        block = bytes_at(position, min(2**16, stop - position))
        if not block or block.strip(b"\0"):
            raise TarError(position, "something follows the zero block that ends an archive")
        position += len(block)
