"""Units of an order: what an audit and `pyloader locate` count of chunks, where their rows must be read for it."""

from __future__ import annotations

from pyloader.audit import PieceUnits, SampleUnits, Units, samples_of
from pyloader.errors import StateError
from pyloader.files import ChunkList
from pyloader.packing import packing_from_order
from pyloader.plan import Order
from pyloader.read import reader_for
from pyloader.run.chunk_lengths import lengths_of_rows
from pyloader.run.packed import packed_chunks, packed_rows, packing_of_chunks

__all__ = ["units_of_order"]


def units_of_order(chunks: ChunkList, order: Order) -> tuple[ChunkList, Units]:
    """Return the chunks with the rows that an order has, and what an audit counts: samples, or pieces of documents.

    Raises:
      StateError: the order names no packing, or another number of rows.
    """
    if not order.packing and not order.bucket_by:
        return samples_of(chunks, order)
    reader = reader_for(chunks.file(0), manifest=chunks.manifest)
    if order.bucket_by:
        return chunks, SampleUnits(chunks, lengths_of_rows(chunks, reader, order.bucket_by))
    try:
        packing = packing_from_order(order.packing)
    except ValueError as exc:
        raise StateError(f"the order has {exc}.", "Give what was written, unchanged") from exc
    chunks, counts = packed_chunks(chunks, reader, packing)
    if (mine := packing_of_chunks(packing, chunks)) != order.packing:
        what = f"the documents make other packed rows ({mine}) than they did ({order.packing})."
        raise StateError(what, "Give the chunks that were read, unchanged")
    return chunks, PieceUnits(counts.pieces, chunks.names, packed_rows(chunks, reader, packing, order.row_seed))
