"""Packed rows: which pieces of documents are in which row, by arithmetic from the lengths of the documents."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from pyloader.plan.order import pack_generator
from pyloader.plan.packing import Pieces, pack, pieces_of

__all__ = ["PackedRows"]

_KEPT_CHUNKS = 64  # whose packing is kept: 40 bytes for each piece


class PackedRows:
    """The pieces in the packed rows of a set of chunks.

    Args:
      lengths_of: Returns the tokens of each document of the chunk of an index, int64 of shape [documents].
      row_length: Tokens of a row.
      max_pieces: The most pieces in a row; None sets no bound.
      seed: Of the rows' order; None where it is kept.
    """

    def __init__(
        self, lengths_of: Callable[[int], np.ndarray], row_length: int, max_pieces: int | None, seed: int | None
    ) -> None:
        self._row_length, self._max_pieces, self._seed = row_length, max_pieces, seed
        self._pieces = lru_cache(_KEPT_CHUNKS)(lambda chunk: pieces_of(lengths_of(chunk), row_length))
        self._packed = lru_cache(_KEPT_CHUNKS)(self._pack)

    def of_rows(self, epoch: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pieces in some rows, row after row, and where each row's begin.

        Args:
          epoch: Counted from 0.
          rows: Chunk and packed row of each, int64 of shape [rows, 2].

        Returns:
          int64 of shape [pieces, 2], the chunk and the place of each piece in it; and int64 of shape [rows].
        """
        found = []
        for chunk, row in rows.tolist():
            order, first = self._packed(chunk, epoch)
            mine = order[first[row] : first[row + 1]]
            found.append(np.stack([np.full(len(mine), chunk), mine], axis=1))
        begins = np.cumsum([0, *map(len, found)])[:-1]
        return np.concatenate([np.zeros((0, 2), np.int64), *found]), begins

    def span(self, chunk: int, piece: int) -> tuple[int, int, int]:
        """Return a piece's document, its first token in that, and the one after its last."""
        pieces: Pieces = self._pieces(chunk)
        start = int(pieces.start[piece])
        return int(pieces.document[piece]), start, start + int(pieces.length[piece])

    def _pack(self, chunk: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        generator = None if self._seed is None else pack_generator(seed=self._seed, epoch=epoch, chunk=chunk)
        order, row = pack(self._pieces(chunk), self._row_length, generator, self._max_pieces)
        return order, np.searchsorted(row, np.arange(int(row[-1]) + 2 if len(row) else 1))
