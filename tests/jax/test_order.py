"""The order inside jit: a permutation, the same for NumPy and JAX, different in every epoch and for every key."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from pyloader.jax import DiskSource, order  # noqa: E402

pytestmark = pytest.mark.frameworks


def numpy_order(length, seed=0, epoch=0, ordering="shuffle"):
    words = np.asarray(order.key_words(seed))
    places = np.arange(length, dtype=np.uint32)
    return order.places_in_order(words, np.array([epoch], np.uint32), places, length, ordering)


@given(length=st.integers(1, 3000), seed=st.integers(0, 2**70), epoch=st.integers(0, 2**32 - 1))
def test_every_place_of_an_epoch_has_another_sample(length, seed, epoch):
    np.testing.assert_array_equal(np.sort(numpy_order(length, seed, epoch)), np.arange(length))


@pytest.mark.parametrize("length", [1, 2, 3, 10, 1023, 1024, 60_000])
def test_numpy_and_jax_agree(length):
    words, places = order.key_words(jax.random.key(7)), jnp.arange(length, dtype=jnp.uint32)
    inside = jax.jit(lambda epoch: order.places_in_order(words, epoch, places, length, "shuffle"))
    for epoch in (0, 5):
        outside = order.places_in_order(
            np.asarray(words), np.array([epoch], np.uint32), np.asarray(places), length, "shuffle"
        )
        np.testing.assert_array_equal(inside(jnp.array([epoch], jnp.uint32)), outside)


def test_the_longest_order_there_is_does_not_wrap():
    places = np.arange(order.MAX_LENGTH - 1000, order.MAX_LENGTH, dtype=np.uint32)
    found = order.places_in_order(
        np.array([1, 2], np.uint32), np.zeros(1, np.uint32), places, order.MAX_LENGTH, "shuffle"
    )
    assert found.max() < order.MAX_LENGTH
    assert len(np.unique(found)) == 1000


def test_more_samples_than_jax_counts_are_refused():
    def source_of(length):
        return DiskSource(length, rows_fn=lambda indices: indices)

    assert source_of(2**31 - 1).num_samples == 2**31 - 1
    with pytest.raises(ValueError, match=r"DiskSource counts at most 2,147,483,647 samples .* ChunkSource"):
        source_of(2**31)


def test_seeds_and_epochs_are_never_added():
    orders = [tuple(numpy_order(50, seed, epoch)) for seed in range(4) for epoch in range(4)]
    assert len(set(orders)) == 16


def test_a_sequential_order_is_the_places():
    np.testing.assert_array_equal(numpy_order(10, ordering="sequential"), np.arange(10))


@pytest.mark.parametrize("length", [3, 4, 5])
def test_all_orders_of_a_few_samples_are_equally_frequent(length):
    num_draws = 200 * math.factorial(length)
    places = np.tile(np.arange(length, dtype=np.uint32), num_draws)
    epochs = np.repeat(np.arange(num_draws, dtype=np.uint32), length)
    drawn = order.places_in_order(np.array([3, 4], np.uint32), epochs, places, length, "shuffle")
    counts = np.array(list(Counter(map(tuple, drawn.reshape(-1, length))).values()))
    assert len(counts) == math.factorial(length)
    chi_squared = ((counts - 200) ** 2 / 200).sum()
    assert chi_squared < len(counts) + 4 * math.sqrt(2 * len(counts))


def test_the_samples_of_a_batch_come_from_everywhere():
    length, size = 100_000, 1000
    found = numpy_order(length).reshape(-1, size)
    tenths = np.stack([np.bincount(batch // (length // 10), minlength=10) for batch in found])
    assert abs(tenths - size / 10).max() < 5.5 * math.sqrt(size * 0.09)
    neighbours = np.abs(np.diff(found.astype(np.int64), axis=1)) == 1
    assert neighbours.mean() < 20 / length


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey, int])
def test_keys_of_both_kinds_and_integers_are_two_words(make):
    words = order.key_words(make(3))
    assert (words.dtype, words.shape) == (jnp.uint32, (2,))


def test_keys_of_another_generator_are_folded():
    words = order.key_words(jax.random.key(3, impl="rbg"))
    assert words.shape == (2,)
    assert words.tolist() != order.key_words(jax.random.key(4, impl="rbg")).tolist()


@pytest.mark.parametrize(("key", "error"), [(-1, ValueError), ("a", TypeError), (True, TypeError), (0.5, TypeError)])
def test_what_is_no_key_is_refused(key, error):
    with pytest.raises(error, match=r"key must be a key of jax\.random|at least 0"):
        order.key_words(key)


def test_an_array_of_keys_is_refused():
    with pytest.raises(TypeError, match="one key"):
        order.key_words(jax.random.split(jax.random.key(0), 3))
