"""What a packed file holds, to its very end; nothing is unpacked beyond what the caller has room for."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable
from typing import IO, Any, Protocol

from pyloader.errors import ChunkReadError
from pyloader.files.room import Room
from pyloader.files.sniffing import named_by_content

__all__ = ["FETCH_AGAIN", "Unpacked", "UnpackedMembers", "Unpacker", "foreign_bytes", "unpacking_error"]

FETCH_AGAIN = "Fetch it again, or max_skipped=1 to go on without it"

# Read at once.  Fewer, larger steps wait less often for the interpreter's lock.
_PACKED_BYTES = 2**16


def unpacking_error(path: str, what: str) -> ChunkReadError:
    """Return the error for a packed file."""
    return ChunkReadError(path, what, FETCH_AGAIN)


def foreign_bytes(path: str, packing: str, *, after_end: bool) -> ChunkReadError:
    """Return the error for bytes of another kind, at a file's start or after its end."""
    if after_end:
        return unpacking_error(path, "goes on after its end with something else.")
    return named_by_content(unpacking_error(path, f"is not packed with {packing}."), may_be_text=True)


class Unpacked(io.RawIOBase):
    """A packed file, read unpacked: member (gzip), frame (zstd) or stream (xz, bzip2) after member.

    The libraries' own readers stop silently at a cut (zstandard), at an empty file (gzip), or before what is not theirs
    (bz2, lzma).

    Args:
      packed: The file.  It is closed together with this one.
      path: Named in errors.
    """

    def __init__(self, packed: IO[bytes], path: str) -> None:
        self._packed, self._path = packed, path
        self._position = 0
        self.room: Room | None = None  # of the chunk, where all that is unpacked is kept

    @abstractmethod
    def unpack_into(self, target: memoryview) -> int:
        """Unpack some of what comes next, at least 1 byte and at most what there is room for; return 0 at the end."""

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._packed.close()
        super().close()

    def packed_position(self) -> int:
        """Return how many bytes of the file on disk have been unpacked, for a progress bar."""
        return self._packed.tell()

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        target = memoryview(buffer).cast("B")
        count = self.unpack_into(target) if target else 0
        self._position += count
        if self.room is not None:
            self.room.take(2 * count, kept=count)  # as bytes, and as what is made of them
        return count


class Unpacker(Protocol):
    """Unpacks one member.  It belongs to one open file and one thread."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class UnpackedMembers(Unpacked):
    """A file of members.

    Args:
      packed, path: As for any.
      packing: The packing's name, for errors.
      magic: What every member begins with.
      padding: Zero bytes may stand after a member, a multiple of so many; 0 when they may not.
      unpacker: Makes what unpacks one member, as zlib, bz2 and lzma have it.
      failure: What that raises when the data are damaged.
    """

    def __init__(
        self,
        packed: IO[bytes],
        path: str,
        *,
        packing: str,
        magic: bytes,
        padding: int,
        unpacker: Callable[[], Unpacker],
        failure: type[Exception],
    ) -> None:
        super().__init__(packed, path)
        self._packing, self._magic, self._unpacker, self._failure = packing, magic, unpacker, failure
        self._padding = padding
        self._member: Unpacker | None = None
        self._left = b""  # read, but not taken by zlib yet; the others keep theirs

    def unpack_into(self, target: memoryview) -> int:
        while True:
            data, at_end = self._left, False
            if self._member is None or self._member.eof:
                data = b"" if self._member is None else self._member.unused_data
                data = data or self._packed.read(_PACKED_BYTES)
                if self._padding and self._member is not None:
                    data = self._after_padding(data)
                if not data and self._member is not None:
                    return 0
                if not self._magic.startswith(data[: len(self._magic)]):
                    raise foreign_bytes(self._path, self._packing, after_end=self._member is not None)
                self._member = self._unpacker()
            elif not data and getattr(self._member, "needs_input", True):
                data = self._packed.read(_PACKED_BYTES)
                at_end = not data
            try:
                unpacked = self._member.decompress(data, len(target))  # perhaps of what it took before
            except self._failure as exc:
                raise unpacking_error(self._path, f"is damaged ({exc}).") from exc
            self._left = getattr(self._member, "unconsumed_tail", b"")
            if unpacked:
                target[: len(unpacked)] = unpacked
                return len(unpacked)
            if at_end and not self._member.eof:
                raise unpacking_error(self._path, "ends early.")

    def _after_padding(self, data: bytes) -> bytes:
        """Return what follows the zero bytes after a member."""
        num_zeros = 0
        while data.startswith(b"\0"):
            rest = data.lstrip(b"\0")
            num_zeros += len(data) - len(rest)
            data = rest or self._packed.read(_PACKED_BYTES)
        if num_zeros % self._padding:
            raise foreign_bytes(self._path, self._packing, after_end=True)
        return data
