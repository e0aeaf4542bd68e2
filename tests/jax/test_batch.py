"""Batches inside jit: each rule for the last one, on sources that gather and on those that go one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

jax = pytest.importorskip("jax")

from pyloader.jax import ArraySource, BatchTransform, DataLoader, HostCallbackTransform, MapTransform  # noqa: E402
from pyloader.jax.epochs import take_places  # noqa: E402

pytestmark = pytest.mark.frameworks

RULES = ["pad", "drop", "wrap", "span"]
ONE_BY_ONE = HostCallbackTransform(lambda sample, mask: None)  # gives one sample at a time


def epochs_of(pipeline, num_epochs, seed=0):
    """Return the rows and masks of every batch of some epochs."""
    with DataLoader(pipeline) as loader:
        state = loader.init_state(seed)
        return [
            [(batch["x"].tolist(), mask.tolist()) for batch, mask in loader.iterate(state)] for _ in range(num_epochs)
        ]


def numbers(length):
    return {"x": np.arange(length) + 100}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("length", "size"), [(10, 4), (8, 4), (5, 5), (3, 4), (1, 1), (7, 3)])
def test_gathering_and_going_one_by_one_give_the_same_batches(rule, length, size):
    if rule == "drop" and length < size:
        pytest.skip("no batch")
    batch = BatchTransform(size, last_batch=rule)
    gathered = epochs_of([ArraySource(numbers(length)), batch], 4)
    stacked = epochs_of([ArraySource(numbers(length)), ONE_BY_ONE, batch], 4)
    assert gathered == stacked


@settings(max_examples=200)
@given(length=st.integers(1, 40), size=st.integers(1, 50), rule=st.sampled_from(RULES))
def test_every_rule_does_what_it_says(length, size, rule):
    if rule == "drop" and length < size:
        return
    epoch = position = np.zeros(1, np.uint32)
    line = []  # (epoch, place, is real) of every row
    steps = length // size if rule == "drop" else -(-length // size)
    for _ in range(3 * steps):
        taking = take_places(np, epoch, position, count=size, length=length, last_batch=rule)
        epochs = np.broadcast_to(taking.epochs, size)
        line += zip(epochs.tolist(), taking.places.tolist(), taking.mask.tolist(), strict=True)
        epoch, position = taking.epoch, taking.position
    places = np.array([place for _, place, _ in line]).reshape(3, steps * size)
    real = np.array([is_real for *_, is_real in line]).reshape(3, steps * size)
    if rule == "pad":
        for row, mask in zip(places, real, strict=True):
            assert row[mask].tolist() == list(range(length))
    elif rule == "drop":
        assert places.tolist() == [list(range(steps * size))] * 3
    elif rule == "wrap":
        assert real.all()
        for row in places:
            assert row[:length].tolist() == list(range(length))
            fill = row[length:]
            before = list(range(length - size, length - size + len(fill)))
            if length >= size:
                assert fill.tolist() == before
    else:
        assert places.ravel().tolist() == [n % length for n in range(3 * steps * size)]
        assert [e for e, *_ in line] == [n // length for n in range(3 * steps * size)]


@pytest.mark.parametrize("rule", ["pad", "wrap"])
def test_every_sample_comes_once_an_epoch_in_another_order(rule):
    epochs = epochs_of([ArraySource(numbers(10)), BatchTransform(4, last_batch=rule)], 3)
    lines = [[value for rows, _ in epoch for value in rows][:10] for epoch in epochs]
    assert all(sorted(line) == list(range(100, 110)) for line in lines)
    assert lines[0] != lines[1] != lines[2]


def test_padding_is_zeros_under_a_mask_that_is_false():
    rows, mask = epochs_of([ArraySource(numbers(10)), BatchTransform(4)], 1)[0][-1]
    assert rows[2:] == [0, 0]
    assert mask == [True, True, False, False]


def test_spanning_epochs_goes_on_in_the_next_order():
    pipeline = [ArraySource(numbers(10)), BatchTransform(4, last_batch="span")]
    line = [value for epoch in epochs_of(pipeline, 5) for rows, _ in epoch for value in rows]
    assert all(sorted(line[start : start + 10]) == list(range(100, 110)) for start in range(0, 60, 10))


def test_a_state_between_batches_of_another_size_skips_or_repeats_nothing():
    with DataLoader([ArraySource(numbers(10)), BatchTransform(3)]) as loader:
        state = loader.init_state(0)
        first, state, _ = loader.next(state)
    with DataLoader([ArraySource(numbers(10)), BatchTransform(4)]) as loader:
        rest = [(batch["x"], mask) for batch, mask in loader.iterate(state)]
    seen = [*first["x"].tolist(), *(value for rows, mask in rest[:2] for value in rows[mask].tolist())]
    assert sorted(seen) == list(range(100, 110))


def test_mapped_samples_are_gathered_all_together():
    calls = []

    def double(sample, mask):
        calls.append(1)
        return {"x": sample["x"] * 2}

    mapped = epochs_of([ArraySource(numbers(10)), MapTransform(double), BatchTransform(4)], 1)
    plain = epochs_of([ArraySource(numbers(10)), BatchTransform(4)], 1)
    assert mapped == [[([2 * value for value in rows], mask) for rows, mask in epoch] for epoch in plain]
    assert len(calls) <= 3  # traced for the shapes, and for the batch


def test_batches_of_batches_keep_the_mask_of_every_row():
    batches = [ArraySource(numbers(10)), BatchTransform(4), BatchTransform(2)]
    epoch = epochs_of(batches, 1)[0]
    assert [np.shape(rows) for rows, _ in epoch] == [(2, 4), (2, 4)]
    assert np.sum([mask for _, mask in epoch]) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 4, "last_batch": "keep"}, 'must be "pad", "drop", "wrap" or "span"'),
        ({"batch_size": 4, "drop_last": True, "pad_last_batch": True}, "both drop and pad"),
        ({"batch_size": 4, "drop_last": True, "last_batch": "span"}, "both drop and span"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BatchTransform(**options)


def test_dropping_everything_is_refused():
    with pytest.raises(ValueError, match=r"leaves no batch: an epoch has 3 rows, fewer than batch_size=4"):
        BatchTransform(4, drop_last=True)(ArraySource(numbers(3)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "at least one array"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, r"equally many rows, got the shapes \[3\], \[4\]"),
        ({"x": np.float32(1)}, "equally many rows"),
        ({"x": np.zeros((0, 2))}, "at least one sample"),
        ({"x": np.array([2**40])}, "do not fit into int32"),
    ],
)
def test_arrays_that_make_no_samples_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        ArraySource(data)


def test_an_ordering_that_does_not_exist_is_refused_at_once():
    with pytest.raises(ValueError, match='"shuffle" or "sequential"'):
        ArraySource({"x": np.zeros(3)}, ordering="random")


def test_filling_with_the_rows_before_keeps_what_they_are_masked_with():
    inner = [ArraySource(numbers(5), "sequential"), BatchTransform(2), BatchTransform(2, last_batch="wrap")]
    (_, first), (rows, second) = epochs_of(inner, 1)[0]
    assert first == [[True, True], [True, True]]
    assert rows == [[104, 0], [102, 103]]
    assert second == [[True, False], [True, True]]


def test_not_to_pad_said_out_loud_goes_on_into_the_next_epoch():
    pipeline = [ArraySource(numbers(5), "sequential"), BatchTransform(3, pad_last_batch=False, drop_last=False)]
    (first, second), *_ = epochs_of(pipeline, 1)
    assert (first, second) == (([100, 101, 102], [True] * 3), ([103, 104, 100], [True] * 3))
    assert BatchTransform(3, pad_last_batch=False, drop_last=True).last_batch == "drop"
    assert BatchTransform(3, pad_last_batch=False, last_batch="wrap").last_batch == "wrap"
    assert [BatchTransform(3).last_batch, BatchTransform(3, drop_last=False).last_batch] == ["pad", "pad"]
    with pytest.raises(ValueError, match="pad_last_batch=False contradict each other: leave one of them out"):
        BatchTransform(3, pad_last_batch=False, last_batch="pad")
