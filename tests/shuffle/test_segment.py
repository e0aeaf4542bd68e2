"""Segments: which rows of which chunks they have, and what is gathered of them."""

from __future__ import annotations

import numpy as np

from pyloader.machine.memory import RecycledMemory
from pyloader.ragged import Ragged
from pyloader.shuffle.segment import ChunkRows, Hand, gather_rows, join_hands


class Chunk:
    """A chunk that nobody counts; with `first`, one that lies in an arena of 100 rows from there on."""

    def __init__(self, columns, whole=None, first=0):
        self.value = ChunkRows(columns)
        if whole is not None:
            self.value.part = Part(first)
            self.value.whole_arrays = {"id": whole}


class Part:
    def __init__(self, first):
        self.first = first


def columns_of(ids):
    ids = np.asarray(ids)
    return {
        "id": ids,
        "text": [str(number) for number in ids],
        "words": Ragged.from_rows([[number] * 2 for number in ids]),
    }


def gathered(segment):
    columns = gather_rows(segment, 1, segment.num_rows, RecycledMemory())
    assert columns["text"] == [str(number) for number in columns["id"]]
    assert columns["words"].to_list() == [[number] * 2 for number in columns["id"]]
    return columns["id"].tolist()


def test_the_order_is_that_of_the_rows_of_one_hand_and_of_several():
    hand = Hand(Chunk(columns_of([5, 6, 7, 8])), np.array([3, 0, 2]))
    other = Hand(Chunk(columns_of([1, 2])), np.array([1]))
    assert gathered(join_hands(0, 0, [hand], np.array([2, 0, 1]))) == [8, 5]
    assert gathered(join_hands(0, 0, [hand, other], np.array([3, 1, 2, 0]))) == [5, 7, 8]


def test_a_column_that_is_every_second_row_of_an_array_is_gathered_as_it_is():
    hands = [Hand(Chunk(columns_of(np.arange(first, first + 8)[::2])), np.array([3, 0, 1])) for first in (10, 50)]
    assert gathered(join_hands(0, 0, hands[:1], np.array([2, 0, 1]))) == [16, 10]
    assert gathered(join_hands(0, 0, hands, np.array([5, 0, 3, 1, 2, 4]))) == [16, 56, 10, 12, 50]


def test_chunks_in_an_arena_and_beside_it_are_one_segment():
    whole = np.arange(100)
    hands = [
        Hand(Chunk(columns_of(whole[40:44]), whole, 40), np.array([3, 1])),
        Hand(Chunk(columns_of([1000, 1001])), np.array([1, 0])),
        Hand(Chunk(columns_of(whole[20:24]), whole, 20), np.array([0])),
    ]
    order = np.array([0, 4, 3, 2, 1])
    assert gathered(join_hands(0, 0, hands, order)) == [20, 1000, 1001, 41]
    assert gathered(join_hands(0, 0, hands[::2], np.array([0, 2, 1]))) == [20, 41]


def test_what_is_gathered_in_order_is_no_part_of_the_chunk():
    chunk = Chunk(columns_of([5, 6, 7]))
    columns = gather_rows(join_hands(0, 0, [Hand(chunk, None)], None), 0, 3, RecycledMemory())
    for name in ("id", "words"):
        held = chunk.value.columns[name]
        mine = columns[name]
        assert not np.shares_memory(getattr(held, "values", held), getattr(mine, "values", mine))


def test_a_list_becomes_an_array_of_the_same_objects_once():
    rows = ChunkRows(columns_of([5, 6]))
    assert rows.objects("text") is rows.objects("text")
    assert all(one is other for one, other in zip(rows.objects("text"), rows.columns["text"], strict=True))
