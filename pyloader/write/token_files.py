"""Files of tokens, cut into windows of one length: flat files of one dtype, and .npy files of one dimension."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from pyloader.errors import ChunkReadError, SplitError
from pyloader.files import packing_of, refuse_pointer, suffix_of
from pyloader.options import checked_integer
from pyloader.write.array_files import array_file
from pyloader.write.blocks import BLOCK_BYTES, Block, Source, Span
from pyloader.write.input_files import InputFile, open_input

__all__ = ["Windows", "token_source"]

_COLUMN = "tokens"  # as TokenReader calls it
_FLAT_DTYPE = "uint16"  # what nanoGPT and Megatron write for vocabularies below 65,536
_HEAD_BYTES = 2**16
_UPPER_HALF = 16  # the upper halves of uint32 tokens are below it, for vocabularies below a million


@dataclass(frozen=True, slots=True)
class Windows:
    """How a file of tokens is cut into samples.

    Attributes:
      window: Tokens in a sample.
      stride: Tokens from the beginning of a window to that of the next, 1 to `window`.
      dtype: Of a flat file's tokens, "uint16" where that is None; of a .npy file's tokens, what they become.
    """

    window: int
    stride: int
    dtype: str | None = None

    @classmethod
    def of(cls, window: int | None, stride: int | None, dtype: str | None) -> Windows | None:
        """Return what the user said; None when it is nothing.

        Raises:
          ValueError: a number is out of range, the dtype is not of integers, or there is no window.
        """
        if window is None:
            if stride is not None or dtype is not None:
                raise ValueError("stride and dtype are about windows of tokens. Say how long these are: --window 1025")
            return None
        window = checked_integer("window", window, at_least=1)
        stride = window if stride is None else checked_integer("stride", stride, at_least=1)
        if stride > window:
            what = f"stride={stride} is longer than window={window}: the tokens between two windows would be in none"
            raise ValueError(what)
        if dtype is not None:
            _integers(dtype)
        return cls(window, stride, dtype)


class _TokenFile(NamedTuple):
    """Tokens on disk.

    Attributes:
      file: Where they are.
      stored: The dtype on disk.
      wanted: The dtype of the windows, in this machine's byte order.
      num_tokens: How many there are.
      data_offset: Where they begin.
    """

    file: InputFile
    stored: np.dtype
    wanted: np.dtype
    num_tokens: int
    data_offset: int


def token_source(given: InputFile, windows: Windows) -> tuple[Source, int]:
    """Return a file as a source whose rows are windows, and how many tokens after the last one are in none.

    Args:
      given: A .npy file of one dimension, or a file that is nothing but tokens.
      windows: How it is cut.

    Raises:
      SplitError: it is packed, is no array of whole numbers of one dimension, ends within a token, seems to be of
        another dtype, or holds less than one window.
    """
    path = given.path
    if packing := packing_of(path):
        unpack = {".gz": "gunzip", ".zst": "zstd -d", ".xz": "unxz", ".bz2": "bunzip2"}[packing]
        raise SplitError(
            path, "is packed, and windows are read from any place on.", f"Unpack it first: {unpack} {path}"
        )
    file = _npy_file(given, windows) if suffix_of(path) == ".npy" else _flat_file(given, windows)
    num_windows = max(0, (file.num_tokens - windows.window) // windows.stride + 1)
    if not num_windows:
        what = f"holds {file.num_tokens:,} tokens, less than one window of {windows.window:,}."
        raise SplitError(path, what, "Say a smaller --window, or leave the file out")
    num_bytes, raw_bytes = given.num_bytes, num_windows * windows.window * file.wanted.itemsize
    read = partial(_blocks, file, windows, num_windows)
    source = Source(path, num_bytes, read, raw_bytes, num_windows)
    return source, file.num_tokens - (num_windows - 1) * windows.stride - windows.window


def _npy_file(file: InputFile, windows: Windows) -> _TokenFile:
    found = array_file(file)
    if len(found.shape) != 1 or found.dtype.kind not in "iu":
        what = f"holds {found.dtype.name} of shape {list(found.shape)}; tokens are whole numbers in one dimension."
        raise SplitError(file.path, what, "Rows of an array are split without --window")
    wanted = found.dtype if windows.dtype is None else _integers(windows.dtype)
    return _TokenFile(file, found.dtype, wanted.newbyteorder("="), found.shape[0], found.data_offset)


def _flat_file(file: InputFile, windows: Windows) -> _TokenFile:
    path = file.path
    stored, num_bytes = _integers(windows.dtype or _FLAT_DTYPE), file.num_bytes
    try:
        if not file.is_stored:
            refuse_pointer(path, num_bytes)
    except ChunkReadError as exc:
        raise SplitError(path, exc.what, exc.hint) from exc
    if num_bytes % stored.itemsize:
        what = f"has {num_bytes:,} bytes, which is no whole number of {stored.name} tokens."
        raise SplitError(path, what, "It was cut, or its tokens are of another --dtype")
    if windows.dtype is None:
        with open_input(file, packing="") as stream:
            head = np.frombuffer(stream.read(_HEAD_BYTES), stored)
        if _seem_wider(head):
            what = "seems to hold tokens of 32 bits or more: every second number of 16 bits is next to nothing."
            raise SplitError(path, what, "Say what they are: --dtype uint32, or uint16 if that is what they are")
    return _TokenFile(file, stored, stored.newbyteorder("="), num_bytes // stored.itemsize, 0)


def _seem_wider(numbers: np.ndarray) -> bool:
    """Tell whether numbers of 16 bits are the lower and upper halves of wider ones."""
    lower, upper = numbers[::2], numbers[1::2]
    if not len(upper):
        return False
    return bool(upper.max() < _UPPER_HALF <= lower.max() or upper.max() == 0 < lower.max())


def _blocks(file: _TokenFile, windows: Windows, num_windows: int, span: Span) -> Generator[Block, None, None]:
    window, stride, size = windows.window, windows.stride, file.stored.itemsize
    step = max(1, BLOCK_BYTES // (window * file.wanted.itemsize))
    end = num_windows if span.stop is None else span.stop
    with open_input(file.file, packing="") as stream:
        for row in range(span.start, end, step):
            stop = min(row + step, end)
            first, last = row * stride, (stop - 1) * stride + window
            stream.seek(file.data_offset + first * size)
            data = stream.read((last - first) * size)
            if len(data) < (last - first) * size:
                raise SplitError(file.file.path, "became shorter while it was read.", "Give the same command again")
            tokens = _as_wanted(file, np.frombuffer(data, file.stored), first)
            rows = np.lib.stride_tricks.sliding_window_view(tokens, window)[::stride]
            yield Block({_COLUMN: rows}, row + 1, (file.data_offset + last * size))


def _as_wanted(file: _TokenFile, tokens: np.ndarray, first: int) -> np.ndarray:
    """Return tokens in the dtype that they become; the first of them is the file's token `first`, from 0."""
    found = tokens.astype(file.wanted, copy=False)
    if file.stored.newbyteorder("=") != file.wanted and (changed := found != tokens).any():
        place = int(np.argmax(changed))
        what = (
            f"has the token {tokens[place]:,} (number {first + place:,}, from 0), which {file.wanted.name} cannot hold."
        )
        raise SplitError(file.file.path, what, f"Leave --dtype out: they stay {file.stored.name}. Or name a wider one")
    return found


def _integers(name: str) -> np.dtype:
    try:
        found = np.dtype(name)
    except TypeError as exc:
        raise ValueError(f"there is no dtype {name!r}. Tokens are whole numbers: --dtype uint16, or uint32") from exc
    if found.kind not in "iu":
        raise ValueError(f"dtype must be of whole numbers, uint16 say, got {name}")
    return found
