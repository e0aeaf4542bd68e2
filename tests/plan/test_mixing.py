"""Mixing: what is expected by arithmetic, against what batches have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyloader.plan import (
    Dealing,
    Streams,
    batch_concentrations,
    class_spread,
    is_filling,
    rows_between,
    rows_of_step,
    variety,
)


def streams_of(counts, *, window, batch_size, num_streams=1, last_batch="drop", seed=5):
    return Streams(
        counts=np.array(counts, np.int64),
        num_streams=num_streams,
        share=batch_size // num_streams,
        served=range(num_streams),
        dealing=Dealing(len(counts), window),
        last_batch=last_batch,
        chunk_seed=seed,
        row_seed=seed,
    )


def batches_of(streams, epoch):
    if streams.is_one:
        part = streams.stream_part(0, epoch)
        rows = np.concatenate(list(rows_between(streams, part, 0, part.num_rows)))
        yield from (rows[step * streams.share :][: streams.share] for step in range(streams.steps_per_epoch))
        return
    for step in range(streams.steps_per_epoch):
        rows = rows_of_step(streams, epoch, step)
        yield rows[~is_filling(streams, epoch, step)]


def concentration_of(rows):
    return ((np.bincount(rows[:, 0]) / len(rows)) ** 2).sum()


CASES = [
    ([40] * 12, 4, 16, 1),
    ([40] * 12, 1, 16, 1),
    ([40] * 12, 12, 16, 1),
    ([40] * 12, 30, 16, 1),
    ([40] * 12, 3, 48, 1),  # batches larger than segments
    ([3] * 30, 8, 16, 1),  # chunks smaller than the window
    ([5, 80, 0, 40, 33, 7, 61, 12, 90, 1, 25], 4, 16, 1),
    ([20] * 8, 4, 16, 4),  # streams: chunks that are cut in two
    ([50, 9, 70, 31, 44], 2, 12, 3),
]


@pytest.mark.parametrize(("counts", "window", "batch_size", "num_streams"), CASES)
def test_the_expected_concentration_is_that_of_batches(counts, window, batch_size, num_streams):
    streams = streams_of(counts, window=window, batch_size=batch_size, num_streams=num_streams)
    epochs = range(8 if len(counts) < 20 else 16)
    expected = np.mean([batch_concentrations(streams, epoch=epoch).mean() for epoch in epochs])
    found = np.mean([np.mean([concentration_of(rows) for rows in batches_of(streams, epoch)]) for epoch in epochs])
    assert found == pytest.approx(expected, rel=0.03)


@settings(max_examples=15)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any),
    window=st.integers(1, 15),
    batch_size=st.integers(1, 30),
    last_batch=st.sampled_from(["keep", "drop", "pad", "wrap"]),
)
def test_a_concentration_is_between_that_of_all_chunks_and_one(counts, window, batch_size, last_batch):
    streams = streams_of(counts, window=window, batch_size=batch_size, last_batch=last_batch)
    found = batch_concentrations(streams)
    assert len(found) >= 1
    assert (found <= 1 + 1e-9).all()
    assert (found >= 1 / len(counts) - 1e-9).all()


def test_in_file_order_a_batch_holds_one_chunk_or_two():
    counts = np.array([10, 10, 10])
    streams = Streams(
        counts=counts, num_streams=1, share=4, served=range(1), dealing=Dealing(3, 1), last_batch="keep",
        chunk_seed=None, row_seed=None,
    )  # fmt: skip
    expected = [concentration_of(rows) for rows in batches_of(streams, 0)]
    np.testing.assert_allclose(batch_concentrations(streams), expected)


@pytest.mark.slow
def test_of_very_many_chunks_a_part_is_looked_at_and_says_the_same():
    few, many = (streams_of([20] * number, window=8, batch_size=64) for number in (2_000, 12_000))
    assert batch_concentrations(many).mean() == pytest.approx(batch_concentrations(few).mean(), rel=0.01)
    assert len(batch_concentrations(many)) <= 512


def labels_of(kind, counts, rng):
    """Return the class of every sample, one array for each chunk."""
    if kind == "sorted":  # one class a chunk
        return [np.full(count, number % 6) for number, count in enumerate(counts)]
    if kind == "shuffled":
        return [rng.integers(6, size=count) for count in counts]
    return [(rng.random(count) < 0.2 + 0.6 * (number % 2)).astype(int) for number, count in enumerate(counts)]


@pytest.mark.parametrize(
    ("kind", "window"),
    [("sorted", 1), ("sorted", 4), ("half", 4), ("shuffled", 1), pytest.param("shuffled", 24, marks=pytest.mark.slow)],
)
def test_the_variety_is_that_of_batches(kind, window):
    counts, batch_size = [40] * 24, 16
    labels = labels_of(kind, counts, np.random.default_rng(3))
    table = np.array([np.bincount(chunk, minlength=6) for chunk in labels])
    streams = streams_of(counts, window=window, batch_size=batch_size)
    overall, together = table.sum(axis=0) / table.sum(), np.concatenate(labels)

    def squares(rows):
        mine = together[rows[:, 0] * 40 + rows[:, 1]]
        return ((np.bincount(mine, minlength=6) / len(mine) - overall) ** 2).sum()

    found = np.mean([squares(rows) for epoch in range(25) for rows in batches_of(streams, epoch)])
    num_samples = sum(counts)
    full = (1 - (overall**2).sum()) / batch_size * (num_samples - batch_size) / (num_samples - 1)
    expected = variety(
        class_spread(table),
        float(batch_concentrations(streams).mean()),
        batch_size=batch_size,
        num_chunks=len(counts),
        num_samples=num_samples,
    )
    assert min(1.0, full / found) == pytest.approx(expected, rel=0.1)
    if kind == "shuffled":
        assert expected > 0.9
    if kind == "sorted" and window == 1:
        assert expected < 0.1


def test_some_chunks_drawn_at_random_say_as_much_as_all():
    rng = np.random.default_rng(0)
    table = (
        rng.multinomial(100, [0.1, 0.2, 0.3, 0.4], size=2000) + 50 * np.eye(4, dtype=int)[rng.integers(4, size=2000)]
    )
    options = {"batch_size": 64, "num_chunks": 2000, "num_samples": 300_000}
    of_all = variety(class_spread(table), 0.3, **options)
    of_some = [variety(class_spread(table[rng.permutation(2000)[:32]]), 0.3, **options) for _ in range(20)]
    assert np.mean(of_some) == pytest.approx(of_all, rel=0.1)


@pytest.mark.parametrize("batch_size", [120, 200, 239, 256])
def test_a_batch_of_most_samples_is_as_varied_as_can_be(batch_size):
    table = np.random.default_rng(0).multinomial(40, [0.25] * 4, size=6)
    concentration = float(batch_concentrations(streams_of([40] * 6, window=4, batch_size=200)).mean())
    options = {"batch_size": batch_size, "num_chunks": 6, "num_samples": 239}
    assert variety(class_spread(table), concentration, **options) == 1.0


@pytest.mark.parametrize("table", [np.full((4, 1), 10), np.zeros((3, 2)), np.array([[5, 5]])])
def test_a_column_without_classes_to_tell_apart_is_as_varied_as_can_be(table):
    assert variety(class_spread(table), 0.5, batch_size=4, num_chunks=4, num_samples=40) == 1.0
