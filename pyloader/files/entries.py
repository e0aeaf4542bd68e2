"""What a manifest says of a chunk, a file or a part of one; and what no parts can be."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

import msgspec

from pyloader.machine.limits import available_bytes
from pyloader.part import Part, split_name

__all__ = ["ChunkEntry", "PartEntry", "PartSizes", "problem_with_part", "problem_with_parts", "unorderable"]

_LARGEST = 2**63 - 1  # what int64 holds
_ORDER_BYTES = 16  # of memory for each row of a chunk, at the least: its place, before and after rows change places

_Place: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]
_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)]


class PartEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Where a part is, of a file that is several chunks.

    Attributes:
      file_bytes: The size of the whole file.
      file_samples: How many rows the whole file holds.
      ranges: (start, stop) in bytes of the file: all that is read of it for this part; of a directory, of its
        files one after another, sorted by name.
      detail: The reader's own.
    """

    file_bytes: _Place
    file_samples: _Place
    ranges: tuple[tuple[_Place, _Place], ...]
    detail: Any = None


class ChunkEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One chunk: a file, or a part of one.

    Attributes:
      file: Its path relative to the chunks' directory, with forward slashes; never out of that directory.  A part's
        name is that of its file with its first row and the one after its last behind: "big.parquet[4000:8000]".
      num_samples: How many rows it holds.
      num_bytes: Its size on disk; for a directory of columns, of all its files; for a part, of its ranges.
      raw_bytes: Its size before compression, 0 when unknown.
      checksum: As `checksum_of` gives it; "" when it was not computed.
      part: Where the part is; not there in a chunk that is a whole file.
    """

    file: str
    num_samples: _Place
    num_bytes: _Place
    raw_bytes: _Place = 0
    checksum: str = ""
    part: PartEntry | msgspec.UnsetType = msgspec.UNSET

    @property
    def source(self) -> str:
        """The file that the chunk is, or lies in; its path as that of `file`."""
        return self.file if self.part is msgspec.UNSET else split_name(self.file)[0]

    @property
    def source_bytes(self) -> int:
        """The size of that file."""
        return self.num_bytes if self.part is msgspec.UNSET else self.part.file_bytes

    @property
    def as_part(self) -> Part | None:
        """The part as readers know it; None of a whole file."""
        if self.part is msgspec.UNSET:
            return None
        return Part(split_name(self.file)[1], self.num_samples, self.part.ranges, self.part.detail)

    @property
    def order(self) -> tuple[str, int]:
        """What chunks are sorted by: parts in the order of their rows."""
        return (self.file, _LARGEST) if self.part is msgspec.UNSET else split_name(self.file)[:2]


class PartSizes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How large the parts of files were to be.

    Attributes:
      chunk_bytes: About how many bytes one has.
      chunk_samples: How many rows one has, where that was said; None goes by bytes.
      version: Of the rules by which readers find parts.
    """

    chunk_bytes: _Size
    chunk_samples: _Size | None = None
    version: int = 1

    def as_options(self) -> dict[str, Any]:
        """Return what `find_parts` is called with."""
        return {"chunk_bytes": self.chunk_bytes, "chunk_samples": self.chunk_samples}


def unorderable(chunks: Iterable[ChunkEntry]) -> str:
    """Return which chunk has more samples than the memory could hold an order of, in words; "" where none has."""
    most = available_bytes() // _ORDER_BYTES
    for chunk in chunks:
        if chunk.num_samples > most:
            return (
                f"says that {chunk.file} has {chunk.num_samples:,} samples, whose order alone does not fit in memory."
            )
    return ""


def problem_with_part(chunk: ChunkEntry) -> str:
    """Return why there cannot be such a part, in words; "" where there can, and for a whole file."""
    if chunk.part is msgspec.UNSET:
        return ""
    try:
        _, first, stop = split_name(chunk.file)
    except ValueError:
        return f"the part {chunk.file!r} is not called FILE[FIRST:STOP]"
    if stop > _LARGEST or stop - first != chunk.num_samples:
        return f"the part {chunk.file!r} has {chunk.num_samples:,} samples"
    ends = [0, *itertools.chain.from_iterable(chunk.part.ranges), chunk.part.file_bytes]
    if any(start > stop for start, stop in itertools.pairwise(ends)):
        return f"the part {chunk.file!r} has byte ranges that are not one after another inside of the file"
    if chunk.part.ranges and sum(stop - start for start, stop in chunk.part.ranges) != chunk.num_bytes:
        return f"the part {chunk.file!r} has {chunk.num_bytes:,} bytes, and its ranges have others"
    return ""


def problem_with_parts(chunks: Iterable[ChunkEntry]) -> str:
    """Return why chunks, which are sorted, cannot be the parts of their files, in words; "" where they can.

    The parts of a file follow on one another from its first row on.
    """
    for source, group in itertools.groupby(chunks, key=lambda chunk: chunk.source):
        parts, next_row = list(group), 0
        if all(chunk.part is msgspec.UNSET for chunk in parts):
            continue
        sizes = {
            None if chunk.part is msgspec.UNSET else (chunk.part.file_bytes, chunk.part.file_samples) for chunk in parts
        }
        if len(sizes) > 1:
            return f"it lists {source!r} whole and in parts, or in parts of several files"
        for chunk in parts:
            first, stop = split_name(chunk.file)[1:]
            if first != next_row:
                return f"the part {chunk.file!r} comes where row {next_row:,} of that file should"
            next_row = stop
        if (size := sizes.pop()) is not None and next_row != size[1]:
            return f"the parts of {source!r} end at row {next_row:,} of {size[1]:,}"
    return ""
