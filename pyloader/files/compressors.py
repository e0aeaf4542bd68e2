"""The table of compressions, by suffix: how to read and write a packed file."""

from __future__ import annotations

import bz2
import errno
import io
import lzma
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Protocol, cast

import zstandard

from pyloader.errors import ChunkReadError
from pyloader.files.room import Room, check_fits
from pyloader.files.stored_path import StoredPath, open_bytes
from pyloader.files.unpacking import Unpacked, UnpackedMembers
from pyloader.files.zstd_frames import UnpackedFrames, said_size
from pyloader.part import Part

__all__ = ["COMPRESSORS", "Compressor", "chunk_room", "open_packed", "packing_of", "unreadable"]

_BUFFER_BYTES = 2**17


class Packer(Protocol):
    """Packs one member."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Compressor:
    """One way to pack a file."""

    unpacked: Callable[[IO[bytes], str], Unpacked]  # makes what reads one open file, whose path it is told
    packer: Callable[[], Packer]  # makes what packs one member (gzip), frame (zstd) or stream (xz, bzip2)


def packing_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix that says what a file is packed with, one of COMPRESSORS; "" when it is not packed."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    return suffix if suffix in COMPRESSORS else ""


def chunk_room(path: str, part: Part | None = None) -> Room:
    """Return the room for a chunk file that is read whole, or a part of one: bounded when it is packed.

    Raises:
      MemoryBoundError: a file that is not packed is read whole, and is larger than the memory of this process.
    """
    packing = packing_of(path)
    if not packing and part is None:
        check_fits(path, os.path.getsize(path))
    return Room(path, says=lambda: said_size(path) if packing in (".zst", ".zstd") else None, is_bounded=bool(packing))


def open_packed(
    path: str | os.PathLike[str],
    mode: str = "rb",
    *,
    packing: str | None = None,
    room: Room | None = None,
    raw: io.RawIOBase | None = None,
) -> IO[bytes]:
    """Open a file of bytes, whatever it is packed with.

    A file of several members (gzip), frames (zstd) or streams (xz, bzip2) is read whole.  The same bytes written are
    the same file, whenever and under whichever name.  Zstandard is written at level 3, with checksums.

    Args:
      path: The file.
      mode: "rb" or "wb".
      packing: A suffix in COMPRESSORS, or "" for none.  None goes by the path's own suffix.
      room: What is unpacked is counted there, when all of it is kept; None for a file that is read bit by bit.
      raw: The file that is read, where `path` only names it; None opens it.

    Raises:
      MemoryBoundError: while reading: there is no room.
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
    if raw is None:
        raw = open_bytes(name) if isinstance(name, StoredPath) else _NamedFile(name)
    file = io.BufferedReader(raw, _BUFFER_BYTES)
    if compressor is None:
        return file
    unpacked = compressor.unpacked(file, name)
    unpacked.room = room
    return io.BufferedReader(unpacked, _BUFFER_BYTES)


class _NamedFile(io.FileIO):
    """A file whose read errors say which file it was."""

    def readinto(self, buffer: Any, /) -> int:
        try:
            return cast(int, super().readinto(buffer))
        except OSError as exc:
            raise unreadable(self.name, exc) from exc

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as exc:
            raise unreadable(self.name, exc) from exc


def unreadable(path: Any, exc: OSError) -> ChunkReadError:
    """Return the error for a file that the system does not give."""
    is_forbidden = exc.errno in (errno.EACCES, errno.EPERM)
    hint = "Give this user the right to read it: chmod +r" if is_forbidden else "See whether its disk is well"
    return ChunkReadError(os.fspath(path), f"cannot be read ({exc.strerror}).", hint)


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
    ".gz": Compressor(
        partial(
            UnpackedMembers,
            packing="gzip",
            magic=b"\x1f\x8b",
            padding=1,  # as tapes leave it; gzip and Python pass over it
            unpacker=lambda: zlib.decompressobj(31),
            failure=zlib.error,
        ),
        lambda: zlib.compressobj(6, wbits=31),
    ),
    ".zst": Compressor(
        UnpackedFrames,
        lambda: zstandard.ZstdCompressor(level=3, write_checksum=True, threads=0).compressobj(),
    ),
    ".xz": Compressor(
        partial(
            UnpackedMembers,
            packing="xz",
            magic=b"\xfd7zXZ\0",
            padding=4,  # the format's own "stream padding"
            unpacker=lzma.LZMADecompressor,
            failure=lzma.LZMAError,
        ),
        lzma.LZMACompressor,
    ),
    ".bz2": Compressor(
        partial(
            UnpackedMembers,
            packing="bzip2",
            magic=b"BZh",
            padding=0,
            unpacker=bz2.BZ2Decompressor,
            failure=OSError,
        ),
        bz2.BZ2Compressor,
    ),
}
COMPRESSORS[".zstd"] = COMPRESSORS[".zst"]  # as MosaicML calls it
