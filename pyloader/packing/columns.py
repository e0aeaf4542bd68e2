"""Packed columns: the documents of a chunk become packed rows, and rows of a batch become arrays.

Between the two a row is two ragged columns, the tokens and where they are from, so that it takes no more memory than
its documents until it is in a batch.
"""

from __future__ import annotations

import contextlib
from itertools import chain

import numpy as np

from pyloader.columns import Column, Columns, row_count
from pyloader.packing.options import Packing
from pyloader.plan import pack, pieces_of
from pyloader.ragged import Ragged

__all__ = [
    "LOSS_MASK",
    "PackedColumnsError",
    "pack_columns",
    "packed_columns",
    "packed_lengths",
    "piece_numbers",
    "unpacked_batch",
    "with_loss_mask",
]

# Of each row: for each of its pieces the length, where in its document it begins, and the numbers of the piece and of
# the document: the index of the chunk in the upper 32 bits, in the lower the place in the file.
_PIECES, _WIDTH = ":pieces", 4
_IDS = {"chunk_ids", "document_ids"}
_OURS = {"segment_ids", "position_ids", "cu_seqlens", "max_seqlen", *_IDS}
LOSS_MASK = "loss_mask"  # of chats and the like: which tokens are to be learned


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


def with_loss_mask(columns: Columns, packing: Packing, dtype: str) -> Columns:
    """Return a chunk's documents with a loss mask: where it has none, all of its tokens are to be learned."""
    if LOSS_MASK in columns or not row_count(columns):
        return columns
    documents = _tokens(columns, packing)
    learned = Ragged(np.ones(len(documents.spanned), np.dtype(dtype)), documents.offsets - documents.offsets[0])
    return {**columns, LOSS_MASK: learned}


def pack_columns(
    columns: Columns, packing: Packing, generator: np.random.Generator | None, *, chunk: int = 0
) -> Columns:
    """Return the packed rows of a chunk's documents.

    Args:
      columns: The documents: a column of tokens, columns with a number for each token, and those that packing drops.
      packing: How they are packed.
      generator: Decides which of several documents of one length stands where; None keeps the order of the file.
      chunk: The index of the chunk.

    Raises:
      PackedColumnsError: there are no documents of tokens, or there are columns with other lengths.
    """
    if not row_count(columns):
        return {}
    documents = _tokens(columns, packing)
    alike = {packing.column: documents, **_others(columns, documents, packing)}
    pieces = pieces_of(documents.lengths, packing.length)
    order, row = pack(pieces, packing.length, generator, packing.max_documents)
    first = np.searchsorted(row, np.arange(int(row[-1]) + 2 if len(row) else 1))  # of each row, and the end
    ends = np.cumsum(pieces.length)  # pieces lie end to end, as documents do
    packed: Columns = {}
    for name, column in alike.items():
        ended = column.offsets[0] + ends
        values = Ragged(column.values, np.concatenate([column.offsets[:1], ended])).take(order)
        packed[name] = Ragged(values.values, values.offsets[first])
    numbers = [number | chunk << 32 for number in (order, pieces.document[order])]
    places = np.stack([pieces.length[order], pieces.start[order], *numbers], axis=1)
    packed[_PIECES] = Ragged(places.reshape(-1), _WIDTH * first)
    return packed


def packed_columns(columns: Columns) -> Columns:
    """Return the columns of packed rows that the documents have, without what says which pieces a row has."""
    return {name: values for name, values in columns.items() if name != _PIECES}


