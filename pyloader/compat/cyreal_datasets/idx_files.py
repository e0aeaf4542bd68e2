"""IDX files: the format of MNIST and its relatives, packed as .gz or plain."""

from __future__ import annotations

import gzip
import math
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np

from pyloader.errors import DatasetError
from pyloader.files.atomic import written_whole

__all__ = ["mapped_idx", "read_idx"]

_UNSIGNED_BYTES = 8  # the third byte of the magic number: what the values are


def read_idx(path: Path) -> np.ndarray:
    """Return the values of an IDX file, as many axes as it says: a uint8 array.

    Raises:
      DatasetError: it is no IDX file of unsigned bytes, or damaged.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(path, file.read(4), file)
            values = np.frombuffer(file.read(), np.uint8)
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise DatasetError(str(path), f"is damaged ({exc}).", "Fetch it again") from exc
    if len(values) != math.prod(shape):
        raise _wrong_size(path, len(values), shape)
    return values.reshape(shape)


def mapped_idx(path: Path) -> np.ndarray:
    """Return the values of an IDX file as a memory map, which reads them when they are used.

    A packed file is unpacked once, into a file beside it.

    Raises:
      DatasetError: as read_idx says, or there is no room for the unpacked file.
    """
    if path.suffix == ".gz":
        path = _unpacked(path)
    with path.open("rb") as file:
        shape = _shape(path, file.read(4), file)
        start = file.tell()
    size = path.stat().st_size - start
    if size != math.prod(shape):
        raise _wrong_size(path, size, shape)
    return np.memmap(path, np.uint8, mode="r", offset=start, shape=shape)


def _shape(path: Path, magic: bytes, file: object) -> tuple[int, ...]:
    if len(magic) != 4 or magic[:2] != b"\0\0" or magic[2] != _UNSIGNED_BYTES or not magic[3]:
        raise DatasetError(str(path), f"is no IDX file of unsigned bytes: it begins with {magic.hex() or 'nothing'}.")
    header = file.read(4 * magic[3])  # type: ignore[attr-defined]
    if len(header) != 4 * magic[3]:
        raise DatasetError(str(path), "ends inside its header.", "Fetch it again")
    return struct.unpack(f">{magic[3]}I", header)


def _unpacked(path: Path) -> Path:
    plain = path.with_suffix("")
    if plain.is_file():
        return plain
    try:
        with written_whole(plain) as beside, gzip.open(path, "rb") as packed, beside.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise DatasetError(str(path), f"is damaged ({exc}).", "Fetch it again") from exc
    except PermissionError as exc:
        raise DatasetError(
            str(path), "cannot be unpacked beside it: the directory may not be written to.", "Unpack it with gunzip"
        ) from exc
    return plain


def _wrong_size(path: Path, size: int, shape: tuple[int, ...]) -> DatasetError:
    wanted = " x ".join(f"{length:,}" for length in shape)
    return DatasetError(str(path), f"has {size:,} bytes of values, and its header says {wanted}.", "Fetch it again")
