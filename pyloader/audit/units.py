"""Units: what an audit counts. A row is one sample; a packed row has several pieces of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from pyloader.files import ChunkList
from pyloader.plan import Lengths, Order, PackedRows, source_seed

__all__ = ["PieceUnits", "SampleUnits", "Units", "order_of_source", "samples_of"]


class Units(Protocol):
    """What is counted.

    Attributes:
      lengths_of: How long rows are; None where the order does not depend on it.
    """

    lengths_of: Lengths | None

    @property
    def counts(self) -> np.ndarray:
        """How many each chunk has, int64 of shape [chunks]."""

    def of_rows(self, epoch: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the units of some rows, int64 of shape [units, 2], and where each row's begin, int64 of shape [rows].

        A unit is the index of its chunk, and its place in that.
        """

    def place(self, unit: np.ndarray) -> dict[str, int]:
        """Return where in its chunk a unit is: its "row", and of a piece where it begins and ends in that."""

    def name(self, unit: np.ndarray) -> str:
        """Return where a unit is, in words."""


class SampleUnits:
    """Samples: each row of the chunks is one."""

    def __init__(self, chunks: ChunkList, lengths_of: Lengths | None = None) -> None:
        self._chunks, self.lengths_of = chunks, lengths_of

    @property
    def counts(self) -> np.ndarray:
        """How many each chunk has; asked for where that is known."""
        assert self._chunks.counts is not None
        return self._chunks.counts

    def of_rows(self, epoch: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows themselves."""
        del epoch
        return rows, np.arange(len(rows))

    def place(self, unit: np.ndarray) -> dict[str, int]:
        """Return the row."""
        return {"row": int(unit[1])}

    def name(self, unit: np.ndarray) -> str:
        """Return chunk and row."""
        return f"{self._chunks.names[unit[0]]} row {unit[1]:,}"


class PieceUnits:
    """Pieces of documents.

    Args:
      counts: How many each chunk has.
      names: The chunks' names.
      packed_rows: Which are in which row.
    """

    lengths_of: Lengths | None = None

    def __init__(self, counts: np.ndarray, names: Sequence[str], packed_rows: PackedRows) -> None:
        self.counts, self._names, self._packed_rows = counts, names, packed_rows
        self.of_rows = packed_rows.of_rows

    def place(self, unit: np.ndarray) -> dict[str, int]:
        """Return the document, its first token in the piece, and the one after the last."""
        return dict(zip(("row", "start", "stop"), self._packed_rows.span(*unit.tolist()), strict=True))

    def name(self, unit: np.ndarray) -> str:
        """Return chunk, document and tokens."""
        place = self.place(unit)
        return f"{self._names[unit[0]]} row {place['row']:,} tokens {place['start']:,} to {place['stop']:,}"


def order_of_source(order: Order, name: str, *, rows_digest: str = "", run: int = 0) -> Order:
    """Return the order of a mixture's source by itself.

    Args:
      order: That of the mixture.
      name: Which source.
      rows_digest: Of the rows that its documents are packed in; "" where they are not.
      run: Which time the mixture is gone through, from 0.
    """
    packing = f"{order.packing}{rows_digest}" if order.packing else ""
    return replace(order, seed=source_seed(name, seed=order.seed, run=run), packing=packing, mixture="")


def samples_of(chunks: ChunkList, order: Order) -> tuple[ChunkList, Units]:
    """Return the chunks, and their samples as what is counted."""
    assert not order.packing and not order.bucket_by, "what rows have must be read: run/units.py"
    return chunks, SampleUnits(chunks)
