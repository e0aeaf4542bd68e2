"""Packed columns: the documents of a chunk become packed rows, and rows of a batch become arrays.

Between the two a row is two ragged columns, the tokens and where they are from, so that it takes no more memory than
its documents until it is in a batch.
"""

from __future__ import annotations

import numpy as np

from pyloader.columns import Column, Columns, row_count
from pyloader.packing.options import Packing
from pyloader.plan import pack, pieces_of
from pyloader.ragged import Ragged

__all__ = ["PackedColumnsError", "pack_columns", "packed_lengths", "unpacked_batch"]

_PIECES = ":pieces"  # of each row: for each of its pieces the length, and where in its document it begins


class PackedColumnsError(ValueError):
    """Columns that cannot be packed; what is to be done about it is in the message."""


def packed_lengths(columns: Columns, packing: Packing) -> np.ndarray:
    """Return how many tokens each document has, int64 of shape [documents].

    Raises:
      PackedColumnsError: there are no documents of tokens.
    """
    if not row_count(columns):
        return np.zeros(0, np.int64)
    return _tokens(columns, packing).lengths


def pack_columns(columns: Columns, packing: Packing, generator: np.random.Generator | None) -> Columns:
    """Return the packed rows of a chunk's documents.

    Args:
      columns: The documents: a column of tokens, and none but those that packing drops.
      packing: How they are packed.
      generator: Decides which of several documents of one length stands where; None keeps the order of the file.

    Raises:
      PackedColumnsError: there are no documents of tokens, or there are other columns.
    """
    if not row_count(columns):
        return {}
    documents = _tokens(columns, packing)
    if others := sorted(columns.keys() - {packing.column, *packing.drop}):
        raise PackedColumnsError(
            f"has the column {others[0]!r} beside {packing.column!r}, and a value for a document has no place in a row "
            f"of several. Leave it out: pack=Packing(length={packing.length}, drop={tuple(others)!r})"
        )
    pieces = pieces_of(documents.lengths, packing.length)
    order, row = pack(pieces, packing.length, generator)
    # Pieces lie end to end, as documents do.
    ends = documents.offsets[0] + np.cumsum(pieces.length)
    tokens = Ragged(documents.values, np.concatenate([documents.offsets[:1], ends])).take(order)
    first = np.searchsorted(row, np.arange(int(row[-1]) + 2 if len(row) else 1))  # of each row, and the end
    places = np.stack([pieces.length[order], pieces.start[order]], axis=1)
    return {
        packing.column: Ragged(tokens.values, tokens.offsets[first]),
        _PIECES: Ragged(places.reshape(-1), 2 * first),
    }


def unpacked_batch(columns: Columns, packing: Packing) -> Columns:
    """Return the rows of a batch as arrays: the tokens, `segment_ids`, `position_ids` and `loss_mask`."""
    tokens, pieces = columns[packing.column], columns[_PIECES]
    assert isinstance(tokens, Ragged) and isinstance(pieces, Ragged)
    length, start = pieces.spanned.reshape(-1, 2).T
    num_pieces = pieces.lengths // 2
    total, lengths = int(length.sum()), tokens.lengths
    ends = np.cumsum(length)
    first_piece = np.cumsum(num_pieces) - num_pieces
    segment = np.arange(1, len(length) + 1) - np.repeat(first_piece, num_pieces)
    is_target = np.ones(total, bool)
    if packing.shifted:
        is_target[ends - 1] = False
    flat = {
        packing.column: tokens.spanned,
        "segment_ids": np.repeat(segment.astype(np.int32), length),
        "position_ids": np.arange(total, dtype=np.int32) - np.repeat((ends - length - start).astype(np.int32), length),
        "loss_mask": is_target,
    }
    if bool((lengths == packing.length).all()):
        return {name: values.reshape(len(tokens), packing.length) for name, values in flat.items()}
    is_there = np.arange(packing.length) < lengths[:, None]
    return {name: _filled_up(values, is_there) for name, values in flat.items()}


def _filled_up(values: np.ndarray, is_there: np.ndarray) -> np.ndarray:
    rows = np.zeros(is_there.shape, values.dtype)
    rows[is_there] = values
    return rows


def _tokens(columns: Columns, packing: Packing) -> Ragged:
    if packing.column not in columns:
        found = ", ".join(map(repr, columns))
        name = next(iter(columns))
        raise PackedColumnsError(
            f"has no column {packing.column!r} to pack, but {found}. Say which one holds the tokens: "
            f"pack=Packing(length={packing.length}, column={name!r})"
        )
    column: Column = columns[packing.column]
    try:
        tokens = Ragged.from_rows(column) if isinstance(column, list) else column
    except TypeError as exc:
        raise PackedColumnsError(
            f"has no tokens in {packing.column!r}: {exc}. Make tokens of the text once: pyloader split --encode"
        ) from exc
    if not isinstance(tokens, Ragged):  # windows of one length: each is a document
        tokens = Ragged.from_rows(list(tokens)) if tokens.ndim == 2 else tokens
    if not isinstance(tokens, Ragged) or tokens.is_bytes or tokens.dtype.kind not in "iu":
        kind = "bytes" if isinstance(tokens, Ragged) and tokens.is_bytes else str(tokens.dtype)
        raise PackedColumnsError(f"has {kind} in {packing.column!r}, which are no documents of integers")
    return tokens
