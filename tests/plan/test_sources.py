"""Sources in a mixture: which rows of which of their epochs each stream has, and an order that stays."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyloader.plan import MixedStreams, Schedule, Source, SourceStreams, rounded_shares, source_seed
from pyloader.plan.sources import source_streams


def streams_of(counts: list[int], num_streams: int) -> SourceStreams:
    source = Source(name="only", counts=np.array(counts), first_chunk=0, window=2, number=0)
    return source_streams(
        source, seed=1, run=0, shuffle="all", num_streams=num_streams, served=range(num_streams), share=1
    )


@pytest.mark.slow
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 7), st.integers(0, 5))
def test_the_rows_that_streams_take_in_turn_are_each_epoch_once(counts, num_streams, epoch):
    streams, num_rows = streams_of(counts, num_streams), sum(counts)
    borders = [streams.border(stream, epoch) for stream in range(num_streams + 1)]
    assert borders[0] == 0 and borders[-1] == num_rows
    in_turn = [row % num_streams for row in range(epoch * num_rows, (epoch + 1) * num_rows)]
    assert np.diff(borders).tolist() == np.bincount(in_turn, minlength=num_streams).tolist()
    for stream in range(num_streams):
        first = streams.first_row(stream, epoch)
        assert first == sum(row % num_streams == stream for row in range(epoch * num_rows))
        if borders[stream + 1] > borders[stream]:
            part, starts_at = next(streams.parts(stream, first))
            assert (part.epoch, starts_at, part.num_rows) == (epoch, first, borders[stream + 1] - borders[stream])


def test_the_seed_of_a_source_depends_on_its_name_the_seed_and_how_often_the_mixture_came():
    seeds = {source_seed(name, seed=seed, run=run) for name in ("a", "b") for seed in (7, 8) for run in (0, 1)}
    assert len(seeds) == 8 and source_seed("web", seed=42, run=0) == SEED


def test_the_order_of_a_mixture_stays_what_it_is():
    sources = tuple(
        Source(name=name, counts=np.array(counts), first_chunk=first, window=2, number=number)
        for number, (name, counts, first) in enumerate([("a", [5, 3, 4], 0), ("b", [4, 2], 3)])
    )
    shares = rounded_shares([(0, [Fraction(3), Fraction(1)])])
    schedule = Schedule(shares=shares, share=2, rows=(6, 3), on_exhausted="repeat", last_batch="drop")
    streams = MixedStreams(sources=sources, schedule=schedule, num_streams=2, served=range(2), seed=7, shuffle="all")
    rows = [streams.rows_of_step(streams.position(step)) for step in (0, 1, 9)]
    assert [[tuple(row) for row in of_step.tolist()] for of_step in rows] == ROWS


# Another order is another run for everybody who resumes.
SEED = 55133012891003727735488694678306325941
ROWS = [
    [(0, 0, 2, 3), (0, 0, 2, 0), (0, 0, 0, 3), (0, 0, 0, 4)],
    [(0, 0, 1, 0), (1, 0, 0, 3), (0, 0, 0, 0), (1, 0, 1, 1)],
    [(0, 2, 2, 3), (1, 1, 0, 0), (0, 2, 1, 2), (1, 1, 1, 1)],
]
