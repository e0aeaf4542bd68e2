"""Packing: documents of unequal length into rows of one length, by best fit decreasing.

Each chunk's documents are packed alone, before the shuffle: a packed row is a row from there on.  A document longer
than a row is cut at multiples of the row's length, no other is cut.  The pieces go from the longest to the shortest,
each into the row that it fills best (D. S. Johnson, Near-optimal bin packing algorithms, MIT 1973).  How many rows a
chunk gives follows from the lengths alone; which of several documents of one length stands where, from the seed, the
epoch and the chunk too.

Pieces of one length are placed together: the row that one of them fills best is, while another fits, the best for the
next.  So a row takes as many as fit before the next row is looked for.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

__all__ = ["Pieces", "num_packed_rows", "pack", "pieces_of"]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of documents, in their order in the file: what one document has, or a part of it.

    Attributes:
      document: Which document each is of, int64 of shape [pieces].
      start: At which of its tokens the piece begins, int64 of shape [pieces].
      length: How many tokens it has, int64 of shape [pieces], from 1 to the length of a row.
    """

    document: np.ndarray
    start: np.ndarray
    length: np.ndarray


def pieces_of(lengths: np.ndarray, row_length: int) -> Pieces:
    """Return the pieces of documents.  An empty document has none.

    Args:
      lengths: Tokens of each document, int64 of shape [documents].
      row_length: The most that a piece has, at least 1.
    """
    num_pieces = -(-lengths // row_length)
    document = np.repeat(np.arange(len(lengths)), num_pieces)
    first = np.cumsum(num_pieces) - num_pieces
    start = (np.arange(len(document)) - first[document]) * row_length
    return Pieces(document, start, np.minimum(lengths[document] - start, row_length))


def num_packed_rows(lengths: np.ndarray, row_length: int, max_pieces: int | None = None) -> int:
    """Return how many rows `pack` makes of documents, whatever the generator.

    Args:
      lengths: Tokens of each document, int64 of shape [documents].
      row_length: Tokens of a row, at least 1.
      max_pieces: The most pieces in a row; None sets no bound.
    """
    whole, rest = np.divmod(lengths, row_length)
    counts = np.bincount(rest, minlength=1)
    counts[0] = 0
    sizes = np.flatnonzero(counts)[::-1]
    return int(whole.sum()) + _filled(sizes.tolist(), counts[sizes].tolist(), row_length, max_pieces)[1]


def pack(
    pieces: Pieces, row_length: int, generator: np.random.Generator | None, max_pieces: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pieces in the order of the rows that they are packed into, and the row of each.

    Args:
      pieces: Of documents.
      row_length: Tokens of a row: the most that a piece has.
      generator: Decides which of several pieces of one length stands where; None keeps the order of the file.
      max_pieces: The most pieces in a row; None sets no bound.

    Returns:
      Two int64 arrays of shape [pieces]: numbers of pieces, and of rows from 0 on, which do not fall.
    """
    # From the longest to the shortest; those of one length in random order.
    ties = np.arange(len(pieces.length)) if generator is None else generator.random(len(pieces.length))
    order = np.lexsort((ties, -pieces.length))
    falling = -pieces.length[order]
    num_whole = int(np.searchsorted(falling, -row_length, side="right"))
    sizes, first = np.unique(falling[num_whole:], return_index=True)
    counts = np.diff(first, append=len(order) - num_whole)
    placed, _ = _filled((-sizes).tolist(), counts.tolist(), row_length, max_pieces)
    rows = np.concatenate([np.arange(num_whole), np.array(placed, np.int64) + num_whole])
    by_row = np.argsort(rows, kind="stable")
    return order[by_row], rows[by_row]


def _filled(sizes: list[int], counts: list[int], row_length: int, max_pieces: int | None) -> tuple[list[int], int]:
    """Place pieces by best fit.

    Args:
      sizes: Their lengths, falling, each from 1 to `row_length`.
      counts: How many pieces have each.
      row_length: What a row has room for.
      max_pieces: The most pieces in a row; None sets no bound.

    Returns:
      The row of each piece, in order; and how many rows there are.
    """
    placed: list[int] = []
    num_rows = 0
    # room -> pieces that a row may still take (0 stands for any number) -> the rows with so much left, at least one
    with_room: dict[int, dict[int, list[int]]] = defaultdict(dict)
    rooms = 0  # bit r is set where there are rows with room r: the smallest that will do is found without a search

    for size, left in zip(sizes, counts, strict=True):
        while left:
            if fitting := rooms >> size:
                room = size + (fitting & -fitting).bit_length() - 1
                groups = with_room[room]
                free, rows = groups.popitem()
                if not groups:
                    rooms ^= 1 << room
            else:
                room, free = row_length, max_pieces or 0
                rows = []  # new ones, as many as are needed
            each = min(room // size, free) if free else room // size
            if not rows:
                num_new = -(-left // each)
                rows = list(range(num_rows, num_rows + num_new))
                num_rows += num_new
            num_filled = left // each
            filled, rest = rows[:num_filled], rows[num_filled:]
            left -= len(filled) * each
            placed += filled if each == 1 else [row for row in filled for _ in range(each)]
            changed = [(filled, each)]
            if rest:
                if left:  # fewer than a row takes, since no other row is left to be filled
                    placed += [rest[0]] * left
                    changed.append(([rest[0]], left))
                    rest, left = rest[1:], 0
                changed.append((rest, 0))
            for some, taken in changed:
                room_left, free_left = room - taken * size, free - taken if free else 0
                if some and room_left and (free_left or not free):
                    groups = with_room[room_left]
                    if free_left in groups:
                        groups[free_left] += some
                    else:
                        groups[free_left] = some
                    rooms |= 1 << room_left
    return placed, num_rows
