"""The number of each sample, which says where it comes from; and keys, 64 random bits for each row, for augmentation.

A key is a function of the seed, the epoch and the sample alone:

    key = mix(mix(number XOR first) XOR second)

`mix` is the finaliser of SplitMix64 (G. Steele, D. Lea, C. Flood, Fast Splittable Pseudorandom Number Generators,
OOPSLA 2014; the constants are variant 13 of D. Stafford's).  It is one to one, so that two samples of an epoch never
have the same key.  The two words are of `SeedSequence(seed, spawn_key=(PURPOSE, epoch))`, as in pyloader.plan.order.
tests/golden/keys.json holds us to the numbers.
"""

from __future__ import annotations

import functools

import numpy as np

__all__ = ["STAND_IN", "mix_bits", "row_keys", "sample_numbers", "uniform_numbers"]

# Set in the number of a row that is delivered in place of another, or beyond an epoch's samples.
STAND_IN = np.uint64(1 << 63)

_KEYS = 6  # a purpose, beside those of pyloader.plan.order

_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's: from one word to the next


def sample_numbers(chunk: int | np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the numbers of some rows: the index of their chunk in the upper 32 bits, the row in the lower.

    Args:
      chunk: Of all rows, or of each.
      rows: int64 array.

    Returns:
      uint64 array of the shape of `rows`.
    """
    numbers: np.ndarray = np.asarray(chunk, np.uint64) << np.uint64(32) | rows.astype(np.uint64)
    return numbers


def row_keys(sample_numbers: np.ndarray, *, seed: int, epoch: int | np.ndarray) -> np.ndarray:
    """Return a key for each row; the same sample has the same key on any number of ranks and workers.

    A generator of a row's own is `np.random.default_rng(key)`.  Uniform numbers in [0, 1), one for each row and without
    a loop, are `(keys >> np.uint64(11)) * 2.0**-53`.

    Args:
      sample_numbers: Which sample each row is: int64 or uint64 array of shape [rows].
      seed: The run's seed, an integer >= 0.
      epoch: Counted from 0: of all rows, or int64 array of shape [rows].

    Returns:
      uint64 array of shape [rows].
    """
    keys: np.ndarray = sample_numbers.astype(np.uint64)
    if np.ndim(epoch) == 0:
        first, second = _words(seed, int(epoch))
    else:
        epochs, place = np.unique(epoch, return_inverse=True)
        words = [_words(seed, each) for each in epochs.tolist()]
        first, second = np.array(words, np.uint64).reshape(-1, 2)[place].T
    keys ^= first
    mix_bits(keys)
    keys ^= second
    mix_bits(keys)
    return keys


def uniform_numbers(keys: np.ndarray, count: int) -> np.ndarray:
    """Return numbers that are drawn from keys, in [0, 1): the same key gives the same numbers.

    Args:
      keys: One for each row, uint64 of shape [rows].
      count: How many numbers each row gets; the first ones stay the same when it is more.

    Returns:
      float64 array of shape [rows, count].
    """
    words = keys[:, None] + _GAMMA * np.arange(1, count + 1, dtype=np.uint64)
    mix_bits(words)
    numbers: np.ndarray = (words >> np.uint64(11)) * 2.0**-53
    return numbers


def mix_bits(words: np.ndarray) -> None:
    """Replace each word, of an uint64 array, by another that depends on all of its bits, one to one."""
    scratch = np.empty_like(words)
    for shift, multiplier in zip(_SHIFTS[:2], _MULTIPLIERS, strict=True):
        words ^= np.right_shift(words, shift, out=scratch)
        words *= multiplier
    words ^= np.right_shift(words, _SHIFTS[2], out=scratch)


@functools.lru_cache(maxsize=16)  # the batches of an epoch ask for the same
def _words(seed: int, epoch: int) -> np.ndarray:
    sequence = np.random.SeedSequence(seed, spawn_key=(_KEYS, epoch))
    return sequence.generate_state(2, np.uint64)
