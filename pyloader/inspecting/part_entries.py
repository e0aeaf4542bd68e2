"""What an index says of the parts of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyloader.files import ChunkEntry, PartEntry
from pyloader.part import Part, part_name

__all__ = ["part_entries", "spread"]


def part_entries(
    name: str, file_bytes: int, parts: Sequence[Part], checksum: Callable[[Part], str] | None = None
) -> list[ChunkEntry]:
    """Return the entries of a file's parts.

    Args:
      name: The file, as a manifest names it.
      file_bytes: Its size.
      parts: All its parts, as its reader has found them.
      checksum: Computes that of a part that says which bytes it is; None leaves them out.
    """
    return [
        ChunkEntry(
            file=part_name(name, part),
            num_samples=part.num_samples,
            # Where the bytes are not known, a share of the file by rows.
            num_bytes=part.num_bytes or file_bytes * part.num_samples // parts[-1].stop,
            checksum=checksum(part) if checksum is not None and part.ranges else "",
            part=PartEntry(file_bytes=file_bytes, file_samples=parts[-1].stop, ranges=part.ranges, detail=part.detail),
        )
        for part in parts
    ]


def spread(parts: Sequence[Part], most: int) -> list[Part]:
    """Return some of the parts, the first and the last among them, as far apart from each other as can be."""
    number = min(most, len(parts))
    return [parts[index * (len(parts) - 1) // max(1, number - 1)] for index in range(number)]
