"""How many samples each chunk gets; pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyloader.write.units import bytes_of_unit

__all__ = ["DEFAULT_CHUNK_BYTES", "MIN_CHUNKS", "ChunkSizes", "even_counts"]

DEFAULT_CHUNK_BYTES = 64 * 2**20

# Fewer chunks than this leave a shuffle window little to mix, unless the user names a size.
MIN_CHUNKS = 16


@dataclass(frozen=True, slots=True)
class ChunkSizes:
    """What the user said of sizes; at most one is given.

    Attributes:
      chunk_bytes: Bytes of a chunk before compression, at most (one sample larger than that is a chunk of its own).
      chunk_samples: Samples of a chunk; the last has what is left.
      num_chunks: Chunks of the main output, all of the same number of samples or one less.
    """

    chunk_bytes: int | None = None
    chunk_samples: int | None = None
    num_chunks: int | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} were given; one says how large the chunks are")
        for name, value in given.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    @property
    def bytes_of_chunk(self) -> int:
        """Bytes of a chunk before compression, where bytes decide."""
        return self.chunk_bytes or DEFAULT_CHUNK_BYTES

    def bytes_in(self, raw_bytes: int) -> int:
        """Return about how many bytes a chunk of a dump of `raw_bytes` has: less by default, where it gave few chunks.

        A little less than `chunk_bytes`, where those were named: what is cut at these many bytes ends with the row that
        goes over them.
        """
        if self.chunk_bytes is not None:
            return max(1, self.chunk_bytes * 31 // 32)
        return min(DEFAULT_CHUNK_BYTES, -(-raw_bytes // MIN_CHUNKS)) or DEFAULT_CHUNK_BYTES

    def while_reading(self, raw_bytes: int) -> ChunkSizes | None:
        """Return the sizes by which an unshuffled dump of about `raw_bytes` is cut while it is read.

        None where that takes its totals: to a number of chunks, or of samples without regard to units.
        """
        if self.num_chunks is not None or self.chunk_samples is not None or not (raw_bytes or self.chunk_bytes):
            return None
        if self.chunk_bytes is not None:
            return self
        size = self.bytes_in(raw_bytes)
        # Where a unit is to be one chunk, one that is a little larger is one, too; where it is to be several, a row
        # that goes over the border does not make one more.
        slack = 8 if bytes_of_unit(raw_bytes, size) == size else 32
        return ChunkSizes(chunk_bytes=size + -(-size // slack))

    def are_half_full(self, num_rows: int, num_bytes: int) -> bool:
        """Tell whether so many rows, of so many bytes, are half of a chunk."""
        if self.chunk_samples is not None:
            return 2 * num_rows >= self.chunk_samples
        return 2 * num_bytes >= self.bytes_of_chunk

    def rows_that_fit(self, lengths: np.ndarray, num_rows: int, num_bytes: int) -> int:
        """Return how many of the next rows, of `lengths` bytes each, go into a chunk that has `num_rows` already."""
        if self.chunk_samples is not None:
            return min(len(lengths), self.chunk_samples - num_rows)
        room = self.bytes_of_chunk - num_bytes
        fits = int(np.searchsorted(np.cumsum(lengths), room, side="right"))
        return fits if fits or num_rows else min(1, len(lengths))

    def counts(self, main: tuple[int, int], others: tuple[int, ...]) -> list[list[int]]:
        """Return the samples of each chunk of each output, once the totals are known.

        Args:
          main: Samples and bytes of the main output.
          others: Samples of each of the others; their chunks are as large as the main output's.
        """
        num_samples, num_bytes = main
        if self.chunk_samples is not None:
            return [_full_counts(total, self.chunk_samples) for total in (num_samples, *others)]
        if self.num_chunks is not None:
            number = self.num_chunks
        else:
            number = -(-num_bytes // self.bytes_of_chunk)
            number = number if self.chunk_bytes is not None else max(number, MIN_CHUNKS)
        number = min(number, num_samples)
        size = num_samples / number if number else max(others, default=1) or 1
        return [even_counts(num_samples, number), *(even_counts(total, -int(-total // size)) for total in others)]


def even_counts(total: int, number: int) -> list[int]:
    """Return `number` counts, each one the same or one less, the larger ones first, that add up to `total`."""
    if number == 0:
        return []
    small, larger = divmod(total, number)
    return [small + 1] * larger + [small] * (number - larger)


def _full_counts(total: int, size: int) -> list[int]:
    full, rest = divmod(total, size)
    return [size] * full + [rest] * (rest > 0)
