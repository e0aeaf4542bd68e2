"""Megatron's documents, tokens in NAME.bin and where they begin in NAME.idx -> one ragged column."""

from __future__ import annotations

import base64
import functools
import os
import struct
import zlib
from collections.abc import Hashable
from typing import Any

import numpy as np

from pyloader.columns import Columns
from pyloader.datareader import DataReader
from pyloader.errors import ChunkReadError
from pyloader.files import check_fits, found_beside, num_bytes_of
from pyloader.machine.memory import RecycledMemory
from pyloader.part import INDEX_AGAIN, Part, joined_ranges
from pyloader.ragged import Ragged
from pyloader.read.cutting import Cutter
from pyloader.read.file_ranges import range_of
from pyloader.read.spans import words_at

__all__ = ["MegatronReader", "has_index"]

_FETCH_AGAIN = "Fetch both files again, or max_skipped=1 to go on without them"
_HEADER = struct.Struct("<9sQBQQ")  # the magic, the version, the dtype, and how many sequences and documents
_MAGIC, _VERSION = b"MMIDIDX\0\0", 1
_DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f8", 7: "<f4", 8: "<u2"}
_KNOWN = {np.dtype(dtype).str: dtype for dtype in _DTYPES.values()}


class MegatronReader(DataReader):
    """Megatron's documents: NAME.bin, beside which NAME.idx lies.

    A sample is a document, in the dtype that it was written in.  Whoever wants windows of one length, whatever document
    they are of, reads NAME.bin by TokenReader.

    Args:
      name: What the column is called.
    """

    is_thread_safe = True
    finds_by_ranges = True
    needs_beside = True

    def __init__(
        self, batch_size: int = 16, shuffle: bool = False, seed: int = 42, *, name: str = "tokens", **old_names: Any
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        self.name = name
        self._memory = RecycledMemory()

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read all documents.

        Returns:
          {name: Ragged of tokens}, and how many documents there are.

        Raises:
          ChunkReadError: NAME.idx is missing or damaged, or NAME.bin has another length than it says.
        """
        dtype, offsets = _documents(path)
        num_documents, end = len(offsets) - 1, int(offsets[-1]) * dtype.itemsize
        if not num_documents:
            return {}, 0
        check_fits(path, end)
        return {self.name: Ragged(np.frombuffer(range_of(path, 0, end, self._memory), dtype), offsets)}, num_documents

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find parts: NAME.idx is read, and NAME.bin is not."""
        dtype, offsets = _documents(path)
        cutter = Cutter(chunk_bytes, chunk_samples)
        cutter.records(offsets[:-1] * dtype.itemsize)
        parts = []
        for cut in cutter.cuts(int(offsets[-1]) * dtype.itemsize):
            lengths = np.diff(offsets[cut.first : cut.first + cut.num_samples + 1])
            detail = {"dtype": dtype.str, "lengths": _packed(lengths)}
            parts.append(Part(cut.first, cut.num_samples, joined_ranges([(cut.start, cut.stop)]), detail))
        return parts

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read the documents of a part, which says how long they are: NAME.idx is not needed."""
        try:
            dtype = np.dtype(_KNOWN[part.detail["dtype"]])
            offsets = np.append(0, np.cumsum(_unpacked(part.detail["lengths"], part.num_samples)))
            start, stop = part.ranges[0] if part.ranges else (0, 0)
            if int(offsets[-1]) * dtype.itemsize != stop - start or len(part.ranges) > 1:
                raise ValueError("its documents do not fill it")
        except (KeyError, TypeError, ValueError, zlib.error) as exc:
            what = f"has a part that is not one of Megatron's documents ({exc})."
            raise ChunkReadError(path, what, INDEX_AGAIN) from exc
        return {
            self.name: Ragged(np.frombuffer(range_of(path, start, stop, self._memory), dtype), offsets)
        }, part.num_samples


def has_index(path: str) -> bool:
    """Tell whether the .idx of a .bin lies beside it."""
    return found_beside(path, _index_name(path)) is not None


def _index_name(path: str) -> str:
    return f"{os.path.splitext(os.path.basename(path))[0]}.idx"


def _packed(lengths: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(lengths.astype("<u4").tobytes())).decode()


def _unpacked(packed: str, num_documents: int) -> np.ndarray:
    data = zlib.decompressobj().decompress(base64.b64decode(packed), 4 * num_documents + 1)
    if len(data) != 4 * num_documents:
        raise ValueError(f"it says the lengths of {len(data) // 4:,} documents, and has {num_documents:,}")
    return np.frombuffer(data, "<u4").astype(np.int64)


def _documents(path: str) -> tuple[np.dtype[Any], np.ndarray]:
    """Return the dtype of the tokens, and which token each document begins with: int64 of shape [documents + 1]."""
    name = _index_name(path)
    if (index := found_beside(path, name)) is None:
        what = f"has no {name} beside it, which says where its documents begin."
        hint = "Put it there, or, in a store, have it read once: pyloader index ADDRESS"
        raise ChunkReadError(path, what, f"{hint}; or read windows of tokens: TokenReader(window=1025)")
    dtype, offsets = _indexed(*index)
    expected, found = int(offsets[-1]) * dtype.itemsize, num_bytes_of(path)
    if found != expected:
        what = f"has {found:,} bytes, and {name} says {expected:,}."
        raise ChunkReadError(path, what, _FETCH_AGAIN)
    return dtype, offsets


@functools.lru_cache(maxsize=4)
def _indexed(path: str, _state: Hashable) -> tuple[np.dtype[Any], np.ndarray]:
    size = num_bytes_of(path)
    data = np.frombuffer(range_of(path, 0, size), np.uint8)
    if len(data) < _HEADER.size or bytes(data[:9]) != _MAGIC:
        raise ChunkReadError(path, "is no index of Megatron's documents.", _FETCH_AGAIN)
    _, version, code, num_sequences, num_bounds = _HEADER.unpack(data[: _HEADER.size].tobytes())
    if version != _VERSION or code not in _DTYPES:
        raise ChunkReadError(path, f"is an index of version {version} with the dtype {code}, which is not known.")
    dtype = np.dtype(_DTYPES[code])
    expected = _HEADER.size + num_sequences * (4 + 8) + num_bounds * 8
    if size not in (expected, expected + num_sequences):  # with a byte for each sequence's modality
        raise ChunkReadError(path, f"has {size:,} bytes, {expected:,} expected: it was cut.", _FETCH_AGAIN)
    try:
        lengths = words_at(data, _HEADER.size, num_sequences, "<i4")
        pointers = words_at(data, _HEADER.size + 4 * num_sequences, num_sequences, "<i8")
        bounds = words_at(data, _HEADER.size + 12 * num_sequences, num_bounds, "<i8")
    except ValueError as exc:
        raise ChunkReadError(path, f"was cut ({exc}).", _FETCH_AGAIN) from exc
    offsets = np.append(0, np.cumsum(lengths))
    if (lengths < 0).any() or not np.array_equal(pointers, offsets[:-1] * dtype.itemsize):
        raise ChunkReadError(path, "is damaged: its sequences do not lie end to end.", _FETCH_AGAIN)
    if not num_bounds or bounds[0] != 0 or bounds[-1] != num_sequences or (np.diff(bounds) < 0).any():
        raise ChunkReadError(path, "is damaged: its documents are not made of all its sequences.", _FETCH_AGAIN)
    return dtype, offsets[bounds]
