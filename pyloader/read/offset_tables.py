"""Shards that begin with how many samples they have, and where each lies: those of MosaicML and of litdata."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from pyloader.errors import ChunkReadError
from pyloader.files import num_bytes_of
from pyloader.files.unpacking import FETCH_AGAIN
from pyloader.part import Part, joined_ranges
from pyloader.read.cutting import Cutter
from pyloader.read.file_ranges import range_of
from pyloader.read.spans import numbers_at, words_at

__all__ = ["ReadRange", "SampleError", "beginning", "check_end", "table", "table_parts", "value_starts"]

_WORD = 4  # bytes of a number in a shard

ReadRange: TypeAlias = "Callable[[int, int], bytes | memoryview]"  # (start, stop) -> these bytes of the shard


class SampleError(ValueError):
    """The values of samples are not what the shard says that they are.

    Attributes:
      sample: Whose, counted from 0 among those that were given; None: those of all.
    """

    def __init__(self, sample: int | None, what: str, hint: str = "") -> None:
        super().__init__(sample, what, hint)
        self.sample, self.what, self.hint = sample, what, hint


def beginning(path: str, kind: str, read: ReadRange, size: int) -> tuple[int, tuple[int, int]]:
    """Return how many samples a shard has, and the bytes between its table of offsets and its first sample.

    Raises:
      ChunkReadError: it is no shard of this kind, or was cut.
    """
    head = read(0, 2 * _WORD) if size >= 2 * _WORD else b""
    num_samples, first = (int(word) for word in np.frombuffer(head, "<u4")) if len(head) == 2 * _WORD else (0, 0)
    begin = _WORD * (num_samples + 2)
    if not begin <= first <= size:
        what = f"is no {kind}, or was cut: where its samples begin does not fit its size."
        raise ChunkReadError(path, what, FETCH_AGAIN)
    return num_samples, (begin, first)


def table(path: str, read: ReadRange, size: int, first: int, stop: int) -> np.ndarray:
    """Return where samples begin, and where the last one of them ends: int64 of shape [samples + 1].

    Raises:
      ChunkReadError: they fall, or lie outside of the shard.
    """
    words = np.frombuffer(read(_WORD * (1 + first), _WORD * (2 + stop)), np.uint8)
    offsets = words_at(words, 0, stop - first + 1, "<u4")
    falls = offsets[1:] < offsets[:-1]
    if falls.any():
        what = f"is damaged: sample {first + int(falls.argmax()):,} ends before it begins."
        raise ChunkReadError(path, what, FETCH_AGAIN)
    if int(offsets[-1]) > size:
        raise ChunkReadError(path, f"was cut: it has {size:,} bytes, {offsets[-1]:,} expected.", FETCH_AGAIN)
    return offsets


def check_end(path: str, read: ReadRange, size: int, num_samples: int, hint: str = FETCH_AGAIN) -> None:
    """Raise ChunkReadError where a shard goes on after its last sample, or was cut before its end."""
    end = int(table(path, read, size, num_samples, num_samples)[0])
    if end != size:
        raise ChunkReadError(path, f"goes on after its last sample, which ends at {end:,} of {size:,} bytes.", hint)


def table_parts(
    path: str, kind: str, chunk_bytes: int, chunk_samples: int | None, hint: str = FETCH_AGAIN
) -> list[Part]:
    """Return parts of a shard: its table is read, and not its samples; `hint` is for what follows the last one."""
    read, size = functools.partial(range_of, path), num_bytes_of(path)
    num_samples, said = beginning(path, kind, read, size)
    check_end(path, read, size, num_samples, hint)
    if not num_samples:
        return []
    offsets = table(path, read, size, 0, num_samples)
    cutter = Cutter(chunk_bytes, chunk_samples)
    cutter.records(offsets[:-1])
    parts = []
    for cut in cutter.cuts(int(offsets[-1])):
        its_table = _WORD * (1 + cut.first), _WORD * (2 + cut.first + cut.num_samples)
        ranges = joined_ranges([(0, 2 * _WORD), its_table, said, (cut.start, cut.stop)])
        parts.append(Part(cut.first, cut.num_samples, ranges))
    return parts


def value_starts(data: np.ndarray, offsets: np.ndarray, sizes: Sequence[int | None]) -> list[np.ndarray]:
    """Return where the values of each column begin, int64 of shape [samples], and where those of the last one end.

    A sample is the lengths of those values whose size is None, and then all values.

    Args:
      data: uint8, the bytes of the samples.
      offsets: Where in `data` each begins, and the last one ends.
      sizes: How many bytes the values of each column have; None where they differ.

    Raises:
      SampleError: the values of a sample do not fill it.
    """
    num_words = sum(not size for size in sizes)
    if any(not 0 <= (size or 0) <= len(data) for size in sizes):
        raise SampleError(None, "is damaged: its values are said to be larger than it is")
    try:
        words = numbers_at(data, offsets[:-1], "<u4", (num_words,)).astype(np.int64)
    except ValueError as exc:
        raise SampleError(len(offsets) - 2, "is damaged: it is shorter than the lengths of its values") from exc
    starts, word = [offsets[:-1] + num_words * _WORD], 0
    for size in sizes:
        starts.append(starts[-1] + (size or words[:, word]))
        word += not size
    if (wrong := starts[-1] != offsets[1:]).any():
        raise SampleError(int(wrong.argmax()), "is damaged: its values do not fill it")
    return starts