def piece_numbers(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the pieces in packed rows, uint64 of shape [pieces], and how many each row has.

    A piece's number is the index of its chunk in the upper 32 bits and, in the lower, its place among the chunk's
    pieces in the order of the file.
    """
    pieces = columns[_PIECES]
    assert isinstance(pieces, Ragged)
    return pieces.spanned.reshape(-1, _WIDTH)[:, 2].astype(np.uint64), pieces.lengths // _WIDTH


def unpacked_batch(columns: Columns, packing: Packing) -> Columns:
    """Return the rows of a batch as arrays: the tokens, `segment_ids`, `position_ids`, `loss_mask`, and the others."""
    tokens, pieces = columns[packing.column], columns[_PIECES]
    assert isinstance(tokens, Ragged) and isinstance(pieces, Ragged)
    length, start, _, document = pieces.spanned.reshape(-1, _WIDTH).T
    num_pieces = pieces.lengths // _WIDTH
    total, lengths = int(length.sum()), tokens.lengths
    ends = np.cumsum(length)
    first_piece = np.cumsum(num_pieces) - num_pieces
    segment = np.arange(1, len(length) + 1) - np.repeat(first_piece, num_pieces)
    flat = {name: values.spanned for name, values in columns.items() if name != _PIECES and isinstance(values, Ragged)}
    flat |= {
        "segment_ids": np.repeat(segment.astype(np.int32), length),
        "position_ids": np.arange(total, dtype=np.int32) - np.repeat((ends - length - start).astype(np.int32), length),
        LOSS_MASK: _loss_mask(flat.get(LOSS_MASK), ends, packing),
    }
    if packing.document_ids:
        flat["chunk_ids"] = np.repeat((document >> 32).astype(np.int32), length)
        flat["document_ids"] = np.repeat((document & (2**32 - 1)).astype(np.int32), length)
    if bool((lengths == packing.length).all()):
        return {name: values.reshape(len(tokens), packing.length) for name, values in flat.items()}
    is_there = np.arange(packing.length) < lengths[:, None]
    return {name: _filled_up(values, is_there, -1 if name in _IDS else 0) for name, values in flat.items()}


def _loss_mask(given: np.ndarray | None, ends: np.ndarray, packing: Packing) -> np.ndarray:
    """Return where a loss counts, of all tokens end to end; `given` says which tokens are to be learned."""
    mask = np.ones(int(ends[-1]) if len(ends) else 0, bool)
    if packing.shifted:
        mask[ends - 1] = False
    if given is None:
        return mask
    if packing.shifted:  # the token that is learned at a place is the next one
        given = np.append(given[1:], given[:1])
    counts: np.ndarray = mask * given if given.dtype.kind == "f" else mask & (given != 0)
    return counts


def _filled_up(values: np.ndarray, is_there: np.ndarray, with_: int) -> np.ndarray:
    rows = np.full(is_there.shape, with_, values.dtype)
    rows[is_there] = values
    return rows


def _tokens(columns: Columns, packing: Packing) -> Ragged:
    if packing.column not in columns:
        found = ", ".join(map(repr, columns))
        what, length = f"has no column {packing.column!r} to pack, but {found}", packing.length
        if name := next((name for name, values in columns.items() if _is_tokens(values)), ""):
            raise PackedColumnsError(
                f"{what}. Say which one holds the tokens: pack=Packing(length={length}, column={name!r})"
            )
        raise PackedColumnsError(f"{what}. {_make_tokens(columns)}")
    column: Column = columns[packing.column]
    try:
        tokens = _as_ragged(column)
    except TypeError as exc:
        raise PackedColumnsError(
            f"has no tokens in {packing.column!r}: {exc}. {_make_tokens({packing.column: column})}"
        ) from exc
    if not isinstance(tokens, Ragged) or tokens.is_bytes or tokens.dtype.kind not in "iu":
        kind = "bytes" if isinstance(tokens, Ragged) and tokens.is_bytes else str(tokens.dtype)
        raise PackedColumnsError(f"has {kind} in {packing.column!r}, which are no documents of integers")
    return tokens


def _as_ragged(column: Column) -> np.ndarray | Ragged:
    """Return rows of numbers as a ragged column; an array of one dimension as it is.

    Raises:
      TypeError: a list has other rows.
    """
    if isinstance(column, np.ndarray):  # windows of one length: each is a document
        return Ragged.from_rows(list(column)) if column.ndim == 2 else column
    return Ragged.from_rows(column) if isinstance(column, list) else column


def _is_tokens(column: Column) -> bool:
    if isinstance(column, list):
        return all(isinstance(row, list) for row in column) and isinstance(next(chain(*column), None), int)
    return (isinstance(column, Ragged) or column.ndim == 2) and column.dtype.kind in "iu"


def _make_tokens(columns: Columns) -> str:
    """Return what to do where text is to be packed."""
    texts = [name for name, values in columns.items() if isinstance(values, list) and isinstance(values[0], str)]
    column = f" --column {texts[0]}" if texts and "text" not in texts else ""
    return f"Make tokens of the text once: pyloader split DUMP... tokens/ --tokenizer tokenizer.json{column}"


def _others(columns: Columns, documents: Ragged, packing: Packing) -> dict[str, Ragged]:
    """Return the other columns: each has a number for each token."""
    alike: dict[str, Ragged] = {}
    unlike = []
    for name, column in columns.items():
        if name == packing.column or name in packing.drop:
            continue
        with contextlib.suppress(TypeError):
            column = _as_ragged(column)
        if not isinstance(column, Ragged) or column.is_bytes or not np.array_equal(column.lengths, documents.lengths):
            unlike.append(name)
        elif name in _OURS:
            raise PackedColumnsError(
                f"has the column {name!r}, which is a name of packed batches. Rename it, or leave it out: "
                f"pack=Packing(length={packing.length}, drop=({name!r},))"
            )
        else:
            alike[name] = column
    if unlike:
        raise PackedColumnsError(
            f"has the column {min(unlike)!r} beside {packing.column!r}, which has no number for each token, and a "
            "value for a document has no place in a row of several. "
            f"Leave it out: pack=Packing(length={packing.length}, drop={tuple(sorted(unlike))!r})"
        )
    return alike
