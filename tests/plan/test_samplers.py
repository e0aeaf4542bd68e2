"""Samplers: endless lines of indices, functions of the seed and the place."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyloader.indexed import DataLoader, IIDSampler, PermutationSampler, Sampler, SequentialSampler, WeightedSampler

MAKERS = {
    "sequential": lambda length, seed: SequentialSampler(length),
    "permutation": PermutationSampler,
    "iid": IIDSampler,
    "weighted": lambda length, seed: WeightedSampler(np.arange(1, length + 1), seed),
}
every_sampler = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@every_sampler
@settings(max_examples=60)
@given(length=st.integers(1, 40), seed=st.integers(0, 2**40), start=st.integers(0, 200), size=st.integers(0, 90))
def test_a_stretch_is_the_same_wherever_one_enters_the_line(make, length, seed, start, size):
    whole = make(length, seed).indices(0, start + size)
    stretch = make(length, seed).indices(start, start + size)
    assert stretch.dtype == np.int64
    np.testing.assert_array_equal(stretch, whole[start:])
    assert ((stretch >= 0) & (stretch < length)).all()


@pytest.mark.parametrize("length", [1, 2, 5, 1000, 70_000])
def test_a_permutation_has_every_index_once_an_epoch_in_another_order(length):
    sampler = PermutationSampler(length, 7)
    epochs = [sampler.indices(epoch * length, (epoch + 1) * length) for epoch in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(length))
    if length > 5:
        assert not (epochs[0] == epochs[1]).all()
        assert not (epochs[1] == epochs[2]).all()


def test_a_permutation_of_1e9_is_entered_anywhere():
    sampler = PermutationSampler(10**9, 7)
    place = 3 * 10**9 + 123_456_789
    stretch = sampler.indices(place - 500, place + 500)
    assert len(set(stretch.tolist())) == 1000
    np.testing.assert_array_equal(sampler.indices(place, place + 10), stretch[500:510])


@pytest.mark.parametrize("make", [PermutationSampler, IIDSampler], ids=lambda make: make.__name__)
def test_seeds_and_epochs_do_not_run_into_each_other(make):
    def epoch(seed, number):
        return make(500, seed).indices(number * 500, (number + 1) * 500).tolist()

    assert epoch(7, 0) != epoch(8, 0)
    assert epoch(7, 0) != epoch(7, 1)
    assert epoch(7, 1) != epoch(8, 0)


def test_iid_draws_every_index_about_as_often():
    counts = np.bincount(IIDSampler(10, 3).indices(0, 100_000), minlength=10)
    assert abs(counts - 10_000).max() < 500  # five standard deviations


def test_weights_are_how_often_an_index_is_drawn_and_0_is_never():
    drawn = WeightedSampler([0, 3, 0, 1, 0], 3).indices(0, 100_000)
    counts = np.bincount(drawn, minlength=5)
    assert counts[[0, 2, 4]].tolist() == [0, 0, 0]
    assert counts[1] / counts[3] == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [1, float("nan")], [[1, 2]]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be finite numbers >= 0"):
        WeightedSampler(weights)


@every_sampler
def test_batches_are_endless_and_can_be_sought(make):
    batches = make(30, 5).batches(8)
    first = [next(batches).tolist() for _ in range(40)]
    batches.seek(33)
    assert batches.step == 33
    assert next(batches).tolist() == first[33]
    batches.seek(0)
    assert [next(batches).tolist() for _ in range(40)] == first


@every_sampler
def test_a_samplers_identity_is_small_and_tells_seeds_apart(make):
    assert len(json.dumps(make(30, 5).identity)) < 200
    if make is not MAKERS["sequential"]:
        assert make(30, 5).identity != make(30, 6).identity


def test_other_weights_are_another_identity():
    assert WeightedSampler([1, 2]).identity != WeightedSampler([2, 1]).identity
    assert WeightedSampler([1, 2]).identity == WeightedSampler([2, 4]).identity


@pytest.mark.parametrize("make", [SequentialSampler, PermutationSampler, IIDSampler], ids=lambda make: make.__name__)
def test_a_sampler_of_nothing_is_refused(make):
    with pytest.raises(ValueError, match="length must be at least 1, got 0"):
        make(0)


def test_the_orders_are_those_that_were_pinned():
    """Changing this is an ORDER CHANGE: every saved state of users goes on in another order."""
    found = {name: make(12, 3).indices(0, 24).tolist() for name, make in MAKERS.items()}
    assert found == PINNED


PINNED = {
    "sequential": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    "permutation": [2, 9, 5, 10, 0, 11, 3, 6, 1, 8, 4, 7, 4, 7, 10, 8, 9, 5, 2, 6, 0, 1, 3, 11],
    "iid": [5, 1, 1, 6, 7, 0, 6, 8, 11, 8, 11, 1, 3, 2, 6, 11, 7, 1, 8, 7, 11, 4, 7, 2],
    "weighted": [7, 4, 3, 8, 9, 2, 8, 10, 11, 9, 11, 3, 6, 5, 8, 11, 9, 3, 9, 9, 11, 7, 9, 5],
}


class Backwards(Sampler):
    def indices(self, start, stop):
        return self.length - 1 - np.arange(start, stop) % self.length


def test_a_sampler_of_ones_own_is_a_class_with_one_method():
    assert next(Backwards(5).batches(7)).tolist() == [4, 3, 2, 1, 0, 4, 3]
    assert Backwards(5).identity == "Backwards"


class Says(Sampler):
    """Says what it was given, cut to what is asked for unless it is too short."""

    def __init__(self, length, answer):
        super().__init__(length)
        self.answer = answer

    def indices(self, start, stop):
        return self.answer[: stop - start]


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (np.array([0, 4, 1]), IndexError, r"Says.indices\(0, 3\) has 4, and there are items 0 to 3"),
        (np.array([0, -1, 1]), IndexError, r"has -1, and there are items 0 to 3"),
        (np.array([0, 1]), TypeError, r"must return integers of shape \[3\], got int64 of shape \[2\]"),
        (np.array([0.0, 1.0, 2.0]), TypeError, r"integers of shape \[3\], got float64"),
    ],
)
def test_a_sampler_that_says_other_than_it_must_is_an_error_that_names_it(answer, error, says):
    with (
        DataLoader(np.arange(4), batch_size=3, sampler=Says(4, answer), num_epochs=1, num_workers=0) as loader,
        pytest.raises(error, match=says),
    ):
        next(iter(loader))


def test_a_sampler_may_answer_with_integers_of_any_size_or_a_list():
    for answer in ([3, 1, 2], np.array([3, 1, 2], np.uint8)):
        with DataLoader(np.arange(4), batch_size=3, sampler=Says(4, answer), num_epochs=1, num_workers=0) as loader:
            assert next(iter(loader)).tolist() == [3, 1, 2]
