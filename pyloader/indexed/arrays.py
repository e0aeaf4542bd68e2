"""NumPy files: the rows of a .npy, or of an array in a .npz, mapped."""

from __future__ import annotations

import os
import struct
import zipfile

import numpy as np

from pyloader.errors import ClosedError, DatasetError
from pyloader.indexed.dataset import FileDataset
from pyloader.indexed.rows import Rows, gathered
from pyloader.machine.memory import RecycledMemory
from pyloader.read.numpy_files import map_npy

__all__ = ["NPDataset"]

_LOCAL_HEADER = struct.Struct("<26xHH")  # of a member of a zip file: the lengths of its name and of its extra field


class NPDataset(FileDataset[np.ndarray]):
    """The rows of an array in a file.  Nothing is read before it is asked for.

    What `take` gives is a copy, writable and in the machine's byte order; the file is never changed.

    Args:
      path: A .npy, or a .npz as numpy.savez writes it (numpy.savez_compressed writes what cannot be mapped).
      member: Which array of a .npz; it may be left out where there is only one.

    Raises:
      DatasetError: the file is cut or damaged, holds Python objects or a single number, or cannot be mapped.
      FileNotFoundError: it is not there.
    """

    is_thread_safe = True

    def __init__(self, path: str | os.PathLike[str], member: str | None = None) -> None:
        self.path, self.member = os.fspath(path), member
        self._array: np.ndarray | None = _mapped(self.path, member)
        self._length = len(self._array)
        self._memory = RecycledMemory()
        self.shape, self.dtype = self._array.shape[1:], self._array.dtype.newbyteorder("=")

    def __len__(self) -> int:
        return self._length

    def take(self, indices: np.ndarray) -> Rows:
        """Return the rows at `indices`: a new array of shape [n, *self.shape], dtype self.dtype.

        Raises:
          ClosedError: after close().
        """
        array = self._array
        if array is None:
            raise ClosedError(f"{self!r} is closed.", "Make another one")
        return gathered(array, indices, self._memory).astype(self.dtype, copy=False)

    def close(self) -> None:
        """Close the file; it is unmapped when no `take` in another thread uses it any more."""
        self._array = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, {len(self):,} rows of {self.dtype} {list(self.shape)})"


def _mapped(path: str, member: str | None) -> np.ndarray:
    """Return the whole array, mapped read-only."""
    with open(path, "rb") as file:
        is_zip = file.read(2) == b"PK"
    if member is not None and not is_zip:
        raise DatasetError(path, f"is no .npz, and has no member {member!r}.", "Leave member= out")
    start = _start_of_member(path, member) if is_zip else 0
    return map_npy(path, start=start, is_whole=False, error=DatasetError)


def _start_of_member(path: str, member: str | None) -> int:
    """Return where in a .npz the .npy of a member begins."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    except zipfile.BadZipFile as exc:
        raise DatasetError(path, f"is no whole .npz ({exc}).", "Fetch it again, or make it again") from exc
    if member is None and len(names) != 1:
        raise DatasetError(
            path, f"holds several arrays, {', '.join(names)}.", f"Name one: member={next(iter(names), '')!r}"
        )
    info = names.get(next(iter(names)) if member is None else member.removesuffix(".npy"))
    if info is None:
        raise DatasetError(path, f"holds no {member!r}; it has {', '.join(names)}.", "Name one of them")
    if info.compress_type != zipfile.ZIP_STORED:
        what = f"holds {info.filename} compressed, which cannot be mapped."
        raise DatasetError(
            path, what, "Save it with numpy.savez, or read it whole: InMemoryDataset(numpy.load(...)[...])"
        )
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return int(info.header_offset + _LOCAL_HEADER.size + name_length + extra_length)
