"""Dealing and cutting, without any thread: each row once, groups of whole batches, positions that can be resumed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.machine.memory import RecycledMemory
from pyloader.plan import START, Dealing, Position
from pyloader.shuffle import Arrival, ChunkRows, CutRule, EpochEnd, cut, deal, gather_group


class Chunk:
    """A chunk that counts its holders."""

    def __init__(self, columns):
        self.value, self.holders = ChunkRows(columns), 1

    def acquire(self):
        self.holders += 1

    def release(self):
        self.holders -= 1


def arrivals(counts, first=0):
    starts = np.cumsum([0, *counts])
    for index in range(first, len(counts)):
        ids = np.arange(starts[index], starts[index + 1])
        yield Arrival(0, index, index, Chunk({"id": ids, "text": [str(number) for number in ids]}))


def groups_of(counts, window, rule, start=START, seed=1):
    dealing = Dealing(len(counts), window)
    segments = deal(arrivals(counts, dealing.first_arrival(start.segment)), dealing, seed=seed, start=start)
    yield from cut(segments, rule, start=start.offset, step=start.step, num_segments=len(counts))


@pytest.mark.slow
@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    window=st.integers(1, 10),
    batch_size=st.integers(1, 40),
)
def test_every_row_is_in_one_group_and_only_the_last_is_short(counts, window, batch_size):
    memory, ids, sizes = RecycledMemory(), [], []
    *groups, end = groups_of(counts, window, CutRule(batch_size=batch_size))
    for group in groups:
        columns = gather_group(group, memory)
        assert columns["text"] == [str(number) for number in columns["id"]]
        ids += columns["id"].tolist()
        sizes.append(group.num_rows)
    assert sorted(ids) == list(range(sum(counts)))
    assert all(size == batch_size for size in sizes[:-1])
    assert end == EpochEnd(0, sum(counts))


@pytest.mark.slow
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), window=st.integers(1, 8), batch_size=st.integers(1, 40)
)
def test_a_groups_end_is_where_the_next_begins(counts, window, batch_size):
    memory = RecycledMemory()
    rule = CutRule(batch_size=batch_size)
    *groups, _ = groups_of(counts, window, rule)
    rows = [gather_group(group, memory)["id"].tolist() for group in groups]
    for k, group in enumerate(groups):
        segment, offset = group.end
        if segment == len(counts):
            assert k == len(groups) - 1
            continue
        *rest, _ = groups_of(counts, window, rule, Position(0, segment, offset, k + 1, k + 1))
        assert [gather_group(after, memory)["id"].tolist() for after in rest] == rows[k + 1 :]


@pytest.mark.slow
@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=8), window=st.integers(1, 8))
def test_a_chunk_is_released_when_its_last_rows_are_gathered(counts, window):
    dealing, memory = Dealing(len(counts), window), RecycledMemory()
    arrived = list(arrivals(counts))
    segments = deal(iter(arrived), dealing, seed=1, start=START)
    for group in cut(segments, CutRule(batch_size=7), start=0, step=0, num_segments=len(counts)):
        if isinstance(group, EpochEnd):
            continue
        gather_group(group, memory)
        if group.segment is not None:
            done = [arrival for arrival in arrived if arrival.number + dealing.width <= group.segment.index]
            assert all(arrival.chunk.holders == 0 for arrival in done)
    assert [arrival.chunk.holders for arrival in arrived] == [0] * len(counts)


def test_arrays_are_cut_into_groups_of_several_batches():
    chunk = Chunk({"x": np.zeros((10_000, 16), np.float32)})
    segments = deal([Arrival(0, 0, 0, chunk)], Dealing(1, 1), seed=None, start=START)
    *groups, end = cut(segments, CutRule(batch_size=100, several=True), start=0, step=0, num_segments=1)
    assert [group.num_rows for group in groups] == [10_000]
    assert end.num_rows == 10_000


def test_lists_are_cut_into_groups_of_several_batches_where_that_may_be():
    chunk = Chunk({"text": ["as long as a line"] * 1000})

    def sizes(rule):
        segments = deal([Arrival(0, 0, 0, chunk)], Dealing(1, 1), seed=None, start=START)
        *groups, _ = cut(segments, rule, start=0, step=0, num_segments=1)
        return [group.num_rows for group in groups]

    asked = iter([1, 2, 4, 8, 8])
    assert sizes(CutRule(batch_size=100, several=True)) == [100] * 10
    assert sizes(CutRule(batch_size=100, num_together=lambda columns: next(asked))) == [100, 200, 400, 300]


def test_rows_of_a_list_are_the_objects_themselves_and_their_array_is_counted():
    rows = [[1], None, np.arange(3), "a", np.float32(2), {"x": 1}, (1, 2)]
    chunk = ChunkRows({"any": rows, "number": np.arange(7)})
    assert all(one is other for one, other in zip(chunk.objects("any").tolist(), rows, strict=True))
    assert chunk.objects_bytes == chunk.objects("any").nbytes == 56


def test_unshuffled_rows_keep_their_order():
    *groups, _ = groups_of([5, 0, 6], 1, CutRule(batch_size=4), seed=None)
    memory = RecycledMemory()
    assert [gather_group(group, memory)["id"].tolist() for group in groups] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
