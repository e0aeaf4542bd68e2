"""Flat files of tokens -> windows of a fixed length, as views: nothing is copied until a batch is gathered."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pyloader.columns import Columns
from pyloader.datareader import DataReader
from pyloader.errors import ChunkReadError
from pyloader.files import check_fits, chunk_room, num_bytes_of, open_chunk, packing_of, refuse_pointer, suffix_of
from pyloader.files.mapping import MappedFiles
from pyloader.machine.memory import RecycledMemory
from pyloader.options import checked_integer
from pyloader.part import INDEX_AGAIN, Part, joined_ranges, row_spans
from pyloader.read.numpy_files import NumpyReader, fill, read_npy_rows, rows_of_npy

__all__ = ["TokenReader"]


class TokenReader(DataReader):
    """Chunk files of tokens, one after another: .npy of one dimension, and flat files (.bin) of one dtype.

    A sample is a window of `window` tokens, and the next window begins `stride` tokens later: back to back, unless a
    smaller stride lets them overlap.  The column is an array of shape [windows, window], a view of the tokens in the
    dtype that they are stored in, so a chunk takes the memory of its tokens, however far its windows overlap.

    Windows do not reach from chunk to chunk.  The tokens after a chunk's last whole window are in none:
    `leftover_tokens` counts them, `pyloader index` shows the count, and `pyloader split --window` makes chunks that
    have none, but for the last of a file.

    Args:
      window: Tokens in a sample; to predict each token from those before it, the context and one more.
      stride: Tokens from the beginning of a window to that of the next, 1 to `window`; None is `window`.  With
        stride=window - 1 every token but the first is predicted once.
      dtype: Of the tokens, "uint16" or "<u2".  Flat files do not say it; .npy files do, and theirs must be this one
        where one is given.
      mmap: Whether files are mapped instead of read: for local disks, as NumpyReader says.
      name: What the column is called.

    Raises:
      ValueError: a number is out of range, or the dtype is not of integers.
    """

    is_thread_safe = True
    finds_by_ranges = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        window: int,
        stride: int | None = None,
        dtype: npt.DTypeLike | None = None,
        mmap: bool = False,
        name: str = "tokens",
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        self.window = checked_integer("window", window, at_least=1)
        self.stride = self.window if stride is None else checked_integer("stride", stride, at_least=1)
        if self.stride > self.window:
            what = f"stride={stride} is longer than window={window}: the tokens between two windows would be in none"
            raise ValueError(what)
        self.dtype = None if dtype is None else np.dtype(dtype)
        if self.dtype is not None and self.dtype.kind not in "iu":
            raise ValueError(f"dtype must be of integers, 'uint16' say, got {self.dtype}")
        self.mmap, self.name = mmap, name
        self.returns_new_arrays = not mmap and self.stride == self.window
        self._arrays = NumpyReader(mmap=mmap, name=name)
        self._memory, self._mapped = RecycledMemory(), MappedFiles()

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read, or map, the tokens.

        Returns:
          {name: array of shape [windows, window]}, read-only where windows overlap, and how many windows there are.

        Raises:
          ChunkReadError: a file is cut, its tokens are not of one dimension, of another dtype, or of none.
        """
        if self.stride == self.window and self._can_be_read_as_windows(path):
            # As rows, which the loader can have lie beside those of other chunks.
            windows = self._read_flat(path, lambda num_tokens: (self._num_windows(num_tokens), self.window))
            return {self.name: windows}, len(windows)
        windows, num_windows = self._windows(self._tokens(path))
        return {self.name: windows}, num_windows

    def _windows(self, tokens: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the windows of some tokens, as views of them, and how many there are."""
        num_windows = self._num_windows(len(tokens))
        if self.stride == self.window or num_windows == 0:
            windows = tokens[: num_windows * self.window].reshape(num_windows, self.window)
        else:
            windows = np.lib.stride_tricks.sliding_window_view(tokens, self.window)[:: self.stride]
        return windows, num_windows

    def _tokens_of(self, first: int, stop: int) -> range:
        """Return which tokens some windows have."""
        return range(first * self.stride, (stop - 1) * self.stride + self.window)

    def _flat_place(self, path: str) -> tuple[int, int, int]:
        """Return where in a file the tokens begin, how many there are, and the bytes of one."""
        if suffix_of(path) == ".npy":
            size = num_bytes_of(path)
            start, shape, itemsize, dtype = rows_of_npy(path, size) or (0, (0, 0), 0, np.dtype("i8"))
            self._check(path, dtype, shape)
            return start, shape[0], itemsize
        if self.dtype is None:
            raise _lacks_dtype(path)
        num_bytes = num_bytes_of(path)
        self._check_size(path, num_bytes)
        return 0, num_bytes // self.dtype.itemsize, self.dtype.itemsize

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find spans of windows in a file that is not packed, by its size, or by the header of a .npy.

        Raises:
          ChunkReadError: its tokens are not of one dimension, of another dtype, or of none.
        """
        if packing_of(path):
            return None
        start, num_tokens, itemsize = self._flat_place(path)
        spans = row_spans(
            self._num_windows(num_tokens), num_tokens * itemsize, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples
        )
        parts = []
        for first, stop in spans:
            tokens = self._tokens_of(first, stop)
            own = (start + tokens.start * itemsize, start + tokens.stop * itemsize)
            parts.append(Part(first, stop - first, joined_ranges([(0, start), own])))
        return parts

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read, or map, some windows.

        Raises:
          ChunkReadError: the file does not have these windows.
        """
        span = self._tokens_of(part.first, part.stop)
        _, num_tokens, _ = self._flat_place(path)
        if span.stop > num_tokens:
            what = f"has {num_tokens:,} tokens, and its index names windows {part.first:,} to {part.stop:,}."
            raise ChunkReadError(path, what, INDEX_AGAIN)
        if self.stride == self.window and self._can_be_read_as_windows(path):
            windows = self._read_flat(path, lambda _: (part.num_samples, self.window), first=span.start)
            return {self.name: windows}, len(windows)
        if self.mmap:
            tokens = self._tokens(path)[span.start : span.stop]
        elif suffix_of(path) == ".npy":
            tokens = read_npy_rows(path, span.start, span.stop, self._memory)
        else:
            tokens = self._read_flat(path, lambda _: (len(span),), first=span.start)
        windows, num_windows = self._windows(tokens)
        return {self.name: windows}, num_windows

    def mapping(self) -> TokenReader:
        """Return a reader of the same windows that maps the files."""
        return TokenReader(window=self.window, stride=self.stride, dtype=self.dtype, mmap=True, name=self.name)

    def leftover_tokens(self, path: str) -> int:
        """Return how many tokens at a chunk's end are in no window."""
        num_tokens = len(self._tokens(path)) if packing_of(path) else self._flat_place(path)[1]
        num_windows = self._num_windows(num_tokens)
        return num_tokens - ((num_windows - 1) * self.stride + self.window if num_windows else 0)

    def _can_be_read_as_windows(self, path: str) -> bool:
        return self.dtype is not None and suffix_of(path) != ".npy" and not self.mmap and not packing_of(path)

    def _num_windows(self, num_tokens: int) -> int:
        return max(0, (num_tokens - self.window) // self.stride + 1)

    def _tokens(self, path: str) -> np.ndarray:
        if suffix_of(path) != ".npy":
            return self._flat(path)
        tokens = self._arrays.read_file(path)[0][self.name]
        assert isinstance(tokens, np.ndarray)
        self._check(path, tokens.dtype, tokens.shape)
        return tokens

    def _check(self, path: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Raise where the array of a .npy is not of one dimension, or not of tokens.

        Raises:
          ChunkReadError: so it is.
        """
        wanted = dtype if self.dtype is None else self.dtype
        if dtype.newbyteorder("=") != wanted.newbyteorder("=") or dtype.kind not in "iu":
            kind = "integers" if self.dtype is None else f"{wanted.name}, as dtype says"
            raise ChunkReadError(path, f"holds {dtype.name}, not {kind}.", "Leave dtype out, or name this one")
        if len(shape) != 1:
            what = f"holds an array of shape {list(shape)}; tokens are one after another, in one dimension."
            raise ChunkReadError(path, what, "Arrays whose rows are samples are read by NumpyReader")

    def _flat(self, path: str) -> np.ndarray:
        if self.dtype is None:
            raise _lacks_dtype(path)
        if packing_of(path):
            if self.mmap:
                raise ChunkReadError(path, "is packed, and cannot be mapped.", "Pass mmap=False")
            with open_chunk(path, "rb", room=chunk_room(path)) as file:
                data = bytearray(file.read())
            self._check_size(path, len(data))
            tokens = np.frombuffer(data, self.dtype)
        elif self.mmap and os.path.getsize(path):
            self._check_size(path, os.path.getsize(path))
            tokens = self._mapped.array(path, self._map)
        else:
            return self._read_flat(path, lambda num_tokens: (num_tokens,))
        return tokens.astype(self.dtype.newbyteorder("="), copy=False)

    def _read_flat(self, path: str, shape_of: Callable[[int], tuple[int, ...]], *, first: int = 0) -> np.ndarray:
        """Read the tokens from the first on that fill an array of the shape for as many tokens as there are."""
        assert self.dtype is not None
        num_bytes = os.path.getsize(path)
        self._check_size(path, num_bytes)
        shape = shape_of(num_bytes // self.dtype.itemsize)
        check_fits(path, math.prod(shape) * self.dtype.itemsize)
        tokens = self._memory.empty(shape, self.dtype)
        wanted = tokens.reshape(-1).view(np.uint8).data
        with open(path, "rb", buffering=0) as file:
            file.seek(first * self.dtype.itemsize)
            if fill(wanted, file) < len(wanted):
                raise ChunkReadError(path, "became shorter while it was read.", "Fetch it again, or make it again")
        return tokens.astype(self.dtype.newbyteorder("="), copy=False)

    def _map(self, path: str) -> np.ndarray:
        assert self.dtype is not None
        return np.asarray(np.memmap(path, self.dtype, "r"))

    def _check_size(self, path: str, num_bytes: int) -> None:
        assert self.dtype is not None
        refuse_pointer(path, num_bytes)
        if num_bytes % self.dtype.itemsize:
            what = f"has {num_bytes:,} bytes, which is no whole number of {self.dtype.name} tokens."
            raise ChunkReadError(path, what, "It was cut, or written with another dtype")


def _lacks_dtype(path: str) -> ChunkReadError:
    hint = "Pass dtype='uint16', or what they were written with"
    return ChunkReadError(path, "does not say of which dtype its tokens are.", hint)
