"""Streams: parts, their dealing, and the order in which their chunks are needed, by arithmetic."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pyloader.plan import START, Dealing, Position, Streams, rows_of_step

counts = st.lists(st.integers(0, 40) | st.integers(0, 1), min_size=1, max_size=12).filter(any)


def streams_of(counts, num_streams, *, share=3, served=None, window=4, last_batch="wrap", seed=5):
    return Streams(
        counts=np.array(counts, np.int64),
        num_streams=num_streams,
        share=share,
        served=range(num_streams) if served is None else served,
        dealing=Dealing(len(counts), window),
        last_batch=last_batch,
        chunk_seed=seed,
        row_seed=seed,
    )


@pytest.mark.slow
@given(counts=counts, num_streams=st.integers(1, 9), epoch=st.integers(0, 3))
def test_stretches_are_equal_to_within_one_row_and_have_every_row_once(counts, num_streams, epoch):
    assume(sum(counts) >= num_streams)
    streams = streams_of(counts, num_streams)
    parts = [streams.stream_part(stream, epoch) for stream in range(num_streams)]
    sizes = [part.num_rows for part in parts]
    assert sum(sizes) == sum(counts)
    assert max(sizes) - min(sizes) <= 1
    seen = np.zeros((len(counts), 41), int)
    for part in parts:
        for chunk, start, stop in zip(part.chunks, part.starts, part.stops, strict=True):
            seen[chunk, start:stop] += 1
    assert (seen == (np.arange(41) < np.array(counts)[:, None])).all()


@pytest.mark.slow
@given(counts=counts, num_streams=st.integers(2, 9))
def test_only_the_chunks_at_a_border_are_in_two_stretches(counts, num_streams):
    assume(sum(counts) >= num_streams)
    streams = streams_of(counts, num_streams)
    num_parts = sum(len(streams.stream_part(stream, 0).chunks) for stream in range(num_streams))
    assert num_parts <= np.count_nonzero(counts) + num_streams - 1


@pytest.mark.slow
@given(counts=counts, window=st.integers(1, 15))
def test_one_stream_is_the_whole_epoch_and_keeps_empty_chunks_as_arrivals(counts, window):
    part = streams_of(counts, 1, window=window).stream_part(0, 0)
    assert part.stream is None
    assert sorted(part.chunks.tolist()) == list(range(len(counts)))
    assert (part.starts == 0).all()


@pytest.mark.slow
@given(
    counts=counts,
    num_streams=st.integers(1, 6),
    share=st.integers(1, 9),
    window=st.integers(1, 6),
    last_batch=st.sampled_from(["drop", "pad", "wrap"]),
    data=st.data(),
)
def test_reads_come_in_the_order_in_which_the_steps_need_them(counts, num_streams, share, window, last_batch, data):
    """Replays the steps one by one: each stream reads on until it has the rows of its share."""
    assume(sum(counts) >= (num_streams * share if last_batch == "drop" else num_streams))
    streams = streams_of(counts, num_streams, share=share, window=window, last_batch=last_batch)
    step = data.draw(st.integers(0, streams.steps_per_epoch - 1))
    parts = [streams.stream_part(stream, 0) for stream in range(num_streams)]
    start = streams.position(step)
    starts = [streams.start(part, start).segment for part in parts]
    read = [part.dealing.first_arrival(start) for part, start in zip(parts, starts, strict=True)]
    wanted = []
    for k in range(step, streams.steps_per_epoch + 1):
        for stream, part in enumerate(parts):
            enough = (k + 1) * share if k < streams.steps_per_epoch else np.inf
            while read[stream] < len(part.chunks) and part.bounds[max(read[stream], starts[stream])] < enough:
                wanted.append((stream, read[stream]))
                read[stream] += 1
    tasks = list(streams.read_tasks(start=start, end_epoch=1))
    assert [(task.number, task.chunk) for task in tasks] == [
        (number, parts[stream].chunks[number]) for stream, number in wanted
    ]


@pytest.mark.slow
@given(counts=counts, share=st.integers(1, 9), num_streams=st.integers(1, 4))
def test_a_place_is_where_the_next_row_comes_from(counts, share, num_streams):
    assume(sum(counts) >= num_streams)
    part = streams_of(counts, num_streams, share=share).stream_part(0, 0)
    for received in range(part.num_rows):
        segment, offset = part.place(received)
        assert part.bounds[segment] + offset == received
        assert received < part.bounds[segment + 1]
    segment, offset = part.place(part.num_rows + 3)
    assert part.bounds[segment] + offset == part.num_rows
    assert offset > 0


def test_the_steps_of_all_epochs_have_positions():
    streams = streams_of([20, 20], 4, share=2, last_batch="drop")
    assert streams.position(0) == START
    assert streams.position(3) == Position(0, step=3, steps_done=3)
    assert streams.position(5) == Position(0, step=5, steps_done=5)
    assert streams.position(6) == Position(1, step=1, steps_done=6)


@pytest.mark.parametrize("last_batch", ["drop", "pad", "wrap"])
def test_the_located_rows_of_an_epoch_are_all_rows(last_batch):
    streams = streams_of([30, 1, 0, 44], 4, share=5, last_batch=last_batch)
    rows = np.concatenate([rows_of_step(streams, 0, step) for step in range(streams.steps_per_epoch)])
    assert len(rows) == streams.steps_per_epoch * 20
    assert len(np.unique(rows, axis=0)) == (60 if last_batch == "drop" else 75)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 64])
def test_a_plan_of_100_million_samples_takes_less_than_300_mb(size):
    per_rank = 64 // size
    many = np.random.Generator(np.random.PCG64(0)).integers(3_000, 5_000, 25_000)
    tracemalloc.start()
    streams = streams_of(many, 64, share=4, served=range(per_rank), window=4)
    next(streams.read_tasks(start=Position(1, step=100_000), end_epoch=None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


def test_a_full_shuffle_of_25_000_chunks_is_planned_without_a_square_of_them():
    tracemalloc.start()
    for window in (1, 64, 25_000):
        streams = streams_of([4000] * 25_000, 64, served=range(1), window=window)
        next(streams.read_tasks(start=START, end_epoch=None))
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_plan_that_has_been_used_can_be_pickled():
    streams = streams_of([20, 20], 2)
    streams.stream_part(1, 0)
    again = pickle.loads(pickle.dumps(streams))
    assert (rows_of_step(again, 0, 1) == rows_of_step(streams, 0, 1)).all()


def test_without_counts_an_epoch_is_one_stream_of_whole_chunks():
    known = streams_of([3, 0, 4], 1)
    unknown = replace(known, counts=None)
    start = Position(0, segment=2, offset=1, step=1, steps_done=1)
    assert [*unknown.read_tasks(start=start, end_epoch=3)] == [*known.read_tasks(start=start, end_epoch=3)]
    assert all(task.part is None for task in unknown.read_tasks(start=START, end_epoch=1))
    assert unknown.num_reads(start) == known.num_reads(start)
    assert unknown.ends_epoch(Position(0, segment=3, step=3))
