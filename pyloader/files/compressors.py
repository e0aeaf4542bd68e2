"""The table of compressions, by suffix: how to read and write a packed file."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Protocol, cast

import zstandard

from pyloader.errors import ChunkReadError

__all__ = ["COMPRESSORS", "Compressor", "open_packed", "packing_of"]

# One call gets this many packed bytes.  They become at most 128 MiB (zstd's limit is 32,768 to 1), whatever
# the file holds; larger is not faster.
_FEED_BYTES = 2**12

_BUFFER_BYTES = 2**17
_REMEDY = "Fetch it again, or max_skipped=1 to go on without it"


class Unpacker(Protocol):
    """Unpacks one member (gzip), frame (zstd) or stream (xz, bzip2)."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class Packer(Protocol):
    """Packs one of them."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Compressor:
    """One way to pack a file.

    Attributes:
      name: As people call it.
      unpacker: Makes what unpacks one member.  It belongs to one open file and one thread.
      packer: Makes what packs one, likewise.
      failure: What an unpacker raises when the data are damaged.
    """

    name: str
    unpacker: Callable[[], Unpacker]
    packer: Callable[[], Packer]
    failure: type[Exception]


def packing_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix that says what a file is packed with, one of COMPRESSORS; "" when it is not packed."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    return suffix if suffix in COMPRESSORS else ""


def open_packed(path: str | os.PathLike[str], mode: str = "rb", *, packing: str | None = None) -> IO[bytes]:
    """Open a file of bytes, whatever it is packed with.

    A file of several members (gzip), frames (zstd) or streams (xz, bzip2) is read whole.  The same bytes written are
    the same file, whenever and under whichever name.  Zstandard is written at level 3, with checksums.

    Args:
      path: The file.
      mode: "rb" or "wb".
      packing: A suffix in COMPRESSORS, or "" for none.  None goes by the path's own suffix.

    Raises:
      ChunkReadError: while reading: it ends early, is damaged, or something else follows its end.
    """
    if mode not in ("rb", "wb"):
        raise ValueError(f'mode must be "rb" or "wb", got {mode!r}')
    name = os.fspath(path)
    packing = packing_of(name) if packing is None else packing
    compressor = COMPRESSORS[packing] if packing else None
    if mode == "wb":
        plain = open(name, "wb")  # noqa: SIM115  # the caller's to close
        return plain if compressor is None else io.BufferedWriter(_Packing(plain, compressor.packer()), _BUFFER_BYTES)
    file = io.BufferedReader(_NamedFile(name), _BUFFER_BYTES)
    return file if compressor is None else io.BufferedReader(_Unpacked(file, name, compressor), _BUFFER_BYTES)


class _NamedFile(io.FileIO):
    """A file whose read errors say which file it was."""

    def readinto(self, buffer: Any, /) -> int:
        try:
            return cast(int, super().readinto(buffer))
        except OSError as exc:
            raise _unreadable(self.name, exc) from exc

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as exc:
            raise _unreadable(self.name, exc) from exc


class _Unpacked(io.RawIOBase):
    """What a packed file holds, member after member, to its very end.

    The libraries' own readers stop silently at a cut (zstandard), at an empty file (gzip), or before what is not theirs
    (bz2, lzma).
    """

    def __init__(self, packed: IO[bytes], path: str, compressor: Compressor) -> None:
        self._packed, self._path, self._compressor = packed, path, compressor
        self._member = compressor.unpacker()
        self._num_members = 0
        self._member_began = False
        self._ready = memoryview(b"")
        self._position = 0

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
        while not self._ready:
            if not self._unpack_more():
                return 0
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        self._position += count
        return count

    def _unpack_more(self) -> bool:
        """Make some bytes ready, perhaps none; return whether the file goes on."""
        left = self._member.unused_data if self._member.eof else b""
        data = left or self._packed.read(_FEED_BYTES)
        if self._member.eof:
            if not data:
                return False
            self._member, self._member_began = self._compressor.unpacker(), False
            self._num_members += 1
        if not data:
            raise ChunkReadError(self._path, "ends early.", _REMEDY)
        try:
            self._ready = memoryview(self._member.decompress(data))
        except self._compressor.failure as exc:
            raise ChunkReadError(self._path, self._failure(exc), _REMEDY) from exc
        self._member_began = True
        return True

    def _failure(self, exc: Exception) -> str:
        if self._member_began:
            return f"is damaged ({exc})."
        if self._num_members:
            return "goes on after its end with something else."
        return f"is not packed with {self._compressor.name} ({exc})."


def _unreadable(path: Any, exc: OSError) -> ChunkReadError:
    return ChunkReadError(os.fspath(path), f"cannot be read ({exc.strerror}).", "See whether its disk is well")


class _Packing(io.RawIOBase):
    """Packs what is written into one member of the file below."""

    def __init__(self, below: IO[bytes], packer: Packer) -> None:
        self._below, self._packer = below, packer

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._below.write(self._packer.compress(data))
        return memoryview(data).nbytes

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._below.write(self._packer.flush())
        finally:
            self._below.close()
            super().close()


COMPRESSORS = {
    ".gz": Compressor("gzip", lambda: zlib.decompressobj(31), lambda: zlib.compressobj(6, wbits=31), zlib.error),
    ".zst": Compressor(
        "zstd",
        lambda: zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj(),
        lambda: zstandard.ZstdCompressor(level=3, write_checksum=True, threads=0).compressobj(),
        zstandard.ZstdError,
    ),
    ".xz": Compressor("xz", lzma.LZMADecompressor, lzma.LZMACompressor, lzma.LZMAError),
    ".bz2": Compressor("bzip2", bz2.BZ2Decompressor, bz2.BZ2Compressor, OSError),
}
