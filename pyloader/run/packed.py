"""Packed chunks: how a chunk that is read becomes packed rows, and which pieces of documents these have."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import xxhash

from pyloader.columns import Columns
from pyloader.datareader import DataReader
from pyloader.errors import ReadFileError
from pyloader.files import ChunkList
from pyloader.packing import (
    PackedColumnsError,
    Packing,
    pack_columns,
    packed_lengths,
    packing_in_order,
    with_loss_mask,
)
from pyloader.plan import PackedRows, pack_generator
from pyloader.run.chunk_lengths import read_lengths
from pyloader.run.packed_counts import GOOD_FILL, PackedCounts, packed_counts

__all__ = [
    "log_fill",
    "mean_tokens",
    "packed",
    "packed_chunks",
    "packed_rows",
    "packing_of_chunks",
    "pieces_of",
]

_log = logging.getLogger("pyloader")


def packed_chunks(chunks: ChunkList, reader: DataReader, packing: Packing) -> tuple[ChunkList, PackedCounts]:
    """Return the chunks with the number of packed rows that each gives, and what else was counted.

    Raises:
      ReadFileError: a chunk has no documents to pack.
      Exception: a chunk cannot be read.
    """
    counts = packed_counts(chunks, packing, _lengths_of(chunks, reader, packing))
    return replace(chunks, made_rows=counts.rows), counts


def log_fill(counts: PackedCounts, packing: Packing) -> None:
    """Say how full the rows are where they could be fuller, and what to do about it."""
    fill = counts.fill(packing)
    if fill >= GOOD_FILL:
        return
    mean = counts.num_documents // len(counts.rows)
    if counts.good_chunk:
        advice = f"chunks of {counts.good_chunk:,} would reach {GOOD_FILL:.0%}: pyloader split --chunk-samples"
        advice = f"{advice} {counts.good_chunk}"
    else:
        advice = "larger chunks would not help: these documents fill rows of another length better"
    _log.info(
        "packed rows of %d tokens are filled to %.1f%%, with %d documents a chunk; %s",
        packing.length, math.floor(1000 * fill) / 10, mean, advice,
    )  # fmt: skip


def packed(
    columns: Columns,
    packing: Packing,
    *,
    path: str,
    seed: int | None,
    epoch: int,
    chunk: int,
    loss_mask: str = "",
) -> Columns:
    """Return the packed rows of a chunk, which is a function of its documents, the seed and the epoch.

    Where `loss_mask` is a dtype, documents without a loss mask get one.

    Raises:
      ReadFileError: it has no documents to pack.
    """
    generator = None if seed is None else pack_generator(seed=seed, epoch=epoch, chunk=chunk)
    try:
        if loss_mask:
            columns = with_loss_mask(columns, packing, loss_mask)
        return pack_columns(columns, packing, generator, chunk=chunk)
    except PackedColumnsError as exc:
        raise ReadFileError(path, *_what_and_hint(exc)) from exc


def packed_rows(chunks: ChunkList, reader: DataReader, packing: Packing, seed: int | None) -> PackedRows:
    """Return which pieces are in which packed row; `seed` is that of the rows' order, None where it is kept."""
    return PackedRows(_lengths_of(chunks, reader, packing), packing.length, packing.max_documents, seed)


def pieces_of(
    chunks: ChunkList, rows_of: PackedRows, rows: np.ndarray, *, epoch: int
) -> list[tuple[str, int, int, int]]:
    """Return the pieces in packed rows: chunk, document in it, first token in that, and the one after its last.

    Args:
      chunks: The chunks.
      rows_of: Which pieces are where.
      rows: Chunk and packed row of each, int64 of shape [rows, 2].
      epoch: Counted from 0.
    """
    pieces, _ = rows_of.of_rows(epoch, rows)
    return [(chunks.names[chunk], *rows_of.span(chunk, piece)) for chunk, piece in pieces.tolist()]


def packing_of_chunks(packing: Packing, chunks: ChunkList) -> str:
    """Return what the order of the samples depends on: the packing, and a digest of the rows that it gives."""
    assert chunks.made_rows is not None
    return packing_in_order(packing, xxhash.xxh3_64(chunks.made_rows.astype("<i8").tobytes()).hexdigest())


def mean_tokens(chunks: ChunkList, reader: DataReader, packing: Packing | None) -> Fraction:
    """Return how many tokens a row of the chunks has on the average; the lengths of all documents are read.

    Args:
      chunks: The chunks; packed, where there is a packing.
      reader: Reads one.
      packing: How they are packed; None where a document is a row, its tokens in the column "tokens".

    Raises:
      ReadFileError: there are no documents of tokens.
    """
    lengths_of = _lengths_of(chunks, reader, Packing(length=1) if packing is None else packing)
    assert chunks.counts is not None
    return Fraction(sum(int(lengths_of(index).sum()) for index in range(len(chunks))), int(chunks.counts.sum()))


def _lengths_of(chunks: ChunkList, reader: DataReader, packing: Packing) -> Callable[[int], np.ndarray]:
    def lengths(path: str, columns: Columns) -> np.ndarray:
        try:
            return packed_lengths(columns, packing)
        except PackedColumnsError as exc:
            raise ReadFileError(path, *_what_and_hint(exc)) from exc

    return lambda index: read_lengths(chunks, reader, index, lengths)


def _what_and_hint(error: PackedColumnsError) -> tuple[str, str]:
    what, _, hint = str(error).partition(". ")
    return f"{what}.", hint
